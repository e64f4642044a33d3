package flow

import "time"

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
