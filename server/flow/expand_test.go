package flow_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

// unlinked is a provider that does not know the person's account.
type unlinked struct {
	clouds
	asked []revoke.Subject
}

func (u *unlinked) Names() []string { return []string{"idp"} }

func (u *unlinked) Plan(_ context.Context, name string, s revoke.Subject) ([]revoke.Spec, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, s)
	return []revoke.Spec{{
		Connector: name, Action: "end-sessions", Target: "sessions of " + s.Email, Params: map[string]string{"person": s.PersonID},
		Scope: revoke.ScopeSessions, Undo: revoke.UndoSignIn, Blocked: true, Detail: "account-not-linked",
	}}, nil
}

func TestAnAccountThatIsNotKnownIsBlockedFromTheStart(t *testing.T) {
	u := &unlinked{}
	h := newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Connectors = u })
	l := h.enrol("a")
	who := h.belongs("ann@example.com", l.DeviceID)
	c := h.ask(admin, l.DeviceID, cut.Seal)
	steps := h.cut(c.ID).Steps
	if len(steps) != 1 {
		t.Fatalf("%d steps, want the one that is blocked", len(steps))
	}
	s := steps[0]
	if s.State != revoke.Stuck || s.Outcome != revoke.Blocked || s.Detail != "account-not-linked" || s.Open() {
		t.Errorf("got %s %s %q, open %v", s.State, s.Outcome, s.Detail, s.Open())
	}
	if s.Residual.String() != "unbounded" {
		t.Errorf("residual %s: nothing was ended", s.Residual)
	}
	due, err := h.DueSteps(t.Context(), h.Now().Add(24*time.Hour), 10)
	if err != nil || len(due) != 0 {
		t.Errorf("%d groups are due, %v: nobody but a person can do anything", len(due), err)
	}

	got := u.asked[len(u.asked)-1]
	if got.PersonID != who.ID || got.CutID != c.ID || got.Cause != string(cut.Operator) || !got.OpenedAt.Equal(c.OpenedAt) {
		t.Errorf("planned for person %q, cut %q (%s) of %s; want %q, %q (operator) of %s",
			got.PersonID, got.CutID, got.Cause, got.OpenedAt, who.ID, c.ID, c.OpenedAt)
	}
}

func TestAPersonWhoTakesACutOverPlansNoStepAnew(t *testing.T) {
	h := newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Connectors = &dated{} })
	l := h.enrol("a")
	_, cuts, err := h.Open(t.Context(), flow.OpenRequest{
		Device: l.DeviceID, Level: cut.Seal, Cause: cut.Expiry, Reason: "silent", Actor: robot,
	})
	if err != nil || len(cuts) != 1 {
		t.Fatalf("%d cuts, %v", len(cuts), err)
	}
	c := h.ask(admin, l.DeviceID, cut.Seal)
	if c.ID != cuts[0].ID || c.Cause != cut.Operator {
		t.Fatalf("cut %s of cause %s, want %s taken over", c.ID, c.Cause, cuts[0].ID)
	}
	got := actions(h.cut(c.ID).Steps)
	if want := []string{"idp device-record"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: the decision's words are not another act", got, want)
	}
}

// dated tells its steps of the decision, as the declarative connector does.
type dated struct{ clouds }

func (d *dated) Names() []string { return []string{"idp"} }

func (d *dated) Plan(_ context.Context, name string, s revoke.Subject) ([]revoke.Spec, error) {
	return []revoke.Spec{{
		Connector: name, Action: "device-record", Target: s.Hostname, Scope: revoke.ScopeDevice, Undo: revoke.UndoFull,
		Params: map[string]string{"level": s.Level, "cause": s.Cause, "cut_time": s.OpenedAt.String()},
	}}, nil
}
