package flow

import (
	"context"
	"fmt"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

// cutTarget makes the target's cut what the case asks for: let through, or
// waiting for the case. c is what cutOf answers for it in this transaction. It
// returns the cut's id.
func (f *Flow) cutTarget(
	ctx context.Context, tx Tx, e *effects, k *cut.Case, t target, c *cut.Cut, through bool,
) (string, error) {
	fresh := c == nil
	if fresh {
		made, err := f.newCut(ctx, tx, k, t, through)
		if err != nil {
			return "", err
		}
		c = &made
	}
	e.cut(c.ID)
	if !through {
		return c.ID, f.wait(ctx, tx, k, c, fresh)
	}
	if !fresh && c.LetThrough && (c.State == cut.Open || c.State == cut.Settled) && !k.Level.Above(c.Level) && !taken(c, k) {
		return c.ID, nil
	}
	return c.ID, f.letThrough(ctx, tx, e, k, c, t, fresh)
}

// newCut inserts the row, under the device's reserved id if it has a device.
func (f *Flow) newCut(ctx context.Context, tx Tx, k *cut.Case, t target, through bool) (cut.Cut, error) {
	c := cut.Cut{
		ID: newID("cut_"), CaseID: k.ID, Level: k.Level, State: cut.Held, Cause: k.Cause, Reason: k.Reason, Actor: k.Actor,
		OpenedAt: f.now(), HeldReason: k.HeldReason, OrderState: order.None, Stepless: true,
	}
	switch {
	case t.device != nil:
		c.ID, c.Escrow, c.DeviceID, c.PersonID = t.device.ReservedCut, t.device.Escrow, t.device.ID, t.device.PersonID
	case t.person != nil:
		c.PersonID = t.person.ID
	default:
		c.CredentialID = t.credential.ID
	}
	if through {
		c.State, c.LetThrough, c.HeldReason = cut.Open, true, ""
	}
	if err := tx.InsertCut(ctx, c); err != nil {
		return cut.Cut{}, fmt.Errorf("insert cut: %w", err)
	}
	if c.DeviceID == "" {
		return c, nil
	}
	t.device.CutID = c.ID
	return c, tx.SetStandingCut(ctx, c.DeviceID, c.ID)
}

// wait leaves a cut waiting for the case.
func (f *Flow) wait(ctx context.Context, tx Tx, k *cut.Case, c *cut.Cut, fresh bool) error {
	if fresh {
		return f.recordCut(ctx, tx, "cut.held", k.Actor, c, evidence.Field{Name: "held", Value: k.HeldReason})
	}
	from := c.State
	switch c.State {
	case cut.Open, cut.Settled, cut.Lifting:
		if c.PendingCase == k.ID {
			return nil
		}
		c.PendingCase, c.HeldReason = k.ID, string(k.Level)+": "+k.HeldReason
	default:
		if c.State != cut.Held {
			next, err := cut.Next(c.State, cut.AskAgain)
			if err != nil {
				return fault.Wrap(err, fault.Conflict, "the cut is %s", c.State)
			}
			c.State = next
		}
		if c.CaseID == k.ID && from == cut.Held {
			return nil
		}
		rule(c, k)
		c.OpenedAt, c.HeldReason = f.now(), k.HeldReason
	}
	if err := tx.SetCut(ctx, from, *c); err != nil {
		return err
	}
	if c.DeviceID != "" {
		if err := tx.SetStandingCut(ctx, c.DeviceID, c.ID); err != nil {
			return err
		}
	}
	return f.recordCut(ctx, tx, "cut.held", k.Actor, c, evidence.Field{Name: "held", Value: k.HeldReason},
		evidence.Field{Name: "asked_level", Value: string(k.Level)}, evidence.Field{Name: "asked_case", Value: k.ID})
}

// rule gives a cut the words of a new decision.
func rule(c *cut.Cut, k *cut.Case) {
	c.CaseID, c.Level, c.Cause, c.Reason, c.Actor = k.ID, k.Level, k.Cause, k.Reason, k.Actor
}

// letThrough makes a cut stand: its order, its steps, its evidence.
func (f *Flow) letThrough(
	ctx context.Context, tx Tx, e *effects, k *cut.Case, c *cut.Cut, t target, fresh bool,
) error {
	from, kind := c.State, "cut.opened"
	again := c.State == cut.Lifting
	escalates := !fresh && c.Active() && !again && k.Level.Above(c.Level)
	counted := !fresh && c.Active() && c.LetThrough && !again
	sealed := !fresh && c.DeviceID != "" && !c.ReceiptAt.IsZero()
	if !fresh {
		event := passing(c.State)
		if c.State == cut.Refused || c.State == cut.Lapsed {
			c.State = cut.Held
		}
		next, err := cut.Next(c.State, event)
		if err != nil {
			return fault.Wrap(err, fault.Conflict, "the cut is %s", c.State)
		}
		c.State = next
		switch {
		case again:
			kind = "cut.again"
		case escalates:
			kind = "cut.escalated"
		case from.Standing() && taken(c, k):
			kind = "cut.taken-over"
		}
		f.adoptThrough(c, k, from)
		if err := tx.SetCut(ctx, from, *c); err != nil {
			return err
		}
	}
	if err := f.recordCut(ctx, tx, kind, k.Actor, c, evidence.Field{Name: "reason", Value: k.Reason}); err != nil {
		return err
	}
	if again {
		if err := f.withdrawUndos(ctx, tx, c); err != nil {
			return err
		}
	}
	if err := f.orderFor(ctx, tx, e, c, t, sealed && !escalates && !again); err != nil {
		return err
	}
	if escalates { // an order to seal, or a lease, may have sealed it without a word yet
		if err := f.shred(ctx, tx, e, c); err != nil {
			return err
		}
	}
	if err := f.plan(ctx, tx, e, c, t); err != nil {
		return err
	}
	if !counted || k.Machine && escalates {
		if err := f.count(ctx, tx, k, c, t); err != nil {
			return err
		}
	}
	return f.settle(ctx, tx, e, c)
}

// passing is the event by which a new decision takes hold in a state.
func passing(s cut.State) cut.Event {
	switch s {
	case cut.Open, cut.Settled:
		return cut.Reopen
	case cut.Lifting:
		return cut.CutAgain
	}
	return cut.Approve
}

// adoptThrough gives a cut that is let through what the case says; one that
// stood already keeps its case, and never gets a lower level.
func (f *Flow) adoptThrough(c *cut.Cut, k *cut.Case, from cut.State) {
	stood := from.Standing() && c.LetThrough
	level := c.Level
	if stood && taken(c, k) {
		c.Cause, c.Reason, c.Actor = k.Cause, k.Reason, k.Actor
	}
	if !stood || from == cut.Lifting {
		rule(c, k)
		if from != cut.Held || c.OpenedAt.IsZero() {
			c.OpenedAt = f.now()
		}
	}
	c.Level = k.Level
	if (from == cut.Open || from == cut.Settled) && level.Above(k.Level) {
		c.Level = level
	}
	c.LetThrough, c.PendingCase, c.HeldReason = true, "", ""
	c.SettledAt = time.Time{}
	c.LiftReason, c.LiftActor = "", ""
}

// taken reports whether a person takes over what the machine opened for a
// silence, so that it does not end by itself.
func taken(c *cut.Cut, k *cut.Case) bool { return c.Cause == cut.Expiry && !k.Machine }

// orderFor replaces what is on its way to the device by an order of the cut's
// level; a device that sealed itself needs none to seal.
func (f *Flow) orderFor(ctx context.Context, tx Tx, e *effects, c *cut.Cut, t target, answered bool) error {
	if c.DeviceID == "" {
		return nil
	}
	if t.device.CutID != c.ID {
		if err := tx.SetStandingCut(ctx, c.DeviceID, c.ID); err != nil {
			return err
		}
	}
	if err := f.withdrawRemoval(ctx, tx, t.device.ID); err != nil {
		return err
	}
	if answered && c.Level == cut.Seal {
		return nil
	}
	if err := f.supersede(ctx, tx, c); err != nil {
		return err
	}
	kind := order.Seal
	if c.Level == cut.Purge {
		kind = order.Purge
	}
	recipient := t.device.Recipient
	if t.device.Escrow != c.Escrow {
		key, err := tx.Escrow(ctx, c.Escrow)
		if err != nil {
			return fmt.Errorf("read escrow of %s: %w", c.ID, err)
		}
		recipient = key.Recipient
	}
	return f.draft(ctx, tx, e, c, order.Order{Kind: kind, Recipient: recipient, Reason: c.Reason})
}

// count notes the target under the budget of who asked.
func (f *Flow) count(ctx context.Context, tx Tx, k *cut.Case, c *cut.Cut, t target) error {
	alone := 1
	if k.PersonID != "" && t.person != nil {
		devices, err := tx.DevicesOfPerson(ctx, k.PersonID)
		if err != nil {
			return err
		}
		alone = len(devices) + 1
	}
	u := t.unit(alone)
	if u.name == "" {
		return nil
	}
	b := Budget{Person: k.Person, Machine: k.Machine, Group: u.group}
	return tx.CountUnit(ctx, b, u.name, f.now())
}

// withdrawUndos takes back the undo steps of a lift that is superseded.
func (f *Flow) withdrawUndos(ctx context.Context, tx Tx, c *cut.Cut) error {
	steps, err := tx.Steps(ctx, c.ID)
	if err != nil {
		return err
	}
	for i := range steps {
		if s := &steps[i]; s.UndoOf != "" && s.Open() {
			if err := f.withdraw(ctx, tx, c, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Flow) withdraw(ctx context.Context, tx Tx, c *cut.Cut, s *revoke.Step) error {
	from, holder := s.State, s.Holder
	to, err := revoke.Next(s.State, revoke.Withdraw)
	if err != nil {
		return err
	}
	s.State, s.Due, s.DoneAt, s.Holder = to, time.Time{}, f.now(), ""
	if err := tx.SetStep(ctx, from, holder, *s); err != nil {
		return err
	}
	return f.recordCut(ctx, tx, "step.withdrawn", "server", c,
		evidence.Field{Name: "step", Value: s.ID}, evidence.Field{Name: "was", Value: string(from)})
}

// targetOf is what a cut is about, for a case that is let through later.
func (f *Flow) targetOf(ctx context.Context, tx Tx, c *cut.Cut, k *cut.Case) (target, error) {
	switch {
	case c.DeviceID != "":
		d, err := tx.Device(ctx, c.DeviceID)
		return target{device: &d, alone: k.PersonID == ""}, err
	case c.CredentialID != "":
		known, err := tx.Credential(ctx, c.CredentialID)
		if fault.Is(err, fault.NotFound) {
			known, err = device.Credential{ID: c.CredentialID}, nil
		}
		return target{credential: &known}, err
	default:
		p, err := tx.Person(ctx, c.PersonID)
		return target{person: &p}, err
	}
}

// recordCut is one event about a cut.
func (f *Flow) recordCut(ctx context.Context, tx Tx, kind, actor string, c *cut.Cut, fields ...evidence.Field) error {
	return f.record(ctx, tx, evidence.Event{
		Kind: kind, Actor: actor, DeviceID: c.DeviceID, CutID: c.ID, CaseID: c.CaseID,
		Fields: append([]evidence.Field{
			{Name: "state", Value: string(c.State)}, {Name: "level", Value: string(c.Level)},
		}, fields...),
	})
}
