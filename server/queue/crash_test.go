package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cutoff/server/queue"
	"cutoff/server/revoke"
	"cutoff/server/store"
)

// childDir makes this test binary a server that only carries steps out, below
// that directory, until it is killed.
const childDir = "CUTOFF_TEST_QUEUE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child runs a queue whose provider notes each act in a file of its own and
// takes a moment for it.
func child(dir string) {
	db, err := store.Open(context.Background(), filepath.Join(dir, "cutoff.db"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = db.Run(context.Background()) }()
	r := &rows{db: db, results: map[string][]revoke.Result{}}
	q, err := queue.New(queue.Config{
		File: filepath.Join(dir, "queue.db"), Steps: r, Connectors: noting(dir), Hint: queue.NewHint(),
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = q.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// noting is a provider at which each step's act leaves a mark.
func noting(dir string) *provider {
	return &provider{revoke: func(ctx context.Context, s revoke.Step) revoke.Result {
		mark := filepath.Join(dir, "mark-"+s.ID)
		_, err := os.Stat(mark)
		already := err == nil
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			return revoke.Result{Outcome: revoke.Retrying, Detail: "mark"}
		}
		select {
		case <-time.After(150 * time.Millisecond):
		case <-ctx.Done():
		}
		r := revoke.Result{Outcome: revoke.Retrying, Done: true}
		if already {
			r.Detail = "already"
		}
		return r
	}}
}

func TestQueueKilledAtAnyMomentLosesNothingAndGoesOnAtOnce(t *testing.T) {
	dir := t.TempDir()
	r := newRows(t, dir)
	const cuts = 400
	for i := range cuts {
		r.plan(t, fmt.Sprintf("cut_%03d", i), revoke.Step{Connector: fmt.Sprint("c", i%5), Action: "a"})
	}
	done := func() (n int) {
		for i := range cuts {
			if r.closed(t, fmt.Sprintf("cut_%03d-0", i)) {
				n++
			}
		}
		return n
	}
	for range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := done()
		eventually(t, "the child does something", func() bool { return done() > before || before == cuts })
		<-time.After(rand.N(300 * time.Millisecond)) // the moment of the kill is what is tried
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	t.Logf("%d of %d done over eight kills", done(), cuts)

	restarted := time.Now()
	start(t, dir, r, noting(dir))
	eventually(t, "everything is done", func() bool { return done() == cuts })
	if took := time.Since(restarted); took > 10*time.Second {
		t.Errorf("went on after %s: waited for a dead process's claims", took)
	}
	for i := range cuts {
		id := fmt.Sprintf("cut_%03d-0", i)
		if s := r.step(t, id); s.Outcome != revoke.Verified || s.Holder != "" {
			t.Errorf("step %s is %s, held by %q", id, s.Outcome, s.Holder)
		}
		if _, err := os.Stat(filepath.Join(dir, "mark-"+id)); err != nil {
			t.Errorf("step %s is called done and was never done", id)
		}
	}
}
