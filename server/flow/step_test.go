package flow_test

import (
	"slices"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

// oneStep is a harness with a cut whose one cloud step is due.
func oneStep(t *testing.T) (*harness, cut.Cut) {
	h := withClouds(t)
	ids := h.fleet("default", 1)
	c := h.ask(admin, ids[0], cut.Seal)
	if len(c.Steps) != 1 {
		t.Fatalf("%d steps", len(c.Steps))
	}
	return h, c
}

func (h *harness) claim(cutID, holder string) []revoke.Step {
	h.t.Helper()
	steps, err := h.ClaimSteps(h.t.Context(), cutID, "idp", holder, h.Now().Add(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
	return steps
}

func (h *harness) due() []flow.StepGroup {
	h.t.Helper()
	groups, err := h.DueSteps(h.t.Context(), h.Now(), 10)
	if err != nil {
		h.t.Fatal(err)
	}
	return groups
}

func TestStepsAreClaimedInTheOrderInWhichTheyMustBeDone(t *testing.T) {
	h := withClouds(t)
	p := h.belongs("ann@example.com")
	_, cuts, err := h.Open(t.Context(), openPerson(p.ID))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range h.claim(cuts[0].ID, "w") {
		got = append(got, s.Action)
	}
	if want := []string{"disable-user", "end-sessions", "all-keys"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAStepHasOneWorkerAtATimeAndADeadOnesStepIsTakenOver(t *testing.T) {
	h, c := oneStep(t)
	mine := h.claim(c.ID, "one")
	if len(mine) != 1 || len(h.claim(c.ID, "two")) != 0 || len(h.due()) != 0 {
		t.Fatalf("claimed %+v, due %v", mine, h.due())
	}
	h.advance(time.Minute)
	if len(h.due()) != 1 {
		t.Fatal("a claim that ran out is not due")
	}
	theirs := h.claim(c.ID, "two")
	if len(theirs) != 1 || theirs[0].Attempts != 2 {
		t.Fatalf("taken over %+v", theirs)
	}
	if err := h.OnStep(t.Context(), mine[0], proved); !fault.Is(err, fault.Conflict) {
		t.Errorf("the late worker's answer was taken: %v", err)
	}
	if err := h.OnStep(t.Context(), theirs[0], proved); err != nil {
		t.Error(err)
	}
	if err := h.OnStep(t.Context(), theirs[0], proved); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same answer was taken twice: %v", err)
	}
}

func TestAWorkerThatStopsGivesItsStepsBack(t *testing.T) {
	h, c := oneStep(t)
	h.claim(c.ID, "one")
	if err := h.ReleaseSteps(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if got := h.claim(c.ID, "two"); len(got) != 1 {
		t.Errorf("got %+v", got)
	}
}

// What each answer of a connector makes of a step.
func TestAConnectorsAnswerMovesItsStep(t *testing.T) {
	soon := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	cases := []struct {
		name    string
		result  revoke.Result
		state   revoke.State
		outcome revoke.Outcome
		open    bool
		acted   bool
	}{
		{"verified", proved, revoke.Confirmed, revoke.Verified, false, true},
		{"accepted, nothing more can be proved", revoke.Result{Outcome: revoke.Accepted, Done: true}, revoke.Revoked, revoke.Accepted, false, true},
		{"accepted, to be confirmed", revoke.Result{Outcome: revoke.Accepted, Again: time.Second}, revoke.Revoked, revoke.Retrying, true, true},
		{"done, to be confirmed", revoke.Result{Outcome: revoke.Retrying, Done: true}, revoke.Revoked, revoke.Retrying, true, true},
		{"failed", revoke.Result{Outcome: revoke.Retrying, Detail: "503"}, revoke.Planned, revoke.Retrying, true, false},
		{"no outcome at all", revoke.Result{}, revoke.Planned, revoke.Retrying, true, false},
		{"out of reach", revoke.Result{Outcome: revoke.Unsupported, Residual: revoke.Residual{Until: soon}}, revoke.Stuck, revoke.Unsupported, false, false},
		{"needs a person", revoke.Result{Outcome: revoke.Blocked, Detail: "denied"}, revoke.Stuck, revoke.Blocked, false, false},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			h, c := oneStep(t)
			if err := h.OnStep(t.Context(), h.claim(c.ID, "w")[0], x.result); err != nil {
				t.Fatal(err)
			}
			s := h.cut(c.ID).Steps[0]
			if s.State != x.state || s.Outcome != x.outcome || s.Open() != x.open || s.Acted != x.acted || s.Holder != "" {
				t.Errorf("got %+v", s)
			}
			if s.Open() == !s.DoneAt.IsZero() {
				t.Errorf("due %v, done %v", s.Due, s.DoneAt)
			}
		})
	}
}

func TestRetriesGoOnForEverUnderACapAndDoNotFloodTheEvidence(t *testing.T) {
	h, c := oneStep(t)
	failed := revoke.Result{Outcome: revoke.Retrying, Detail: "provider does not answer"}
	for i := range 60 {
		if err := h.OnStep(t.Context(), h.claim(c.ID, "w")[0], failed); err != nil {
			t.Fatal(err)
		}
		s := h.cut(c.ID).Steps[0]
		wait := s.Due.Sub(h.Now())
		if most := 500 * time.Millisecond << min(i, 20); wait <= 0 || wait > min(most, 5*time.Minute)+time.Millisecond {
			t.Fatalf("after attempt %d it waits %s", i+1, wait)
		}
		h.advance(wait)
	}
	results := 0
	for _, kind := range h.recorded(c.DeviceID) {
		if kind == "step.result" {
			results++
		}
	}
	if s := h.cut(c.ID).Steps[0]; s.Attempts != 60 || results != 1 {
		t.Errorf("%d attempts, %d records", s.Attempts, results)
	}
}

func TestAProvidersWordOnWhenToComeBackIsHeardAndBounded(t *testing.T) {
	h, c := oneStep(t)
	for wait, want := range map[time.Duration]time.Duration{time.Hour: time.Hour, 9000 * time.Hour: 24 * time.Hour} {
		if err := h.OnStep(t.Context(), h.claim(c.ID, "w")[0], revoke.Result{Outcome: revoke.Retrying, Again: wait}); err != nil {
			t.Fatal(err)
		}
		if got := h.cut(c.ID).Steps[0].Due.Sub(h.Now()); got != want {
			t.Errorf("told to wait %s, it waits %s", wait, got)
		}
		h.advance(want)
	}
}

func TestAReadBackNeverShortensAResidualAndAProbeDoes(t *testing.T) {
	h, c := oneStep(t)
	late, soon := revoke.Residual{Until: h.Now().Add(2 * time.Hour)}, revoke.Residual{Until: h.Now().Add(time.Minute)}
	answer := func(r revoke.Result) revoke.Residual {
		r.Done, r.Again = true, time.Millisecond
		if err := h.OnStep(t.Context(), h.claim(c.ID, "w")[0], r); err != nil {
			t.Fatal(err)
		}
		h.advance(time.Millisecond)
		return h.cut(c.ID).Steps[0].Residual
	}
	if got := answer(revoke.Result{Outcome: revoke.Retrying, Residual: late}); got != late {
		t.Errorf("got %s, want %s", got, late)
	}
	if got := answer(revoke.Result{Outcome: revoke.Retrying, Proof: revoke.L1, Residual: soon}); got != late {
		t.Errorf("a read-back made it %s", got)
	}
	if got := answer(revoke.Result{Outcome: revoke.Verified, Proof: revoke.L2}); got != (revoke.Residual{}) {
		t.Errorf("a probe left it %s", got)
	}
	if s := h.cut(c.ID).Steps[0]; s.Proof != revoke.L2 {
		t.Errorf("proof %s", s.Proof)
	}
}

func TestUntilTheActSucceededWhatItIsForLivesOn(t *testing.T) {
	h, c := oneStep(t)
	if got := h.cut(c.ID).Steps[0].Residual.String(); got != "unbounded" {
		t.Errorf("planned: got %s", got)
	}
	p, err := h.Preview(t.Context(), flow.OpenRequest{Actor: admin, Device: h.enrol("b").DeviceID, Level: cut.Seal})
	if err != nil || len(p.Steps) == 0 || p.Steps[0].Residual.String() != "unbounded" {
		t.Errorf("dry run: got %+v, %v", p.Steps, err)
	}
	for _, x := range []struct {
		result revoke.Result
		want   string
	}{
		{revoke.Result{Outcome: revoke.Retrying, Detail: "503", Again: time.Second}, "unbounded"},
		{revoke.Result{Outcome: revoke.Retrying, Done: true, Again: time.Second}, "none"},
		// What was done once and lives again has no end.
		{revoke.Result{Outcome: revoke.Retrying, Detail: "still-active", Again: time.Second}, "unbounded"},
		{proved, "none"},
	} {
		if err := h.OnStep(t.Context(), h.claim(c.ID, "w")[0], x.result); err != nil {
			t.Fatal(err)
		}
		h.advance(time.Second)
		if got := h.cut(c.ID).Steps[0].Residual.String(); got != x.want {
			t.Errorf("after %+v: got %s, want %s", x.result, got, x.want)
		}
	}
}

func TestAnOpenedCutWakesTheQueueAndItsSettlingFollowsItsSteps(t *testing.T) {
	woken := make(wakes, 10)
	h := newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Connectors, c.Queue = &clouds{}, woken })
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	if len(woken) != 1 {
		t.Errorf("the queue was woken %d times", len(woken))
	}
	h.obey(l)
	h.want(c.ID, cut.Open)
	h.work(proved)
	got := h.want(c.ID, cut.Settled)
	if !got.Proved() || h.Exposure(&got).String() != "none" || got.SettledAt.IsZero() {
		t.Errorf("exposure %s of %+v", h.Exposure(&got), got)
	}
}

// wakes counts hints to the queue.
type wakes chan struct{}

func (w wakes) Steps() { w <- struct{}{} }
