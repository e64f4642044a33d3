package flow

import (
	"context"
	"fmt"
	"slices"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

// Lift ends a cut that is open or settled, at any time: what was sealed comes
// back, what a connector can undo is undone. Asking again changes nothing.
func (f *Flow) Lift(ctx context.Context, actor Actor, cutID, reason string) (cut.Cut, error) {
	switch {
	case actor.Machine || actor.Name == "":
		return cut.Cut{}, fault.New(fault.Denied, "only a person lifts a cut")
	case len(reason) > maxReason:
		return cut.Cut{}, fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(reason), maxReason)
	}
	// Drawn before the transaction: it makes a key file durable.
	next, err := f.drawReservation()
	if err != nil {
		return cut.Cut{}, fmt.Errorf("lift cut: %w", err)
	}
	err = f.act(ctx, func(tx Tx, e *effects) error {
		c, err := tx.CutRow(ctx, cutID)
		if err != nil {
			return err
		}
		if c.State == cut.Lifting || c.State == cut.Lifted {
			return nil
		}
		return f.lift(ctx, tx, e, actor, &c, reason, &next)
	})
	if err != nil {
		return cut.Cut{}, fmt.Errorf("lift cut: %w", err)
	}
	return f.Cut(ctx, cutID)
}

func (f *Flow) lift(
	ctx context.Context, tx Tx, e *effects, actor Actor, c *cut.Cut, reason string, next *Reservation,
) error {
	from := c.State
	to, err := cut.Next(c.State, cut.Lift)
	if err != nil {
		if from == cut.Held {
			return fault.Wrap(err, fault.Conflict, "the cut is held; refuse it instead")
		}
		return fault.Wrap(err, fault.Conflict, "the cut is %s; there is nothing to lift", from)
	}
	pending := c.PendingCase
	c.State, c.LiftReason, c.LiftActor = to, reason, actor.Name
	c.Unfinished, c.PendingCase, c.HeldReason = false, "", ""
	if err := tx.SetCut(ctx, from, *c); err != nil {
		return err
	}
	if err := f.recordCut(ctx, tx, "cut.lifting", actor.Name, c, evidence.Field{Name: "reason", Value: reason}); err != nil {
		return err
	}
	if err := f.dropPending(ctx, tx, pending, c); err != nil {
		return err
	}
	if err := f.undo(ctx, tx, e, c); err != nil {
		return err
	}
	if c.DeviceID != "" {
		if err := f.liftDevice(ctx, tx, e, c, next); err != nil {
			return err
		}
	}
	return f.settle(ctx, tx, e, c)
}

// dropPending ends a decision that waited to raise the cut that is lifted now,
// if it is about nothing else.
func (f *Flow) dropPending(ctx context.Context, tx Tx, caseID string, c *cut.Cut) error {
	if caseID == "" {
		return nil
	}
	k, err := tx.CaseByID(ctx, caseID)
	if err != nil || k.State != cut.CaseHeld {
		return err
	}
	others, err := tx.CutsOfCase(ctx, caseID, "", 2)
	if err != nil || len(others) > 1 || len(others) == 1 && others[0].ID != c.ID {
		return err
	}
	k.State = cut.CaseLapsed
	return tx.SetCase(ctx, cut.CaseHeld, k)
}

// liftDevice takes back what is on its way and, if the device may have carried
// anything out, sends the order that ends it.
func (f *Flow) liftDevice(ctx context.Context, tx Tx, e *effects, c *cut.Cut, next *Reservation) error {
	d, err := tx.Device(ctx, c.DeviceID)
	if err != nil {
		return err
	}
	if err := f.supersede(ctx, tx, c); err != nil {
		return err
	}
	orders, err := tx.OrdersOfCut(ctx, c.ID)
	if err != nil {
		return err
	}
	heard := slices.ContainsFunc(orders, func(o order.Order) bool { return o.Sent() })
	if !heard && c.ReceiptAt.IsZero() {
		e.device(d.ID) // it may have a lease again
		return f.renewReservation(ctx, tx, c, &d, next)
	}
	return f.draftLift(ctx, tx, e, c, &d, next)
}

// draftLift makes the order that ends a cut on its device, with the grant under
// which the device seals itself next time.
func (f *Flow) draftLift(
	ctx context.Context, tx Tx, e *effects, c *cut.Cut, d *device.Device, next *Reservation,
) error {
	if err := f.supersede(ctx, tx, c); err != nil {
		return err
	}
	if err := f.renewReservation(ctx, tx, c, d, next); err != nil {
		return err
	}
	g, err := tx.Group(ctx, d.Group)
	if err != nil {
		return err
	}
	grant, err := f.grant(d, &g)
	if err != nil {
		return err
	}
	return f.draft(ctx, tx, e, c, order.Order{Kind: order.Lift, NextGrant: grant, Reason: c.LiftReason})
}

