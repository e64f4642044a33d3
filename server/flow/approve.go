package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// Approve is one person's word for a held case, named by its id or that of one
// of its cuts. With enough of them the whole case is let through. Who asked
// never approves.
func (f *Flow) Approve(ctx context.Context, actor Actor, id, reason string) (cut.Cut, error) {
	var k cut.Case
	err := f.act(ctx, func(tx Tx, e *effects) error {
		var err error
		if k, err = f.heldCase(ctx, tx, id); err != nil {
			return err
		}
		return f.approve(ctx, tx, e, actor, &k, reason)
	})
	if err != nil {
		return cut.Cut{}, fmt.Errorf("approve: %w", err)
	}
	if k.State == cut.CaseOpening {
		if err := f.workOff(ctx, k.ID); err != nil {
			return cut.Cut{}, fmt.Errorf("approve: %w", err)
		}
	}
	return f.shown(ctx, id)
}

func (f *Flow) approve(ctx context.Context, tx Tx, e *effects, actor Actor, k *cut.Case, reason string) error {
	switch {
	case actor.Machine || actor.Name == "":
		return fault.New(fault.Denied, "only a person approves")
	case !k.Machine && actor.person() == k.Person:
		return fault.New(fault.Denied, "who asked for a cut does not approve it")
	case !f.now().Before(k.AskedAt.Add(cut.HeldFor)):
		return fault.New(fault.Conflict, "it was asked for at %s and has lapsed; ask again", k.AskedAt.Format(stamp))
	}
	given, err := f.say(ctx, tx, actor, k, cut.Approved, reason)
	if err != nil {
		return err
	}
	if given < k.Needs {
		return f.notice(ctx, tx, e, k)
	}
	k.State = cut.CaseOpening
	if err := tx.SetCase(ctx, cut.CaseHeld, *k); err != nil {
		return err
	}
	return f.batch(ctx, tx, e, k)
}

// stamp is a time in a sentence.
const stamp = "2006-01-02 15:04 MST"

// Refuse turns a held case down, named as for Approve. Any person may.
func (f *Flow) Refuse(ctx context.Context, actor Actor, id, reason string) (cut.Cut, error) {
	if actor.Machine || actor.Name == "" {
		return cut.Cut{}, fault.New(fault.Denied, "only a person refuses")
	}
	var k cut.Case
	err := f.act(ctx, func(tx Tx, _ *effects) error {
		var err error
		if k, err = f.heldCase(ctx, tx, id); err != nil {
			return err
		}
		_, err = f.say(ctx, tx, actor, &k, cut.TurnedDown, reason)
		return err
	})
	if err == nil {
		err = f.turnDown(ctx, actor.Name, k.ID, cut.Refuse, cut.CaseRefused)
	}
	if err != nil {
		return cut.Cut{}, fmt.Errorf("refuse: %w", err)
	}
	return f.shown(ctx, id)
}

// say notes a person's word and counts those for it. Who approved may still
// refuse; a word given twice counts once.
func (f *Flow) say(ctx context.Context, tx Tx, actor Actor, k *cut.Case, verdict, reason string) (int, error) {
	if len(reason) > maxReason {
		return 0, fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(reason), maxReason)
	}
	all, err := tx.Approvals(ctx, k.ID)
	if err != nil {
		return 0, err
	}
	given := 0
	for _, a := range all {
		if a.Verdict == cut.Approved {
			given++
		}
		if a.Person == actor.person() && a.Verdict == verdict {
			if verdict == cut.Approved {
				return 0, fault.New(fault.Conflict, "%s approved it already", a.Actor)
			}
			return given, nil
		}
	}
	err = tx.InsertApproval(ctx, k.ID, cut.Approval{
		Actor: actor.Name, Person: actor.person(), Verdict: verdict, Reason: reason, At: f.now(),
	})
	if err != nil {
		return 0, err
	}
	if verdict == cut.Approved {
		given++
	}
	return given, f.record(ctx, tx, evidence.Event{
		Kind: "case." + verdict, Actor: actor.Name, CaseID: k.ID, Fields: []evidence.Field{
			{Name: "reason", Value: reason}, {Name: "level", Value: string(k.Level)},
			{Name: "given", Value: strconv.Itoa(given)}, {Name: "needed", Value: strconv.Itoa(k.Needs)},
		},
	})
}

