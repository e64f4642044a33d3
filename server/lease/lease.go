// Package lease decides whether a device may go on trusting itself, and for how
// long. It is pure: flow reads and keeps the rows, the agent counts the time.
package lease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
)

// NonceSize is how long the nonce of a request is, in bytes.
const NonceSize = 32

// Facts of a device for which it gets no lease, whatever its cut.
const (
	// FactClone: a certificate that had been replaced was seen again.
	FactClone = "clone"
	// FactTamper: the agent found its own state unreadable.
	FactTamper = "tamper"
	// FactRollback: the device reported a number far above what it was given.
	FactRollback = "rollback"
)

// Reason says why there is no lease; empty when there is one.
type Reason string

// Reasons.
const (
	Granted Reason = ""
	Pending Reason = "pending"
	Retired Reason = "retired"
	Purged  Reason = "purged"
	Expired Reason = "certificate-expired"
	Cut     Reason = "cut"
	Clone   Reason = FactClone
	Tamper  Reason = FactTamper
)

// Withheld says why the device d, whose standing cut is in state standing
// (empty: it has none), gets no lease now. A held, refused or lapsed cut
// withholds nothing; the facts clone and tamper always do.
func Withheld(d *device.Device, standing cut.State, expired bool) Reason {
	switch {
	case expired:
		return Expired
	case slices.Contains(d.Facts, FactClone):
		return Clone
	case slices.Contains(d.Facts, FactTamper):
		return Tamper
	case standing == cut.Open, standing == cut.Settled, standing == cut.Lifting:
		return Cut
	}
	switch d.State {
	case device.Trusted, device.Warned, device.Sealed:
		// Sealed without a standing cut: the lift is done, its state follows.
		return Granted
	case device.Retired:
		return Retired
	case device.Purged:
		return Purged
	default:
		return Pending
	}
}

// New is the lease number number for d in group g, answering nonce.
func New(d *device.Device, g *device.Group, number uint64, nonce []byte) *cutoffv1.Lease {
	return &cutoffv1.Lease{
		DeviceId: d.ID, Number: number, Nonce: nonce,
		WarnMs: g.Warn.Milliseconds(), SealMs: g.Seal.Milliseconds(), RenewMs: g.Renew.Milliseconds(),
		AtExpiry: atExpiry(g), CutId: d.ReservedCut, EscrowRecipient: d.Recipient,
		OnTamper: onTamper(g), BootTollMs: g.BootToll.Milliseconds(), Help: g.Help,
	}
}

// Standing is the standing grant of d in group g: what the device does once no
// lease came in time, or the one it had cannot be read. One that a person has
// yet to admit has nothing that runs out.
func Standing(d *device.Device, g *device.Group) *cutoffv1.StandingGrant {
	grant := &cutoffv1.StandingGrant{DeviceId: d.ID, CutId: d.ReservedCut, EscrowRecipient: d.Recipient}
	if d.State == device.Pending {
		return grant
	}
	grant.WarnMs, grant.SealMs, grant.BootTollMs = g.Warn.Milliseconds(), g.Seal.Milliseconds(), g.BootToll.Milliseconds()
	grant.AtExpiry, grant.OnTamper, grant.Help = atExpiry(g), onTamper(g), g.Help
	return grant
}

func atExpiry(g *device.Group) cutoffv1.AtExpiry {
	if g.AtExpiry == device.ExpiryPurge {
		return cutoffv1.AtExpiry_AT_EXPIRY_PURGE
	}
	return cutoffv1.AtExpiry_AT_EXPIRY_SEAL
}

func onTamper(g *device.Group) cutoffv1.OnTamper {
	if g.OnTamper == device.TamperReport {
		return cutoffv1.OnTamper_ON_TAMPER_REPORT
	}
	return cutoffv1.OnTamper_ON_TAMPER_SEAL
}

// longestHelp bounds a group's help line, in bytes: it is on a user's screen.
const longestHelp = 200

func helpLine(s string) bool {
	return len(s) <= longestHelp && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Shortest and Longest bound a group's deadlines.
const (
	Shortest = time.Second
	Longest  = 366 * 24 * time.Hour
)

// Check says what is wrong with a group's deadlines, or nil. An agent must have
// the time to renew before it warns, to warn before it seals, and the server
// seals before it purges.
func Check(g *device.Group) error {
	named := []struct {
		name  string
		value time.Duration
	}{{"renew", g.Renew}, {"warn", g.Warn}, {"seal", g.Seal}, {"purge", g.Purge}, {"report", g.Report}, {"stopped", g.Stopped}}
	for _, d := range named {
		if d.value < Shortest || d.value > Longest {
			return fmt.Errorf("%s is %s; it must be from %s to %s", d.name, d.value, Shortest, Longest)
		}
		if d.value%time.Millisecond != 0 {
			return fmt.Errorf("%s is %s; the unit is a millisecond", d.name, d.value)
		}
	}
	for i := range 3 {
		if a, b := named[i], named[i+1]; a.value >= b.value {
			return fmt.Errorf("%s (%s) must be shorter than %s (%s)", a.name, a.value, b.name, b.value)
		}
	}
	switch {
	case g.AtExpiry != device.ExpirySeal && g.AtExpiry != device.ExpiryPurge:
		return fmt.Errorf("at expiry %.20q; it must be seal or purge", g.AtExpiry)
	case g.Approvals < 0 || g.Approvals > 5:
		return errors.New("approvals must be from 0 to 5")
	case g.OnTamper != device.TamperSeal && g.OnTamper != device.TamperReport:
		return fmt.Errorf("on tamper %.20q; it must be seal or report", g.OnTamper)
	case g.BootToll < 0 || g.BootToll >= g.Seal || g.BootToll%time.Millisecond != 0:
		return fmt.Errorf("boot toll is %s; it must be whole milliseconds, shorter than seal (%s)", g.BootToll, g.Seal)
	case g.Privileged && g.AutoLift:
		return errors.New("a privileged group's devices are lifted by a person: auto-lift stays off")
	case !helpLine(g.Help):
		return fmt.Errorf("the help line must be one line of at most %d bytes of plain text", longestHelp)
	}
	return nil
}
