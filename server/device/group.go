package device

import "time"

// Group is a set of devices with one row of deadlines.
type Group struct {
	Name     string
	Warn     time.Duration
	Seal     time.Duration
	Purge    time.Duration
	Renew    time.Duration
	Report   time.Duration
	AtExpiry string
	// Approvals is how many people must agree to a person's cut.
	Approvals int
	// OnTamper is what a device does when its clock was set back.
	OnTamper string
	// BootToll is charged for each boot without contact.
	BootToll time.Duration
	// AutoLift: who was sealed for silence alone comes back without a person.
	AutoLift bool
	// Stopped is how long a device may stay silent whose agent was stopped
	// without permission; never longer than Seal.
	Stopped time.Duration
	// Help is the line under each warning on the user's screen.
	Help string
	// Privileged devices are never lifted without a person.
	Privileged bool
}

// What an agent does when its lease runs out (Group.AtExpiry).
const (
	ExpirySeal  = "seal"
	ExpiryPurge = "purge"
)

// What an agent does about a clock that was set back (Group.OnTamper).
const (
	TamperSeal   = "seal"
	TamperReport = "report"
)

// DefaultGroup is the name of the group that always exists.
const DefaultGroup = "default"

// Defaults returns a new group's row: 48 h, 72 h, 14 d, 5 min, seal; four hours
// for an agent that was stopped.
func Defaults(name string) Group {
	return Group{
		Name: name, Warn: 48 * time.Hour, Seal: 72 * time.Hour, Purge: 14 * 24 * time.Hour,
		Renew: 5 * time.Minute, Report: 5 * time.Minute, AtExpiry: ExpirySeal,
		OnTamper: TamperSeal, AutoLift: true, Stopped: 4 * time.Hour,
	}
}

// Privilege returns g as a privileged group: 2 h, 4 h, 24 h, a quarter of an
// hour for an agent that was stopped, and nobody comes back without a person.
func (g Group) Privilege() Group {
	g.Privileged, g.AutoLift = true, false
	g.Warn, g.Seal, g.Purge, g.Stopped = 2*time.Hour, 4*time.Hour, 24*time.Hour, 15*time.Minute
	return g
}
