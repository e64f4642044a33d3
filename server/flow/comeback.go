package flow

import (
	"context"
	"fmt"
	"slices"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/policy"
)

// heardAgain takes back what the machine asked for only because the device was
// silent, and what nobody has let through: it proved its key just now. What
// stands goes on, and so does what a person or a fact asked for.
func (f *Flow) heardAgain(ctx context.Context, tx Tx, e *effects, d *device.Device) error {
	c, found, err := f.standing(ctx, tx, d)
	if err != nil || !found {
		return err
	}
	switch {
	case c.State == cut.Held && c.Cause == cut.Expiry:
		return f.lapseSilence(ctx, tx, e, d, &c)
	case c.PendingCase != "":
		k, err := tx.CaseByID(ctx, c.PendingCase)
		if err != nil || k.Cause != cut.Expiry || k.State != cut.CaseHeld || k.Level == c.Level {
			return err
		}
		from := c.State
		c.PendingCase, c.HeldReason = "", ""
		e.cut(c.ID)
		if err := tx.SetCut(ctx, from, c); err != nil {
			return err
		}
		if err := f.recordCut(ctx, tx, "cut.more-lapse", silenceActor.Name, &c); err != nil {
			return err
		}
		return f.emptied(ctx, tx, &k)
	}
	return nil
}

// lapseSilence ends one held cut of a device that is back. It leaves its case,
// which may hold others: who approves that must not cut this one again.
func (f *Flow) lapseSilence(ctx context.Context, tx Tx, e *effects, d *device.Device, c *cut.Cut) error {
	k, err := tx.CaseByID(ctx, c.CaseID)
	if err != nil || !k.Machine {
		return err
	}
	own := k
	own.ID, own.State, own.DeviceID, own.HeldReason, own.Remaining = newID("case_"), cut.CaseLapsed, d.ID, "", 0
	if err := tx.InsertCase(ctx, own); err != nil {
		return err
	}
	from := c.State
	if c.State, err = cut.Next(from, cut.Lapse); err != nil {
		return err
	}
	c.CaseID, c.HeldReason = own.ID, ""
	e.cut(c.ID)
	if err := tx.SetCut(ctx, from, *c); err != nil {
		return err
	}
	if err := tx.SetStandingCut(ctx, d.ID, ""); err != nil {
		return err
	}
	d.CutID = ""
	if err := f.recordCut(ctx, tx, "cut.lapsed", silenceActor.Name, c, evidence.Field{Name: "was_case", Value: k.ID},
		evidence.Field{Name: "why", Value: "the device is back"}); err != nil {
		return err
	}
	return f.emptied(ctx, tx, &k)
}

// emptied ends a held case of which no cut is left.
func (f *Flow) emptied(ctx context.Context, tx Tx, k *cut.Case) error {
	rest, err := tx.CutsOfCase(ctx, k.ID, "", 1)
	if err != nil || len(rest) > 0 || k.State != cut.CaseHeld {
		return err
	}
	k.State = cut.CaseLapsed
	return tx.SetCase(ctx, cut.CaseHeld, *k)
}

// stays says why the device's cut does not end by itself, or is empty. Only a
// seal that its silence alone made ends so, once the device has sealed what it
// had, proved its key and reported a posture that policy bears.
func (f *Flow) stays(ctx context.Context, tx Tx, d *device.Device, c *cut.Cut) (string, error) {
	switch {
	case c.Cause != cut.Expiry || c.Level != cut.Seal || c.State != cut.Open && c.State != cut.Settled:
		return "it is not a seal that silence made", nil
	case c.PendingCase != "":
		k, err := tx.CaseByID(ctx, c.PendingCase)
		if err != nil || !k.Machine || k.Cause != cut.Expiry {
			return "somebody asks for more", err
		}
	}
	if len(d.Facts) > 0 {
		return "the device has the fact " + d.Facts[0], nil
	}
	g, err := tx.Group(ctx, d.Group)
	if err != nil {
		return "", err
	}
	if !g.AutoLift {
		return "devices of group " + g.Name + " come back by a person's word", nil
	}
	if c.ReceiptAt.IsZero() {
		return "the device has not answered yet", nil
	}
	_, at, err := tx.Posture(ctx, d.ID)
	if err != nil {
		return "", err
	}
	if d.Silence.HelloAt.IsZero() || at.Before(d.Silence.HelloAt) {
		return "it has not reported since it is back", nil
	}
	last, err := tx.Decision(ctx, d.ID)
	if err == nil && last.Consequence == policy.Seal {
		return "it does not pass policy", nil
	}
	return "", err
}

// comeBack ends the device's cut if that is one that ends by itself.
func (f *Flow) comeBack(ctx context.Context, deviceID string) error {
	may := func(tx Tx) (c cut.Cut, yes bool, err error) {
		d, err := tx.Device(ctx, deviceID)
		if err != nil {
			return c, false, err
		}
		c, found, err := f.standing(ctx, tx, &d)
		if err != nil || !found {
			return c, false, err
		}
		why, err := f.stays(ctx, tx, &d, &c)
		return c, err == nil && why == "", err
	}
	var yes bool
	err := f.store.View(ctx, func(tx Tx) (err error) {
		_, yes, err = may(tx)
		return err
	})
	if err != nil || !yes {
		return err
	}
	next, err := f.drawReservation()
	if err != nil {
		return fmt.Errorf("lift cut of %s: %w", deviceID, err)
	}
	err = f.act(ctx, func(tx Tx, e *effects) error {
		c, yes, err := may(tx)
		if err != nil || !yes {
			return err
		}
		return f.lift(ctx, tx, e, silenceActor, &c, "the device is back in contact and passes policy", &next)
	})
	if err != nil {
		return fmt.Errorf("lift cut of %s: %w", deviceID, err)
	}
	return nil
}

// trustAnew gives a device whose cut is lifted the time of a lease before its
// silence counts again: it may be away still.
func (f *Flow) trustAnew(ctx context.Context, tx Tx, d *device.Device) error {
	g, err := tx.Group(ctx, d.Group)
	if err != nil {
		return err
	}
	if d.Silence.GrantedUntil.IsZero() {
		return nil
	}
	d.Silence.After = f.now()
	d.Silence = d.Silence.Granted(&g, d.ExtendedUntil, f.now())
	return tx.SetSilence(ctx, d.ID, d.Silence)
}

// tampered are facts in a receipt that speak against the device.
var tampered = []string{"tamper", "clock-below-mark", "standing-grant"}

// noteTampering keeps what a receipt says against its device.
func (f *Flow) noteTampering(ctx context.Context, tx Tx, d *device.Device, facts []string) error {
	for _, fact := range tampered {
		if slices.Contains(facts, fact) {
			if err := f.addFact(ctx, tx, d, fact); err != nil {
				return err
			}
		}
	}
	return nil
}