// renewReservation gives the device the ids of its next cut, unless it has new
// ones already.
func (f *Flow) renewReservation(ctx context.Context, tx Tx, c *cut.Cut, d *device.Device, next *Reservation) error {
	if d.ReservedCut != c.ID {
		return nil
	}
	var r Reservation
	var err error
	if next == nil {
		r, err = f.reserve(ctx, tx, d.ID)
	} else {
		r = *next
		if err = f.keepReservation(ctx, tx, d.ID, r); err == nil {
			err = tx.SetReservation(ctx, d.ID, r.CutID, r.EscrowID, r.Recipient)
		}
	}
	if err != nil {
		return fmt.Errorf("reserve the next cut: %w", err)
	}
	d.ReservedCut, d.Escrow, d.Recipient = r.CutID, r.EscrowID, r.Recipient
	return nil
}

// undo withdraws what is still due and plans the undoing of what was done, or
// may have been, in reverse.
func (f *Flow) undo(ctx context.Context, tx Tx, e *effects, c *cut.Cut) error {
	steps, err := tx.Steps(ctx, c.ID)
	if err != nil {
		return err
	}
	undone := map[string]bool{}
	for i := range steps {
		if s := &steps[i]; s.UndoOf != "" && s.State != revoke.Withdrawn {
			undone[s.UndoOf] = true
		}
	}
	for i := range steps {
		s := &steps[i]
		if s.UndoOf != "" || s.Connector == revoke.Escrow { // a key that is gone stays gone
			continue
		}
		was := *s
		if s.Open() || s.State == revoke.Claimed {
			if err := f.withdraw(ctx, tx, c, s); err != nil {
				return err
			}
		}
		if was.Attempts > 0 && was.State != revoke.Withdrawn && !undone[was.ID] {
			if err := f.planUndo(ctx, tx, e, c, &was); err != nil {
				return err
			}
		}
	}
	return nil
}

// planUndo adds what undoes a step. One that a worker has in hand just now is
// undone when that worker is done, or its claim has run out.
func (f *Flow) planUndo(ctx context.Context, tx Tx, e *effects, c *cut.Cut, done *revoke.Step) error {
	if done.Undo != revoke.UndoFull || f.connectors == nil || done.Outcome == revoke.Unsupported {
		return nil
	}
	due := f.now()
	if done.State == revoke.Claimed && done.ClaimedUntil.After(due) {
		due = done.ClaimedUntil
	}
	for _, spec := range f.connectors.UndoSpecs(*done) {
		s := planned(c.ID, spec, due)
		s.UndoOf, s.Rank, s.Residual = done.ID, -done.Rank, spec.Residual // it exposes nothing
		if s.Params == nil {
			s.Params = done.Params
		}
		s.Memo = done.Memo
		if err := tx.InsertStep(ctx, s); err != nil {
			return err
		}
		c.Stepless = false
		e.steps = e.steps || s.Open()
		err := f.recordCut(ctx, tx, "step.undo-planned", "server", c, evidence.Field{Name: "step", Value: s.ID},
			evidence.Field{Name: "undo_of", Value: done.ID},
			evidence.Field{Name: "what", Value: s.Connector + " " + s.Action + " " + s.Target})
		if err != nil {
			return err
		}
	}
	return nil
}

// lateUndo brings the undo of a step, planned while a worker had the step in
// hand, up to what the worker found out since.
func (f *Flow) lateUndo(ctx context.Context, tx Tx, e *effects, done *revoke.Step) error {
	steps, err := tx.Steps(ctx, done.CutID)
	if err != nil {
		return err
	}
	for i := range steps {
		s := &steps[i]
		if s.UndoOf != done.ID || s.State != revoke.Planned {
			continue
		}
		s.Memo, s.Due = done.Memo, f.now()
		if f.connectors != nil {
			for _, spec := range f.connectors.UndoSpecs(*done) {
				if spec.Action == s.Action && spec.Params != nil {
					s.Params = spec.Params
				}
			}
		}
		if err := tx.SetStep(ctx, revoke.Planned, "", *s); err != nil {
			return err
		}
		e.steps = true
	}
	return nil
}
