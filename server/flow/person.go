package flow

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/person"
)

// PersonView is a person and the devices assigned.
type PersonView struct {
	person.Person
	DeviceIDs []string
}

// People are all people, by e-mail address.
func (f *Flow) People(ctx context.Context, _ Actor) ([]PersonView, error) {
	var all []PersonView
	err := f.store.View(ctx, func(tx Tx) error {
		people, err := tx.People(ctx)
		if err != nil {
			return err
		}
		devices, err := tx.AssignedDevices(ctx)
		for _, p := range people {
			all = append(all, PersonView{Person: p, DeviceIDs: devices[p.ID]})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	return all, nil
}

// Person finds one by id or e-mail address.
func (f *Flow) Person(ctx context.Context, _ Actor, idOrEmail string) (PersonView, error) {
	var v PersonView
	err := f.store.View(ctx, func(tx Tx) error {
		p, err := resolvePerson(ctx, tx, idOrEmail)
		if err != nil {
			return err
		}
		v, err = viewPerson(ctx, tx, p)
		return err
	})
	return v, err
}

func viewPerson(ctx context.Context, tx DeviceTx, p person.Person) (PersonView, error) {
	v := PersonView{Person: p}
	devices, err := tx.DevicesOfPerson(ctx, p.ID)
	for i := range devices {
		v.DeviceIDs = append(v.DeviceIDs, devices[i].ID)
	}
	return v, err
}

// resolvePerson finds a person by id or e-mail address.
func resolvePerson(ctx context.Context, tx DeviceTx, idOrEmail string) (person.Person, error) {
	p, err := tx.Person(ctx, idOrEmail)
	if !fault.Is(err, fault.NotFound) {
		return p, err
	}
	if email, bad := person.Email(idOrEmail); bad == nil {
		if p, err = tx.PersonByEmail(ctx, email); !fault.Is(err, fault.NotFound) {
			return p, err
		}
	}
	return person.Person{}, fault.New(fault.NotFound, "there is no person %.80q", idOrEmail)
}

// LinkPerson creates the person if needed, and adds the accounts to those it
// has. An empty name stays.
func (f *Flow) LinkPerson(
	ctx context.Context, actor Actor, email, name string, accounts []person.Account,
) (PersonView, error) {
	address, err := person.Email(email)
	if err != nil {
		return PersonView{}, fault.Wrap(err, fault.Invalid, "%s", err)
	}
	var v PersonView
	err = f.store.Update(ctx, func(tx Tx) error {
		was, err := tx.PersonByEmail(ctx, address)
		created := fault.Is(err, fault.NotFound)
		if err != nil && !created {
			return err
		}
		p := linked(was, name, accounts)
		if created {
			p.ID, p.Email, p.CreatedAt = newID("per_"), address, f.now()
		}
		if err := p.Check(); err != nil {
			return fault.Wrap(err, fault.Invalid, "%s", err)
		}
		if err := f.putPerson(ctx, tx, actor, was, p, created); err != nil {
			return err
		}
		v, err = viewPerson(ctx, tx, p)
		return err
	})
	if err != nil {
		return PersonView{}, fmt.Errorf("link person: %w", err)
	}
	return v, nil
}

// linked is p with name and accounts added.
func linked(p person.Person, name string, accounts []person.Account) person.Person {
	if name != "" {
		p.Name = name
	}
	p.Accounts = slices.Clone(p.Accounts)
	for _, a := range accounts {
		if !slices.Contains(p.Accounts, a) {
			p.Accounts = append(p.Accounts, a)
		}
	}
	return p
}

func (f *Flow) putPerson(ctx context.Context, tx Tx, actor Actor, was, p person.Person, created bool) error {
	put := tx.UpdatePerson
	switch {
	case created:
		put = tx.InsertPerson
	case was.Name == p.Name && len(was.Accounts) == len(p.Accounts):
		return nil
	}
	if err := put(ctx, p); err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{Kind: "person.linked", Actor: actor.Name, Fields: []evidence.Field{
		{Name: "person_id", Value: p.ID}, {Name: "accounts", Value: strconv.Itoa(len(p.Accounts))},
		{Name: "created", Value: strconv.FormatBool(created)},
	}})
}
