package flow

import (
	"context"

	"cutoff/server/person"
)

// PersonView is a person and the devices assigned.
type PersonView struct {
	person.Person
	DeviceIDs []string
}

// People are all people, by e-mail address.
func (f *Flow) People(ctx context.Context, actor Actor) ([]PersonView, error) {
	return nil, errUnbuilt
}

// Person finds one by id or e-mail address.
func (f *Flow) Person(ctx context.Context, actor Actor, idOrEmail string) (PersonView, error) {
	return PersonView{}, errUnbuilt
}

// LinkPerson creates the person if needed, and adds the accounts to those it
// has. An empty name stays.
func (f *Flow) LinkPerson(ctx context.Context, actor Actor, email, name string, accounts []person.Account) (PersonView, error) {
	return PersonView{}, errUnbuilt
}
