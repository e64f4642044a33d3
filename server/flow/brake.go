package flow

import (
	"context"
	"fmt"
	"time"
)

// BrakeLimits are how many distinct devices may be cut within a window before
// a case is held. The zero value of a field means its default. They come from
// the server's configuration file and from nowhere else.
type BrakeLimits struct {
	// Window is what is looked back on: 1 h.
	Window time.Duration
	// People and Machine are the floors of the two budgets: 3 and 3.
	People  int
	Machine int
	// PeoplePercent and MachinePercent are of the fleet: 5 and 5.
	PeoplePercent  int
	MachinePercent int
	// GroupPercent is the most of one group the machine may cut: 50.
	GroupPercent int
}

// DefaultBrake is what holds where nothing is configured.
func DefaultBrake() BrakeLimits {
	return BrakeLimits{
		Window: time.Hour, People: 3, Machine: 3, PeoplePercent: 5, MachinePercent: 5, GroupPercent: 50,
	}
}

// filled returns l with its zero fields set to their defaults.
func (l BrakeLimits) filled() BrakeLimits {
	d := DefaultBrake()
	if l.Window <= 0 {
		l.Window = d.Window
	}
	l.People = positive(l.People, d.People)
	l.Machine = positive(l.Machine, d.Machine)
	l.PeoplePercent = positive(l.PeoplePercent, d.PeoplePercent)
	l.MachinePercent = positive(l.MachinePercent, d.MachinePercent)
	l.GroupPercent = positive(l.GroupPercent, d.GroupPercent)
	return l
}

func positive(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// forPerson is how many units one person may cut of a fleet within the window.
func (l BrakeLimits) forPerson(fleet int) int { return max(l.People, fleet*l.PeoplePercent/100) }

// forMachine is how many units the machine may cut of a fleet.
func (l BrakeLimits) forMachine(fleet int) int { return max(l.Machine, fleet*l.MachinePercent/100) }

// forGroup is how many devices of one group the machine may cut: part of it,
// rounded up.
func (l BrakeLimits) forGroup(members int) int { return (members*l.GroupPercent + 99) / 100 }

// unit is what the brake counts: a distinct device, or a person or credential
// that has none.
type unit struct {
	name  string
	group string
}

// braked says why letting units through now would be too much, or is empty.
// What was let through within the window already is free.
func (f *Flow) braked(ctx context.Context, tx Tx, r *OpenRequest, units []unit) (string, error) {
	if len(units) == 0 {
		return "", nil
	}
	fleet, err := tx.CountDevices(ctx, "")
	if err != nil {
		return "", err
	}
	if !r.Actor.Machine {
		limit := f.brake.forPerson(fleet)
		return f.over(ctx, tx, Budget{Person: r.Actor.person()}, units, limit, "for one person")
	}
	over, err := f.over(ctx, tx, Budget{Machine: true}, units, f.brake.forMachine(fleet), "without a person")
	if over != "" || err != nil {
		return over, err
	}
	for group, members := range byGroup(units) {
		size, err := tx.CountDevices(ctx, group)
		if err != nil {
			return "", err
		}
		over, err := f.over(ctx, tx, Budget{Machine: true, Group: group}, members, f.brake.forGroup(size),
			"of group "+group+" without a person")
		if over != "" || err != nil {
			return over, err
		}
	}
	return "", nil
}

func (f *Flow) over(ctx context.Context, tx Tx, b Budget, units []unit, limit int, whose string) (string, error) {
	seen, err := tx.UnitsSince(ctx, b, f.now().Add(-f.brake.Window))
	if err != nil {
		return "", err
	}
	known := make(map[string]bool, len(seen)+len(units))
	for _, name := range seen {
		known[name] = true
	}
	before := len(known)
	for _, u := range units {
		known[u.name] = true
	}
	if len(known) == before {
		return "", nil
	}
	coming := 0
	if b.Group == "" {
		if coming, err = tx.Remaining(ctx, b); err != nil {
			return "", err
		}
	}
	if total := len(known) + coming; total > limit {
		return fmt.Sprintf("the brake: %d within %s, at most %d %s", total, f.brake.Window, limit, whose), nil
	}
	return "", nil
}

func byGroup(units []unit) map[string][]unit {
	groups := map[string][]unit{}
	for _, u := range units {
		if u.group != "" {
			groups[u.group] = append(groups[u.group], u)
		}
	}
	return groups
}

// person is the name under which the actor counts.
func (a Actor) person() string {
	if a.Person != "" {
		return a.Person
	}
	return a.Name
}
