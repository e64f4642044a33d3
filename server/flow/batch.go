package flow

import (
	"context"
	"errors"
	"fmt"

	"cutoff/server/cut"
	"cutoff/server/evidence"
)

// A large case goes through the same states as any, some cuts a transaction:
// first every cut is made held, then, if the case is let through, each of them
// is. The case's row says how far it got.

// workOff carries a large case on until nothing of it is left to do.
func (f *Flow) workOff(ctx context.Context, caseID string) error {
	for {
		done := false
		err := f.act(ctx, func(tx Tx, e *effects) error {
			k, err := tx.CaseByID(ctx, caseID)
			if err != nil {
				return err
			}
			switch k.State {
			case cut.CaseHolding:
				err = f.holdBatch(ctx, tx, e, &k)
			case cut.CaseOpening:
				err = f.batch(ctx, tx, e, &k)
			default:
				done = true
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("work off case %s: %w", caseID, err)
		}
		if done {
			return nil
		}
	}
}

// ResumeCases carries on with what a crash left of large cases. The daemon
// calls it at start and now and then.
func (f *Flow) ResumeCases(ctx context.Context) error {
	var ids []string
	err := f.store.View(ctx, func(tx Tx) error {
		for _, state := range []cut.CaseState{cut.CaseHolding, cut.CaseOpening} {
			some, err := tx.CasesIn(ctx, state, f.now())
			if err != nil {
				return err
			}
			ids = append(ids, some...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("resume cases: %w", err)
	}
	var failed []error
	for _, id := range ids {
		failed = append(failed, f.workOff(ctx, id))
	}
	return errors.Join(failed...)
}

// holdBatch makes the next cuts of a person's case, held.
func (f *Flow) holdBatch(ctx context.Context, tx Tx, e *effects, k *cut.Case) error {
	p, err := tx.Person(ctx, k.PersonID)
	if err != nil {
		return err
	}
	some, err := tx.NextDevices(ctx, k.PersonID, k.Cursor, caseBatch)
	if err != nil {
		return err
	}
	r := OpenRequest{Level: k.Level, Cause: k.Cause, Actor: Actor{Name: k.Actor, Person: k.Person, Machine: k.Machine}}
	for i := range some {
		k.Cursor = some[i].ID
		if err := f.holdOne(ctx, tx, e, k, &r, target{device: &some[i]}); err != nil {
			return err
		}
	}
	if len(some) == caseBatch {
		return tx.SetCase(ctx, cut.CaseHolding, *k)
	}
	if err := f.holdOne(ctx, tx, e, k, &r, target{person: &p}); err != nil {
		return err
	}
	k.Cursor, k.State = "", cut.CaseHeld
	if k.Needs == 0 {
		k.State = cut.CaseOpening
	}
	return tx.SetCase(ctx, cut.CaseHolding, *k)
}

func (f *Flow) holdOne(ctx context.Context, tx Tx, e *effects, k *cut.Case, r *OpenRequest, t target) error {
	c, err := f.cutOf(ctx, tx, t)
	if err != nil || c != nil && f.answers(c, r, true) {
		return err
	}
	_, err = f.cutTarget(ctx, tx, e, k, t, c, false)
	return err
}

// batch lets the next cuts of a case through, and ends it with the last.
func (f *Flow) batch(ctx context.Context, tx Tx, e *effects, k *cut.Case) error {
	cuts, err := tx.CutsOfCase(ctx, k.ID, k.Cursor, caseBatch)
	if err != nil {
		return err
	}
	for i := range cuts {
		c := &cuts[i]
		k.Cursor = c.ID
		t, err := f.targetOf(ctx, tx, c, k)
		if err != nil {
			return err
		}
		// A device has one cut that is held or stands, and this is it.
		has := c
		if c.DeviceID == "" || c.State != cut.Held && c.State != cut.Open && c.State != cut.Settled {
			if has, err = f.cutOf(ctx, tx, t); err != nil {
				return err
			}
		}
		if _, err := f.cutTarget(ctx, tx, e, k, t, has, true); err != nil {
			return err
		}
		k.Remaining = max(0, k.Remaining-1)
	}
	if len(cuts) < caseBatch {
		k.State, k.Remaining = cut.CaseOpen, 0
		event := evidence.Event{Kind: "case.open", Actor: k.Actor, CaseID: k.ID}
		if err := f.record(ctx, tx, event); err != nil {
			return err
		}
	}
	return tx.SetCase(ctx, cut.CaseOpening, *k)
}