// heldCase is the held case of that id, or of a cut of that id.
func (f *Flow) heldCase(ctx context.Context, tx Tx, id string) (cut.Case, error) {
	k, err := tx.CaseByID(ctx, id)
	if fault.Is(err, fault.NotFound) {
		c, err := tx.CutRow(ctx, id)
		if fault.Is(err, fault.NotFound) {
			return k, fault.New(fault.NotFound, "there is no cut or case %.80q", id)
		}
		if err != nil {
			return k, err
		}
		caseID := c.CaseID
		if c.PendingCase != "" {
			caseID = c.PendingCase
		}
		k, err = tx.CaseByID(ctx, caseID)
		if err != nil {
			return k, err
		}
	} else if err != nil {
		return k, err
	}
	switch k.State {
	case cut.CaseHeld:
		return k, nil
	case cut.CaseHolding:
		return k, fault.New(fault.Unavailable, "its cuts are still being written; try again")
	}
	return k, fault.New(fault.Conflict, "it is not held: it is %s", k.State)
}

// notice tells who looks at a case's cuts that an approval came.
func (f *Flow) notice(ctx context.Context, tx Tx, e *effects, k *cut.Case) error {
	cuts, err := tx.CutsOfCase(ctx, k.ID, "", caseBatch)
	for i := range cuts {
		e.cut(cuts[i].ID)
	}
	return err
}

// LapseHeld ends the cases nobody decided within a day. The daemon calls it
// now and then.
func (f *Flow) LapseHeld(ctx context.Context) error {
	var due []string
	err := f.store.View(ctx, func(tx Tx) (err error) {
		due, err = tx.CasesIn(ctx, cut.CaseHeld, f.now().Add(-cut.HeldFor))
		return err
	})
	if err != nil {
		return fmt.Errorf("lapse held cuts: %w", err)
	}
	var failed []error
	for _, id := range due {
		failed = append(failed, f.turnDown(ctx, "server", id, cut.Lapse, cut.CaseLapsed))
	}
	return errors.Join(failed...)
}

// turnDown ends a held case and its cuts, some at a time: the case last, so
// that what a crash leaves is found again.
func (f *Flow) turnDown(ctx context.Context, actor, caseID string, event cut.Event, to cut.CaseState) error {
	after := ""
	for {
		done := false
		err := f.act(ctx, func(tx Tx, e *effects) error {
			k, err := tx.CaseByID(ctx, caseID)
			if err != nil || k.State != cut.CaseHeld {
				done = true
				return err
			}
			cuts, err := tx.CutsOfCase(ctx, caseID, after, caseBatch)
			if err != nil {
				return err
			}
			for i := range cuts {
				after = cuts[i].ID
				if err := f.turnDownCut(ctx, tx, e, actor, &cuts[i], &k, event); err != nil {
					return err
				}
			}
			if len(cuts) == caseBatch {
				return nil
			}
			done = true
			k.State = to
			if err := tx.SetCase(ctx, cut.CaseHeld, k); err != nil {
				return err
			}
			return f.record(ctx, tx, evidence.Event{Kind: "case." + string(to), Actor: actor, CaseID: k.ID})
		})
		if err != nil || done {
			return err
		}
	}
}

func (f *Flow) turnDownCut(
	ctx context.Context, tx Tx, e *effects, actor string, c *cut.Cut, k *cut.Case, event cut.Event,
) error {
	from := c.State
	e.cut(c.ID)
	switch {
	case c.PendingCase == k.ID:
		// What stands stays as it is; only the more that was asked is refused.
		c.PendingCase, c.HeldReason = "", ""
		if err := tx.SetCut(ctx, from, *c); err != nil {
			return err
		}
		if event == cut.Refuse && k.Cause == cut.Expiry {
			if err := f.refusedSilence(ctx, tx, c.DeviceID); err != nil {
				return err
			}
		}
		return f.recordCut(ctx, tx, "cut.more-"+string(event), actor, c)
	case c.State != cut.Held:
		return nil
	}
	next, err := cut.Next(c.State, event)
	if err != nil {
		return err
	}
	c.State = next
	if err := tx.SetCut(ctx, from, *c); err != nil {
		return err
	}
	if c.DeviceID != "" {
		if err := tx.SetStandingCut(ctx, c.DeviceID, ""); err != nil {
			return err
		}
		if event == cut.Refuse && k.Cause == cut.Expiry {
			if err := f.refusedSilence(ctx, tx, c.DeviceID); err != nil {
				return err
			}
		}
	}
	return f.recordCut(ctx, tx, "cut."+string(next), actor, c)
}
