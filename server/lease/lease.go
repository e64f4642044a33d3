// Package lease decides whether a device may go on trusting itself, and for how
// long. It is pure: flow reads and keeps the rows, the agent counts the time.
package lease

import (
	"errors"
	"fmt"
	"slices"
	"time"

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
	atExpiry := cutoffv1.AtExpiry_AT_EXPIRY_SEAL
	if g.AtExpiry == device.ExpiryPurge {
		atExpiry = cutoffv1.AtExpiry_AT_EXPIRY_PURGE
	}
	return &cutoffv1.Lease{
		DeviceId: d.ID, Number: number, Nonce: nonce,
		WarnMs: g.Warn.Milliseconds(), SealMs: g.Seal.Milliseconds(), RenewMs: g.Renew.Milliseconds(),
		AtExpiry: atExpiry, CutId: d.ReservedCut, EscrowRecipient: d.Recipient,
	}
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
	}{{"renew", g.Renew}, {"warn", g.Warn}, {"seal", g.Seal}, {"purge", g.Purge}, {"report", g.Report}}
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
	}
	return nil
}
