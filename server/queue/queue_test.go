package queue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cutoff/server/queue"
	"cutoff/server/revoke"
)

func TestQueueActsConfirmsAndClosesInOrderOfRank(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	var mu sync.Mutex
	var order []string
	p := &provider{revoke: func(_ context.Context, s revoke.Step) revoke.Result {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s.Action)
		return revoke.Result{Outcome: revoke.Retrying, Done: true, Memo: map[string]string{"seen": s.Action}}
	}, confirm: func(_ context.Context, s revoke.Step) revoke.Result {
		if s.Memo["seen"] != s.Action {
			t.Errorf("confirm of %s has memo %v", s.Action, s.Memo)
		}
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}}
	r.plan(t, "cut_1",
		revoke.Step{Connector: "idp", Action: "keys", Rank: 30},
		revoke.Step{Connector: "idp", Action: "sign-in", Rank: 10, Scope: revoke.ScopePerson},
		revoke.Step{Connector: "idp", Action: "sessions", Rank: 20, Scope: revoke.ScopeSessions})
	start(t, dir, r, p)
	for i := range 3 {
		eventually(t, "all is closed", func() bool { return r.closed(t, fmt.Sprintf("cut_1-%d", i)) })
	}
	if want := []string{"sign-in", "sessions", "keys"}; !slices.Equal(order, want) {
		t.Errorf("got order %v, want %v", order, want)
	}
	s := r.step(t, "cut_1-0")
	if s.Outcome != revoke.Verified || s.Proof != revoke.L1 || s.Memo["seen"] != "keys" || s.Holder != "" {
		t.Errorf("got %+v, want verified L1 with its memo and no holder", s)
	}
}

func TestQueueLetsAHungProviderDelayNoOther(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	var hung, worked atomic.Int32
	p := &provider{revoke: func(ctx context.Context, s revoke.Step) revoke.Result {
		if s.Connector == "hung" {
			hung.Add(1)
			<-ctx.Done()
			return revoke.Result{Outcome: revoke.Retrying, Detail: "timeout"}
		}
		worked.Add(1)
		return revoke.Result{Outcome: revoke.Retrying, Done: true}
	}}
	// More of the hung one, and longer due, than one look takes.
	for i := range 300 {
		r.plan(t, fmt.Sprintf("cut_h%03d", i), revoke.Step{Connector: "hung", Action: "a"})
	}
	hint, stop := start(t, dir, r, p)
	eventually(t, "the hung provider has all its places", func() bool { return hung.Load() == 4 })
	for i := range 20 {
		r.plan(t, fmt.Sprintf("cut_w%03d", i), revoke.Step{Connector: "works", Action: "a"})
	}
	before := time.Now()
	hint.Steps()
	for i := range 20 {
		eventually(t, "the others are done", func() bool { return r.closed(t, fmt.Sprintf("cut_w%03d-0", i)) })
	}
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("20 steps of a working provider took %s beside a hung one", took)
	}
	if n := hung.Load(); n != 4 {
		t.Errorf("the hung provider was called %d times at once, want 4", n)
	}
	stop() // gives the hung ones back instead of waiting for them
	s := r.step(t, "cut_h000-0")
	if s.Holder != "" || !s.Open() {
		t.Errorf("after a stop the step is held by %q, due %s; want free and due", s.Holder, s.Due)
	}
}

func TestQueueRetriesUntilItWorksAndActsAgainOnWhatStillLives(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	var acts, looks atomic.Int32
	p := &provider{revoke: func(context.Context, revoke.Step) revoke.Result {
		if acts.Add(1) == 1 {
			return revoke.Result{Outcome: revoke.Retrying, Detail: "provider-error (500)", Again: time.Millisecond}
		}
		return revoke.Result{Outcome: revoke.Retrying, Done: true}
	}, confirm: func(context.Context, revoke.Step) revoke.Result {
		switch looks.Add(1) {
		case 1: // no answer: look again, do not act again
			return revoke.Result{Outcome: revoke.Retrying, Done: true, Again: time.Millisecond}
		case 2: // still there: a 200 was not a kill
			return revoke.Result{Outcome: revoke.Retrying, Detail: "still-there", Again: time.Millisecond}
		}
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}}
	r.plan(t, "cut_1", revoke.Step{Connector: "idp", Action: "a"})
	start(t, dir, r, p)
	eventually(t, "it is closed", func() bool { return r.closed(t, "cut_1-0") })
	if acts.Load() != 3 || looks.Load() != 3 {
		t.Errorf("acted %d times and looked %d times, want 3 and 3", acts.Load(), looks.Load())
	}
	if s := r.step(t, "cut_1-0"); s.Attempts != 4 || s.Outcome != revoke.Verified {
		t.Errorf("got %s after %d attempts, want verified after 4", s.Outcome, s.Attempts)
	}
}

