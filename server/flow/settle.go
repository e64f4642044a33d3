package flow

import (
	"context"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/revoke"
)

// settle moves a cut to where what is due puts it, with its evidence.
func (f *Flow) settle(ctx context.Context, tx Tx, e *effects, c *cut.Cut) error {
	from := c.State
	if err := f.due(ctx, tx, e, c); err != nil || c.State == from {
		return err
	}
	if err := tx.SetCut(ctx, from, *c); err != nil {
		return err
	}
	kind := "cut." + string(c.State)
	if c.State == cut.Open {
		kind = "cut.reopened"
	}
	if err := f.recordCut(ctx, tx, kind, "server", c); err != nil || c.State != cut.Lifted {
		return err
	}
	return f.lifted(ctx, tx, c)
}

// due sets a cut's state by what is due: settled when nothing is, open again
// when something is, lifted when everything is back. Nothing is written.
func (f *Flow) due(ctx context.Context, tx Tx, e *effects, c *cut.Cut) (err error) {
	e.cut(c.ID)
	if !c.Active() {
		return nil
	}
	c.Steps = nil
	if c.LetThrough && !c.Stepless { // or it has none
		if c.Steps, err = tx.Steps(ctx, c.ID); err != nil {
			return err
		}
	}
	quiet := c.Quiet()
	switch {
	case c.State == cut.Open && quiet:
		c.State, err = cut.Next(c.State, cut.Settle)
		c.SettledAt = f.now()
	case c.State == cut.Settled && !quiet:
		c.State, err = cut.Next(c.State, cut.Reopen)
		c.SettledAt = time.Time{}
	case c.State == cut.Lifting && quiet:
		c.State, err = cut.Next(c.State, cut.Return)
		c.LiftedAt = f.now()
	}
	return err
}

// lifted lets the device of a cut that is lifted go: if it was sealed, it is
// trusted again. What was purged stays so.
func (f *Flow) lifted(ctx context.Context, tx Tx, c *cut.Cut) error {
	if c.DeviceID == "" {
		return nil
	}
	d, err := tx.Device(ctx, c.DeviceID)
	if err != nil {
		return err
	}
	if d.CutID == c.ID {
		if err := tx.SetStandingCut(ctx, d.ID, ""); err != nil {
			return err
		}
		if err := f.trustAnew(ctx, tx, &d); err != nil {
			return err
		}
		if d.State == device.Sealed {
			return f.moveDevice(ctx, tx, c, &d, device.Trusted)
		}
	}
	return nil
}

// moveDevice changes the device's state as the cut's receipts say; a state that
// does not allow it (retired, purged) stays.
func (f *Flow) moveDevice(ctx context.Context, tx Tx, c *cut.Cut, d *device.Device, to device.State) error {
	if _, err := device.Move(d.State, to); err != nil || d.State == to {
		return nil
	}
	if err := tx.MoveDevice(ctx, d.ID, d.State, to); err != nil {
		return err
	}
	was := d.State
	d.State = to
	return f.record(ctx, tx, evidence.Event{
		Kind: "device." + string(to), Actor: "server", DeviceID: d.ID, CutID: c.ID, CaseID: c.CaseID,
		Fields: []evidence.Field{{Name: "was", Value: string(was)}},
	})
}

// complete reads what a cut's row leaves out.
func (f *Flow) complete(ctx context.Context, tx Tx, c *cut.Cut) (err error) {
	if !c.ReceiptAt.IsZero() { // items come with receipts
		if c.Items, err = tx.Items(ctx, c.ID); err != nil {
			return err
		}
	}
	if !c.Stepless {
		if c.Steps, err = tx.Steps(ctx, c.ID); err != nil {
			return err
		}
	}
	c.Approvals, err = tx.Approvals(ctx, c.CaseID)
	if err != nil || c.PendingCase == "" || c.PendingCase == c.CaseID {
		return err
	}
	more, err := tx.Approvals(ctx, c.PendingCase)
	c.Approvals = append(c.Approvals, more...)
	return err
}

// Cut is one, whole.
func (f *Flow) Cut(ctx context.Context, id string) (c cut.Cut, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		if c, err = tx.CutRow(ctx, id); err != nil {
			return err
		}
		return f.complete(ctx, tx, &c)
	})
	return c, err
}

// Case lists a case's cuts, and those that stood already when it was asked for
// more, whole up to a hundred; beyond that without items and steps.
func (f *Flow) Case(ctx context.Context, id string) (cuts []cut.Cut, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		if _, err := tx.CaseByID(ctx, id); err != nil {
			return err
		}
		if cuts, err = tx.CutsOfCase(ctx, id, "", 0); err != nil {
			return err
		}
		if len(cuts) > caseBatch {
			return f.weigh(ctx, tx, cuts)
		}
		for i := range cuts {
			if err := f.complete(ctx, tx, &cuts[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return cuts, err
}

// Cuts lists cuts, newest first, without items and steps; what lives on of
// them is in each cut's Lives.
func (f *Flow) Cuts(ctx context.Context, filter CutFilter) (cuts []cut.Cut, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		if cuts, err = tx.Cuts(ctx, filter); err != nil {
			return err
		}
		return f.weigh(ctx, tx, cuts)
	})
	return cuts, err
}

func (f *Flow) weigh(ctx context.Context, tx Tx, cuts []cut.Cut) error {
	for i := range cuts {
		lives, err := tx.Lives(ctx, cuts[i].ID)
		if err != nil {
			return err
		}
		cuts[i].Lives = &lives
	}
	return nil
}

// shown is the cut of that id, or the first of the case of that id.
func (f *Flow) shown(ctx context.Context, id string) (c cut.Cut, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		if c, err = tx.CutRow(ctx, id); err == nil {
			return f.complete(ctx, tx, &c)
		}
		cuts, err := tx.CutsOfCase(ctx, id, "", 1)
		if err != nil || len(cuts) == 0 {
			return err
		}
		c = cuts[0]
		return f.complete(ctx, tx, &c)
	})
	return c, err
}

// Exposure of a cut as of now: the latest time until which anything of it may
// still work.
func (f *Flow) Exposure(c *cut.Cut) revoke.Residual { return cut.Exposure(c, f.now()) }
