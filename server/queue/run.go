package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

// newID names this process among those that claim steps.
func newID() string { return rand.Text() }

// run claims and does everything due of g.
func (q *Queue) run(ctx context.Context, g flow.StepGroup, holder string) {
	if !q.flight.start(g) {
		return
	}
	defer q.flight.release(g)
	steps, err := q.config.Steps.ClaimSteps(ctx, g.CutID, g.Connector, holder, q.config.Now().Add(claimFor))
	if err != nil {
		q.config.Log.WarnContext(ctx, "steps not claimed", "cut_id", g.CutID, "connector", g.Connector, "err", err)
		return
	}
	slices.SortStableFunc(steps, func(a, b revoke.Step) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.ID, b.ID))
	})
	var signIn *revoke.Result // of a sign-in block that is not done yet
	left := 0
	for _, s := range steps {
		if ctx.Err() != nil {
			left++
			continue
		}
		r := q.do(ctx, s)
		if errors.Is(ctx.Err(), context.Canceled) && r.Outcome == revoke.Retrying && !r.Done {
			left++ // this process stops: the step is as good as untouched
			continue
		}
		if signIn != nil {
			r = afterSignIn(s, r, *signIn)
		}
		if s.Scope == revoke.ScopePerson && s.UndoOf == "" && r.Outcome == revoke.Retrying && !r.Done {
			signIn = &r
		}
		q.answer(ctx, s, r)
	}
	if left > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		if err := q.config.Steps.ReleaseSteps(ctx, holder); err != nil {
			q.config.Log.WarnContext(ctx, "steps not released", "cut_id", g.CutID, "connector", g.Connector, "err", err)
		}
	}
}

// do acts, unless that is done, and confirms, unless that must wait.
func (q *Queue) do(ctx context.Context, s revoke.Step) revoke.Result {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	memo := maps.Clone(s.Memo)
	if memo == nil {
		memo = map[string]string{}
	}
	var r revoke.Result
	if !s.Acted {
		r = q.config.Connectors.Revoke(ctx, s)
		maps.Copy(memo, r.Memo)
		if r.Outcome != revoke.Retrying || !r.Done || r.Again > 0 {
			return finish(s, r, memo)
		}
		s.Acted, s.Memo, s.Residual, s.Detail = true, memo, r.Residual, r.Detail
	}
	r = q.config.Connectors.Confirm(ctx, s)
	maps.Copy(memo, r.Memo)
	return finish(s, r, memo)
}

// finish completes a result: the whole memo, and when to come back.
func finish(s revoke.Step, r revoke.Result, memo map[string]string) revoke.Result {
	r.Memo = memo
	if r.Outcome == "" {
		r.Outcome, r.Detail = revoke.Retrying, "no-answer"
	}
	if r.Outcome == revoke.Retrying && r.Again <= 0 {
		r.Again = backOff(s.Attempts)
	}
	return r
}

// Bounds of the back-off.
const (
	firstAgain = time.Second
	lastAgain  = 5 * time.Minute
)

// backOff doubles with each attempt up to five minutes, with full jitter above
// a half: providers that come back are not met by everybody at once.
func backOff(attempts int) time.Duration {
	d := firstAgain << min(max(attempts-1, 0), 10)
	d = min(d, lastAgain)
	return d/2 + mathrand.N(d/2+1) // spreads load; nothing to guess
}

// afterSignIn keeps sessions from counting as ended while their owner can still
// sign in: a live client would have new ones at once. They are ended again
// together with the block.
func afterSignIn(s revoke.Step, r, block revoke.Result) revoke.Result {
	if s.Scope != revoke.ScopeSessions || (r.Outcome != revoke.Verified && r.Outcome != revoke.Accepted && !r.Done) {
		return r
	}
	r.Outcome, r.Proof, r.Done, r.Again = revoke.Retrying, "", false, block.Again
	r.Detail = "again-once-sign-in-is-blocked"
	return r
}

// answer hands a result back, even if the job's time is over.
func (q *Queue) answer(ctx context.Context, s revoke.Step, r revoke.Result) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	err := q.config.Steps.OnStep(ctx, s, r)
	switch {
	case fault.Is(err, fault.Conflict):
		// Withdrawn or claimed by another meanwhile: that one's word counts.
		q.config.Log.DebugContext(ctx, "step's answer came too late", "step_id", s.ID, "cut_id", s.CutID)
	case err != nil:
		q.config.Log.ErrorContext(ctx, "step's answer not stored", "step_id", s.ID, "cut_id", s.CutID, "err", err)
	}
	if r.Outcome == revoke.Retrying {
		q.flight.due(q.config.Now().Add(r.Again))
	}
	q.tell(ctx, s.Connector, r)
}

// health is what Used was told last.
type health struct {
	mu   sync.Mutex
	told map[string]told
}

type told struct {
	ok bool
	at time.Time
}

// tellEvery is how often Used hears the same again.
const tellEvery = 10 * time.Second

func (q *Queue) tell(ctx context.Context, connector string, r revoke.Result) {
	if q.config.Used == nil {
		return
	}
	ok := r.Outcome == revoke.Verified || r.Outcome == revoke.Accepted || r.Done
	now := q.config.Now()
	q.health.mu.Lock()
	last, known := q.health.told[connector]
	tell := !known || last.ok != ok || now.Sub(last.at) >= tellEvery
	if tell {
		q.health.told[connector] = told{ok: ok, at: now}
	}
	q.health.mu.Unlock()
	if tell {
		q.config.Used(ctx, connector, ok, r.Detail)
	}
}