func TestQueueEndsSessionsAgainOnceSignInIsBlocked(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	var blocks atomic.Int32
	p := &provider{revoke: func(_ context.Context, s revoke.Step) revoke.Result {
		if s.Scope == revoke.ScopePerson && blocks.Add(1) == 1 {
			return revoke.Result{Outcome: revoke.Retrying, Detail: "provider-error (503)", Again: 10 * time.Millisecond}
		}
		return revoke.Result{Outcome: revoke.Retrying, Done: true}
	}}
	r.plan(t, "cut_1",
		revoke.Step{Connector: "idp", Action: "sign-in", Rank: 10, Scope: revoke.ScopePerson},
		revoke.Step{Connector: "idp", Action: "sessions", Rank: 20, Scope: revoke.ScopeSessions})
	start(t, dir, r, p)
	eventually(t, "both are closed", func() bool { return r.closed(t, "cut_1-0") && r.closed(t, "cut_1-1") })
	eventually(t, "both answers are in", func() bool { return len(r.answers("cut_1-1")) == 2 })
	got := r.answers("cut_1-1")
	if len(got) != 2 || got[0].Outcome != revoke.Retrying || got[0].Done || got[1].Outcome != revoke.Verified {
		t.Errorf("got %+v, want ended once before and verified after the block", got)
	}
}

func TestQueueDoesEachStepOnceForManyHintsAndManyQueues(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	var mu sync.Mutex
	calls := map[string]int{}
	p := &provider{revoke: func(_ context.Context, s revoke.Step) revoke.Result {
		mu.Lock()
		defer mu.Unlock()
		calls[s.ID]++
		return revoke.Result{Outcome: revoke.Retrying, Done: true}
	}}
	var hints []*queue.Hint
	for i := range 3 {
		nodes := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(nodes, 0o700); err != nil {
			t.Fatal(err)
		}
		h, _ := start(t, nodes, r, p)
		hints = append(hints, h)
	}
	for i := range 60 {
		r.plan(t, fmt.Sprintf("cut_%02d", i), revoke.Step{Connector: fmt.Sprint("c", i%3), Action: "a"})
		for _, h := range hints {
			h.Steps()
			h.Steps()
		}
	}
	for i := range 60 {
		eventually(t, "all is closed", func() bool { return r.closed(t, fmt.Sprintf("cut_%02d-0", i)) })
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range calls {
		if n != 1 {
			t.Errorf("step %s was done %d times", id, n)
		}
	}
	if len(calls) != 60 {
		t.Errorf("%d steps were done, want 60", len(calls))
	}
}

func TestQueueBeginsAnewWithABrokenJobFileAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	r.plan(t, "cut_1", revoke.Step{Connector: "idp", Action: "a"})
	if err := os.WriteFile(filepath.Join(dir, "queue.db"), []byte("this is no database, only its name is"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir, r, &provider{})
	eventually(t, "it is closed", func() bool { return r.closed(t, "cut_1-0") })
}

// late answers every result as withdrawn meanwhile.
type late struct{ *rows }

// OnStep is queue.Steps.
func (l late) OnStep(ctx context.Context, s revoke.Step, _ revoke.Result) error {
	if err := l.rows.OnStep(ctx, s, revoke.Result{Outcome: revoke.Blocked, Detail: "withdrawn"}); err != nil {
		return err
	}
	return conflict
}

func TestQueueTakesAConflictForAnswered(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	r.plan(t, "cut_1", revoke.Step{Connector: "idp", Action: "a"})
	start(t, dir, late{r}, &provider{})
	eventually(t, "it is closed", func() bool { return r.closed(t, "cut_1-0") })
	if s := r.step(t, "cut_1-0"); s.Detail != "withdrawn" {
		t.Errorf("got detail %q, want the other's word", s.Detail)
	}
}

func TestQueueWakesForAStepThatFallsDueBetweenLooks(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	var first, second time.Time
	var n atomic.Int32
	p := &provider{revoke: func(context.Context, revoke.Step) revoke.Result {
		if n.Add(1) == 1 {
			first = time.Now()
			return revoke.Result{Outcome: revoke.Retrying, Again: 300 * time.Millisecond}
		}
		second = time.Now()
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}}
	r.plan(t, "cut_1", revoke.Step{Connector: "idp", Action: "a"})
	start(t, dir, r, p)
	eventually(t, "it is closed", func() bool { return r.closed(t, "cut_1-0") })
	if waited := second.Sub(first); waited < 300*time.Millisecond || waited > 1500*time.Millisecond {
		t.Errorf("came back after %s, want soon after 300ms", waited)
	}
}
