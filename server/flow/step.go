package flow

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Waits between attempts. There is no last attempt: retries go on while the
// cut stands.
const (
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 5 * time.Minute
	// againMost bounds how long a provider may put off the next look.
	againMost = 24 * time.Hour
)

// DueSteps lists what has steps due at now that nobody works on: never claimed,
// or with a claim that has run out.
func (f *Flow) DueSteps(ctx context.Context, now time.Time, limit int) (groups []StepGroup, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		groups, err = tx.DueSteps(ctx, now, limit)
		return err
	})
	return groups, err
}

// ClaimSteps takes the due steps of one cut at one connector, in the order in
// which they are to be done; none if somebody else has them. Until the time
// given nobody else will get them.
func (f *Flow) ClaimSteps(
	ctx context.Context, cutID, connector, holder string, until time.Time,
) ([]revoke.Step, error) {
	if holder == "" {
		return nil, fault.New(fault.Invalid, "a claim needs a holder")
	}
	var claimed []revoke.Step
	err := f.act(ctx, func(tx Tx, e *effects) error {
		claimed = nil
		steps, err := tx.Steps(ctx, cutID)
		if err != nil {
			return err
		}
		now := f.now()
		for _, s := range steps {
			free := s.Holder == "" || !s.ClaimedUntil.After(now)
			if s.Connector != connector || !s.Open() || s.Due.After(now) || !free {
				continue
			}
			from, was := s.State, s.Holder
			if s.State, err = revoke.Next(from, revoke.Claim); err != nil {
				return err
			}
			s.Holder, s.ClaimedUntil = holder, until
			s.Attempts++
			if err := tx.SetStep(ctx, from, was, s); err != nil {
				return err
			}
			claimed = append(claimed, s)
		}
		if len(claimed) > 0 {
			e.cut(cutID)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim steps: %w", err)
	}
	return claimed, nil
}

// OnStep keeps a connector's answer to a step it had claimed. It is a Conflict
// if the claim went to somebody else meanwhile.
func (f *Flow) OnStep(ctx context.Context, step revoke.Step, result revoke.Result) error {
	err := f.act(ctx, func(tx Tx, e *effects) error {
		s, err := tx.Step(ctx, step.ID)
		if err != nil {
			return err
		}
		if s.State == revoke.Withdrawn {
			return f.afterWithdrawal(ctx, tx, e, &s, step.Holder, result)
		}
		if s.State != revoke.Claimed || s.Holder != step.Holder || s.Attempts != step.Attempts {
			return fault.New(fault.Conflict, "the claim on the step has gone to somebody else")
		}
		return f.onStep(ctx, tx, e, &s, result)
	})
	if err != nil {
		return fmt.Errorf("result of step %s: %w", step.ID, err)
	}
	return nil
}

func (f *Flow) onStep(ctx context.Context, tx Tx, e *effects, s *revoke.Step, r revoke.Result) error {
	was := *s
	if err := f.take(s, r); err != nil {
		return err
	}
	if err := tx.SetStep(ctx, revoke.Claimed, was.Holder, *s); err != nil {
		return err
	}
	c, err := tx.CutRow(ctx, s.CutID)
	if err != nil {
		return err
	}
	e.steps = e.steps || s.Open() && !s.Due.After(f.now())
	// A provider that is down for days is one record, not one for each try.
	if s.Outcome != was.Outcome || s.Detail != was.Detail || s.Proof != was.Proof || s.Acted != was.Acted || !s.Open() {
		if err := f.recordCut(ctx, tx, "step.result", "server", &c, stepFields(s)...); err != nil {
			return err
		}
	}
	return f.settle(ctx, tx, e, &c)
}

// stepFields are what evidence says of a step.
func stepFields(s *revoke.Step) []evidence.Field {
	return []evidence.Field{
		{Name: "step", Value: s.ID}, {Name: "connector", Value: s.Connector},
		{Name: "action", Value: s.Action}, {Name: "target", Value: s.Target},
		{Name: "step_state", Value: string(s.State)}, {Name: "outcome", Value: string(s.Outcome)},
		{Name: "proof", Value: string(s.Proof)}, {Name: "detail", Value: s.Detail},
		{Name: "residual", Value: s.Residual.String()}, {Name: "attempts", Value: strconv.Itoa(s.Attempts)},
	}
}

// take moves a claimed step to where a result puts it.
func (f *Flow) take(s *revoke.Step, r revoke.Result) error {
	now := f.now()
	event, acted := revoke.Retry, s.Acted
	closed := true
	switch r.Outcome {
	case revoke.Verified:
		event, s.Acted = revoke.Confirm, true
	case revoke.Accepted:
		event, s.Acted = revoke.Act, true
		closed = r.Again <= 0
	case revoke.Unsupported, revoke.Blocked:
		event = revoke.Block
	default:
		r.Outcome, closed, s.Acted = revoke.Retrying, false, r.Done
		if r.Done {
			event = revoke.Act
		}
	}
	to, err := revoke.Next(s.State, event)
	if err != nil {
		return err
	}
	s.State, s.Outcome, s.Holder, s.ClaimedUntil = to, r.Outcome, "", time.Time{}
	s.Detail, s.Proof = clip(r.Detail, 512), better(s.Proof, r.Proof)
	s.Residual = residual(s.Residual, r, acted, s.Acted || s.UndoOf != "")
	if len(r.Memo) > 0 {
		memo := maps.Clone(s.Memo)
		if memo == nil {
			memo = map[string]string{}
		}
		maps.Copy(memo, r.Memo)
		s.Memo = memo
	}
	if closed {
		s.Due, s.DoneAt = time.Time{}, now
		return nil
	}
	s.Outcome = revoke.Retrying // until its last due time is past
	wait := r.Again
	if wait <= 0 {
		wait = backoff(s.Attempts)
	}
	s.Due = now.Add(min(wait, againMost))
	return nil
}

// residual is until when the target may work, after a result. A read-back never
// shortens it; a probe with the credential itself does. Before the act succeeded
// it has no end but the target's own; the act gives it one.
func residual(known revoke.Residual, r revoke.Result, before, after bool) revoke.Residual {
	switch {
	case r.Proof == revoke.L2 && r.Outcome == revoke.Verified, known.Unbounded && !before && after:
		return r.Residual
	}
	next := known.Later(r.Residual)
	if !after && next == (revoke.Residual{}) {
		return revoke.Residual{Unbounded: true}
	}
	return next
}

// better keeps the stronger proof.
func better(a, b revoke.Proof) revoke.Proof {
	if b > a { // L0 < L1 < L2 < L3 as text, and none is below all
		return b
	}
	return a
}

// backoff is the wait after so many attempts: full jitter under a cap.
func backoff(attempts int) time.Duration {
	most := backoffMost
	if attempts < 12 {
		most = min(backoffFirst<<max(attempts-1, 0), backoffMost)
	}
	return rand.N(most) + time.Millisecond
}

// afterWithdrawal keeps what a worker found out about a step that was withdrawn
// while it worked: the undo needs it.
func (f *Flow) afterWithdrawal(
	ctx context.Context, tx Tx, e *effects, s *revoke.Step, holder string, r revoke.Result,
) error {
	c, err := tx.CutRow(ctx, s.CutID)
	if err != nil {
		return err
	}
	if len(r.Memo) > 0 {
		s.Memo = r.Memo
		if err := tx.SetStep(ctx, revoke.Withdrawn, "", *s); err != nil {
			return err
		}
	}
	if err := f.lateUndo(ctx, tx, e, s); err != nil {
		return err
	}
	e.cut(c.ID)
	return f.recordCut(ctx, tx, "step.result-after-withdrawal", "server", &c,
		evidence.Field{Name: "step", Value: s.ID}, evidence.Field{Name: "outcome", Value: string(r.Outcome)},
		evidence.Field{Name: "detail", Value: r.Detail}, evidence.Field{Name: "holder", Value: holder})
}

// ReleaseSteps gives back what a holder has claimed, for a worker that stops.
func (f *Flow) ReleaseSteps(ctx context.Context, holder string) error {
	err := f.act(ctx, func(tx Tx, e *effects) error {
		steps, err := tx.HeldSteps(ctx, holder)
		if err != nil {
			return err
		}
		for _, s := range steps {
			event := revoke.Release
			if s.Acted {
				event = revoke.Act
			}
			from := s.State
			if s.State, err = revoke.Next(from, event); err != nil {
				return err
			}
			s.Holder, s.ClaimedUntil = "", time.Time{}
			if err := tx.SetStep(ctx, from, holder, s); err != nil {
				return err
			}
			e.cut(s.CutID)
			e.steps = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("release steps: %w", err)
	}
	return nil
}
