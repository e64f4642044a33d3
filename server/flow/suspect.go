package flow

import (
	"context"
	"slices"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// suspect notes that a device's identity is in two hands, or that its state was
// put back, and asks a person: a seal that is held, whatever the brake says.
func (f *Flow) suspect(ctx context.Context, tx Tx, e *effects, d *device.Device, fact string, about ...evidence.Field) error {
	if slices.Contains(d.Facts, fact) {
		return nil
	}
	if err := f.addFact(ctx, tx, d, fact, about...); err != nil {
		return err
	}
	c, found, err := f.standing(ctx, tx, d)
	if err != nil || found && (c.Active() || c.State == cut.Held) || d.State != device.Trusted && d.State != device.Warned {
		return err
	}
	why := "its state was put back to an earlier one (" + fact + ")"
	if fact == lease.FactClone {
		why = "two have its identity (" + fact + ")"
	}
	o := opening{}
	err = f.openInTx(ctx, tx, e, &OpenRequest{
		Device: d.ID, Level: cut.Seal, Cause: cut.Signal, Reason: why, Actor: Actor{Name: "server", Person: "server", Machine: true},
		hold: why + ": a person decides; admit the device if it is explained",
	}, &o)
	if err == nil && len(o.cuts) > 0 {
		d.CutID = o.cuts[0]
	}
	return err
}

// verdict turns what a device's word shows of itself into the fact it is.
func (f *Flow) verdict(ctx context.Context, tx Tx, e *effects, d *device.Device, v device.Verdict, about ...evidence.Field) error {
	switch v {
	case device.RolledBack:
		return f.suspect(ctx, tx, e, d, lease.FactRollback, about...)
	case device.Doubled:
		return f.suspect(ctx, tx, e, d, lease.FactClone, about...)
	}
	return nil
}

// dropSuspicion ends the held decision about a device that a person admitted.
func (f *Flow) dropSuspicion(ctx context.Context, actor Actor, deviceID string) error {
	var c cut.Cut
	var found bool
	err := f.store.View(ctx, func(tx Tx) (err error) {
		c, found, err = tx.HeldSignal(ctx, deviceID)
		return err
	})
	if err != nil || !found {
		return err
	}
	err = f.turnDown(ctx, actor.Name, c.CaseID, cut.Refuse, cut.CaseRefused)
	if fault.Is(err, fault.Conflict) {
		return nil // somebody else has just decided
	}
	return err
}
