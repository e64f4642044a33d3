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

// unit is what the brake counts: a distinct device, or a person or credential
// that has none.
type unit struct {
	name  string
	group string
}

// allowance is one budget's: at least floor, or percent of a group (or of the
// fleet) if that is more.
type allowance struct {
	budget  Budget
	floor   int
	percent int
	whose   string
}

// braked says why letting units through now would be too much, or is empty.
// What was let through within the window already is free.
func (f *Flow) braked(ctx context.Context, tx Tx, r *OpenRequest, units []unit) (string, error) {
	if len(units) == 0 {
		return "", nil
	}
	if r.Actor.Machine {
		if hold, err := f.clockHold(ctx, tx); hold != "" || err != nil {
			return hold, err
		}
	}
	if !r.Actor.Machine {
		return f.over(ctx, tx, units, allowance{
			Budget{Person: r.Actor.person()}, f.brake.People, f.brake.PeoplePercent, "for one person",
		})
	}
	over, err := f.over(ctx, tx, units, f.machineAllowance())
	if over != "" || err != nil {
		return over, err
	}
	for group, members := range byGroup(units) {
		over, err := f.over(ctx, tx, members, allowance{
			Budget{Machine: true, Group: group}, 0, f.brake.GroupPercent, "of group " + group + " without a person",
		})
		if over != "" || err != nil {
			return over, err
		}
	}
	return "", nil
}

// machineAllowance is the machine's for the whole fleet.
func (f *Flow) machineAllowance() allowance {
	return allowance{Budget{Machine: true}, f.brake.Machine, f.brake.MachinePercent, "without a person"}
}

// over counts only as far as it has to: most requests are below the floor.
func (f *Flow) over(ctx context.Context, tx Tx, units []unit, a allowance) (string, error) {
	since, coming := f.now().Add(-f.brake.Window), 0
	most, err := tx.CountUnits(ctx, a.budget, since)
	if err != nil {
		return "", err
	}
	if a.budget.Group == "" {
		if coming, err = tx.Remaining(ctx, a.budget); err != nil {
			return "", err
		}
	}
	if most+coming+len(units) <= a.floor {
		return "", nil
	}
	limit, err := f.limit(ctx, tx, a)
	if err != nil || most+coming+len(units) <= limit {
		return "", err
	}
	seen, err := tx.UnitsSince(ctx, a.budget, since)
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
	if total := len(known) + coming; len(known) > before && total > limit {
		return fmt.Sprintf("the brake: %d within %s, at most %d %s", total, f.brake.Window, limit, a.whose), nil
	}
	return "", nil
}

// limit is what an allowance comes to now: part of a group is rounded up, part
// of the fleet down.
func (f *Flow) limit(ctx context.Context, tx Tx, a allowance) (int, error) {
	size, err := tx.CountDevices(ctx, a.budget.Group)
	if a.budget.Group != "" {
		return (size*a.percent + 99) / 100, err
	}
	return max(a.floor, size*a.percent/100), err
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
