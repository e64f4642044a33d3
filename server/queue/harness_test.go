package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/queue"
	"cutoff/server/revoke"
	"cutoff/server/store"
)

// rows are steps in the real store, moved as flow moves them.
type rows struct {
	db *store.Store

	mu      sync.Mutex
	results map[string][]revoke.Result
}

func newRows(t testing.TB, dir string) *rows {
	t.Helper()
	db, err := store.Open(context.Background(), filepath.Join(dir, "cutoff.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = db.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended; _ = db.Close() })
	return &rows{db: db, results: map[string][]revoke.Result{}}
}

// plan adds a cut with its steps, due now.
func (r *rows) plan(t testing.TB, cutID string, steps ...revoke.Step) {
	t.Helper()
	err := r.db.Update(context.Background(), func(tx *store.Tx) error {
		now := time.Now()
		if err := tx.InsertCut(context.Background(), cut.Cut{
			ID: cutID, CaseID: cutID, DeviceID: "dev_" + cutID, Level: cut.Purge, State: cut.Open, Cause: cut.Operator, OpenedAt: now,
		}); err != nil {
			return err
		}
		for i, s := range steps {
			if s.ID == "" {
				s.ID = fmt.Sprintf("%s-%d", cutID, i)
			}
			s.CutID, s.State, s.Outcome, s.Due = cutID, revoke.Planned, revoke.Retrying, now
			if err := tx.InsertStep(context.Background(), s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// planMany adds many cuts with one step each at a slow connector.
func (r *rows) planMany(t testing.TB, prefix string, n int) {
	t.Helper()
	err := r.db.Update(context.Background(), func(tx *store.Tx) error {
		now := time.Now()
		for i := range n {
			id := fmt.Sprintf("%s_%d", prefix, i)
			if err := tx.InsertCut(context.Background(), cut.Cut{
				ID: id, CaseID: id, DeviceID: "dev_" + id, Level: cut.Purge, State: cut.Open, Cause: cut.Operator, OpenedAt: now,
			}); err != nil {
				return err
			}
			if err := tx.InsertStep(context.Background(), revoke.Step{
				ID: id + "-0", CutID: id, Connector: "slow", Action: "a", State: revoke.Planned, Outcome: revoke.Retrying, Due: now,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// DueSteps is queue.Steps.
func (r *rows) DueSteps(ctx context.Context, now time.Time, limit int) (all []flow.StepGroup, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		all, err = tx.DueSteps(ctx, now, limit)
		return err
	})
	return all, err
}

// ClaimSteps is queue.Steps.
func (r *rows) ClaimSteps(ctx context.Context, cutID, connector, holder string, until time.Time) (all []revoke.Step, err error) {
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		now := time.Now()
		steps, err := tx.Steps(ctx, cutID)
		if err != nil {
			return err
		}
		for _, s := range steps {
			if s.Connector != connector || !s.Open() || s.Due.After(now) || s.Holder != "" && s.ClaimedUntil.After(now) {
				continue
			}
			from, held := s.State, s.Holder
			s.State, s.Holder, s.ClaimedUntil, s.Attempts = revoke.Claimed, holder, until, s.Attempts+1
			if err := tx.SetStep(ctx, from, held, s); err != nil {
				return err
			}
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

// OnStep is queue.Steps.
func (r *rows) OnStep(ctx context.Context, s revoke.Step, result revoke.Result) error {
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		holder := s.Holder
		s.Holder, s.ClaimedUntil, s.Acted = "", time.Time{}, result.Done
		s.Outcome, s.Proof, s.Detail, s.Residual, s.Memo = result.Outcome, result.Proof, result.Detail, result.Residual, result.Memo
		s.Due = time.Time{}
		switch result.Outcome {
		case revoke.Retrying:
			s.State, s.Due = revoke.Planned, time.Now().Add(result.Again)
		case revoke.Verified, revoke.Accepted:
			s.State = revoke.Confirmed
		default:
			s.State = revoke.Stuck
		}
		return tx.SetStep(ctx, revoke.Claimed, holder, s)
	})
	if err == nil {
		r.mu.Lock()
		r.results[s.ID] = append(r.results[s.ID], result)
		r.mu.Unlock()
	}
	return err
}

// answers are what was stored of a step, oldest first.
func (r *rows) answers(id string) []revoke.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.results[id])
}

// ReleaseSteps is queue.Steps.
func (r *rows) ReleaseSteps(ctx context.Context, holder string) error {
	return r.db.Update(ctx, func(tx *store.Tx) error {
		held, err := tx.HeldSteps(ctx, holder)
		if err != nil {
			return err
		}
		for _, s := range held {
			s.State, s.Holder, s.ClaimedUntil = revoke.Planned, "", time.Time{}
			if err := tx.SetStep(ctx, revoke.Claimed, holder, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// step reads one.
func (r *rows) step(t testing.TB, id string) (s revoke.Step) {
	t.Helper()
	err := r.db.View(context.Background(), func(tx *store.Tx) (err error) {
		s, err = tx.Step(context.Background(), id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closed reports whether nothing of the step is due.
func (r *rows) closed(t testing.TB, id string) bool { s := r.step(t, id); return !s.Open() }

// provider is a connector whose answers a test decides.
type provider struct {
	revoke   func(ctx context.Context, s revoke.Step) revoke.Result
	confirm  func(ctx context.Context, s revoke.Step) revoke.Result
	parallel int
}

// Revoke is queue.Connectors.
func (p *provider) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	if p.revoke == nil {
		return revoke.Result{Outcome: revoke.Retrying, Done: true}
	}
	return p.revoke(ctx, s)
}

// Confirm is queue.Connectors.
func (p *provider) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	if p.confirm == nil {
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}
	return p.confirm(ctx, s)
}

// Parallel is queue.Connectors.
func (p *provider) Parallel(string) int { return max(p.parallel, 4) }

// start runs a queue on the rows until the test ends, or stop is called.
func start(t testing.TB, dir string, r queue.Steps, p queue.Connectors) (hint *queue.Hint, stop func()) {
	t.Helper()
	hint = queue.NewHint()
	q, err := queue.New(queue.Config{
		File: filepath.Join(dir, "queue.db"), Steps: r, Connectors: p, Hint: hint, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("queue ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return hint, stop
}

// eventually waits for done, and fails the test if it takes too long.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// conflict is what a claim that is gone answers.
var conflict = fault.New(fault.Conflict, "step changed meanwhile")
