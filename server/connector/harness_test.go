package connector_test

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"time"

	"cutoff/server/connector"
	"cutoff/server/connector/sshkrl"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// bench is a registry with the given connectors and held tokens.
type bench struct {
	*connector.Registry
	t    *testing.T
	now  time.Time
	held map[string]string
}

func newBench(t *testing.T, held map[string]string, all ...connector.Configured) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Now(), held: held}
	r, err := connector.NewRegistry(connector.Config{
		Load: func(context.Context) ([]connector.Configured, error) { return all, nil },
		Held: func(_ context.Context, id string) (string, error) {
			token, ok := b.held[id]
			if !ok {
				return "", fault.New(fault.NotFound, "there is no token %s", id)
			}
			return token, nil
		},
		Lists: noLists{},
		Seen:  func(context.Context, string, string) ([]device.Certificate, bool, error) { return nil, false, nil },
		Now:   func() time.Time { return b.now },
		Log:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Registry = r
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if p := r.Problems(c.Name); len(p) > 0 {
			t.Fatalf("connector %s: %v", c.Name, p)
		}
	}
	return b
}

// plan plans and makes steps of the specs, as flow does.
func (b *bench) plan(name string, s revoke.Subject) []revoke.Step {
	b.t.Helper()
	specs, err := b.Plan(b.t.Context(), name, s)
	if err != nil {
		b.t.Fatal(err)
	}
	return steps(specs, "")
}

func steps(specs []revoke.Spec, undoOf string) []revoke.Step {
	var all []revoke.Step
	for i, s := range specs {
		all = append(all, revoke.Step{
			ID: "step_" + string(rune('a'+i)), CutID: "cut_1", Connector: s.Connector, Action: s.Action, Target: s.Target,
			Params: s.Params, Scope: s.Scope, Undo: s.Undo, Rank: s.Rank, Residual: s.Residual, UndoOf: undoOf,
		})
	}
	return all
}

// carry does a step as the queue does: act, then confirm.
func (b *bench) carry(s revoke.Step) revoke.Result {
	b.t.Helper()
	r := b.Revoke(b.t.Context(), s)
	if r.Outcome != revoke.Retrying || !r.Done {
		return r
	}
	s.Memo = maps.Clone(r.Memo)
	s.Residual, s.Detail, s.Acted = r.Residual, r.Detail, true
	return b.Confirm(b.t.Context(), s)
}

// only returns the one step of an action.
func (b *bench) only(all []revoke.Step, action string) revoke.Step {
	b.t.Helper()
	for _, s := range all {
		if s.Action == action {
			return s
		}
	}
	b.t.Fatalf("no step %s among %v", action, all)
	return revoke.Step{}
}

// wantOutcome fails the test unless r has the outcome and proof.
func wantOutcome(t *testing.T, r revoke.Result, outcome revoke.Outcome, proof revoke.Proof) {
	t.Helper()
	if r.Outcome != outcome || r.Proof != proof {
		t.Fatalf("got %s %s (%s), want %s %s", r.Outcome, r.Proof, r.Detail, outcome, proof)
	}
}

// noLists is for benches without a connector that publishes.
type noLists struct{ sshkrl.Lists }
