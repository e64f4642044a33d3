package flow

import (
	"context"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/revoke"
)

// settle moves a cut to where what is due puts it: settled when nothing is,
// open again when something is, lifted when everything is back.
func (f *Flow) settle(ctx context.Context, tx Tx, e *effects, c *cut.Cut) error {
	e.cut(c.ID)
	if !c.Active() {
		return nil
	}
	row, err := tx.CutRow(ctx, c.ID)
	if err != nil {
		return err
	}
	c.OrderState, c.OrderKind = row.OrderState, row.OrderKind
	if c.Steps, err = tx.Steps(ctx, c.ID); err != nil {
		return err
	}
	quiet := c.Quiet()
	switch {
	case c.State == cut.Open && quiet:
		return f.move(ctx, tx, c, cut.Settle)
	case c.State == cut.Settled && !quiet:
		return f.move(ctx, tx, c, cut.Reopen)
	case c.State == cut.Lifting && quiet:
		return f.lifted(ctx, tx, c)
	}
	return nil
}

// move changes a cut's state by an event, with its evidence.
func (f *Flow) move(ctx context.Context, tx Tx, c *cut.Cut, event cut.Event) error {
	from := c.State
	to, err := cut.Next(from, event)
	if err != nil {
		return err
	}
	c.State = to
	switch event {
	case cut.Settle:
		c.SettledAt = f.now()
	case cut.Reopen:
		c.SettledAt = time.Time{}
	case cut.Return:
		c.LiftedAt = f.now()
	}
	if err := tx.SetCut(ctx, from, *c); err != nil {
		return err
	}
	return f.recordCut(ctx, tx, moved(event, to), "server", c,
		evidence.Field{Name: "exposure", Value: cut.Exposure(c, f.now()).String()})
}

func moved(event cut.Event, to cut.State) string {
	if event == cut.Reopen {
		return "cut.reopened"
	}
	return "cut." + string(to)
}

// lifted ends a cut: the device, if it was sealed, is trusted again. What was
// purged stays so.
func (f *Flow) lifted(ctx context.Context, tx Tx, c *cut.Cut) error {
	if err := f.move(ctx, tx, c, cut.Return); err != nil {
		return err
	}
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
	if c.Items, err = tx.Items(ctx, c.ID); err != nil {
		return err
	}
	if c.Steps, err = tx.Steps(ctx, c.ID); err != nil {
		return err
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
