package decision_test

import (
	"strings"
	"testing"
	"time"

	"cutoff/server/decision"
	"cutoff/server/policy"
)

var start = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func result(rule string, passed bool, consequence policy.Consequence, grace time.Duration) policy.Result {
	return policy.Result{Rule: rule, When: rule + " holds", Consequence: consequence, Grace: grace, Passed: passed}
}

func TestAFailingRuleHasItsConsequenceOnceItsGraceIsOver(t *testing.T) {
	type report struct {
		after  time.Duration
		passed bool
		want   policy.Consequence
	}
	cases := []struct {
		name    string
		grace   time.Duration
		reports []report
	}{
		{"without a grace at once", 0, []report{{0, false, policy.Seal}}},
		{"within the grace not yet", time.Hour, []report{{0, false, policy.None}, {59 * time.Minute, false, policy.None}}},
		{"at the end of the grace", time.Hour, []report{{0, false, policy.None}, {time.Hour, false, policy.Seal}}},
		{"one report that passes starts it anew", time.Hour, []report{
			{0, false, policy.None}, {30 * time.Minute, true, policy.None}, {time.Hour, false, policy.None},
			{119 * time.Minute, false, policy.None}, {2 * time.Hour, false, policy.Seal},
		}},
		{"it stays until it passes", time.Hour, []report{
			{0, false, policy.None}, {5 * time.Hour, false, policy.Seal}, {6 * time.Hour, false, policy.Seal}, {7 * time.Hour, true, policy.None},
		}},
		{"a clock set back does not lengthen the grace for ever", time.Hour, []report{
			{24 * time.Hour, false, policy.None}, {0, false, policy.None}, {time.Hour, false, policy.Seal},
		}},
	}
	for _, c := range cases {
		var d decision.Decision
		for i, r := range c.reports {
			d = decision.Next(d, []policy.Result{result("disk", r.passed, policy.Seal, c.grace)}, start.Add(r.after))
			if d.Consequence != r.want {
				t.Errorf("%s: report %d: got %s, want %s", c.name, i, d.Consequence, r.want)
			}
		}
	}
}

func TestTheStrongestConsequenceThatIsDueWins(t *testing.T) {
	results := []policy.Result{
		result("a", false, policy.Warn, 0), result("b", false, policy.Seal, time.Hour), result("c", true, policy.Seal, 0),
		result("d", false, policy.None, 0),
	}
	d := decision.Next(decision.Decision{}, results, start)
	if d.Consequence != policy.Warn {
		t.Errorf("at once: got %s, want warn", d.Consequence)
	}
	d = decision.Next(d, results, start.Add(time.Hour))
	if d.Consequence != policy.Seal {
		t.Errorf("an hour later: got %s, want seal", d.Consequence)
	}
	if got, want := d.Reason(), "rule b failed: b holds"; got != want {
		t.Errorf("reason: got %q, want %q", got, want)
	}
	if d := decision.Next(d, nil, start.Add(2*time.Hour)); d.Consequence != policy.None || d.Reason() != "every rule holds" {
		t.Errorf("without rules: got %s, %q", d.Consequence, d.Reason())
	}
}

func TestAChangedExpressionStartsItsGraceAnew(t *testing.T) {
	old := result("disk", false, policy.Seal, time.Hour)
	d := decision.Next(decision.Decision{}, []policy.Result{old}, start)
	changed := old
	changed.When = "something else"
	d = decision.Next(d, []policy.Result{changed}, start.Add(2*time.Hour))
	if d.Consequence != policy.None {
		t.Errorf("got %s, want none", d.Consequence)
	}
}

func TestADecisionExplainsItselfRuleByRule(t *testing.T) {
	reads := []policy.Read{{Name: "posture.os", Value: "linux"}, {Name: "posture.disk_encrypted", Unknown: "no lsblk"}}
	cases := []struct {
		name   string
		result policy.Result
		want   string
	}{
		{"passed", policy.Result{When: "w", Passed: true}, "passed: w"},
		{"failed", policy.Result{When: "w", Reads: reads[:1]}, `failed: w where posture.os is "linux"`},
		{"unknown", policy.Result{When: "w", Undecided: true, Reads: reads},
			`failed because a fact is unknown: w where posture.os is "linux", posture.disk_encrypted is unknown (no lsblk)`},
		{"unknown, allowed", policy.Result{When: "w", Undecided: true, Passed: true}, "passed as the rule says for unknown facts: w"},
		{"an error", policy.Result{When: "w", Error: "division by zero"}, "failed: w cannot be evaluated (division by zero)"},
		{"in its grace", policy.Result{When: "w", Consequence: policy.Seal, Grace: time.Hour}, "failed: w; seal from 2026-11-23T04:00:00Z on"},
	}
	for _, c := range cases {
		d := decision.Next(decision.Decision{}, []policy.Result{c.result}, start)
		if got := d.Rules[0].Explain(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestADecisionIsNewsOnlyWhenItsReasonsChange(t *testing.T) {
	failing := result("disk", false, policy.Seal, time.Hour)
	first := decision.Next(decision.Decision{}, []policy.Result{failing}, start)
	again := decision.Next(first, []policy.Result{failing}, start.Add(time.Minute))
	due := decision.Next(again, []policy.Result{failing}, start.Add(time.Hour))
	if !again.Same(first) {
		t.Error("the same report a minute later is news")
	}
	if due.Same(again) || first.Same(decision.Decision{}) {
		t.Error("a consequence that became due is no news")
	}
	if !strings.Contains(due.Reason(), "rule disk failed") {
		t.Errorf("reason: %q", due.Reason())
	}
}
