// Package decision holds what follows from a report: from the rules' results
// and for how long each has failed, the strongest consequence that is due, and
// the reasons for it. It is one pure function; it must not carry anything out.
package decision

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cutoff/server/policy"
)

// Decision is what was decided of one report, and why. The zero Decision is
// that of a device never decided about.
type Decision struct {
	// Consequence is the strongest one that is due.
	Consequence policy.Consequence
	At          time.Time
	// Policy is the version the rules are of; 0 without a policy.
	Policy int64
	Rules  []Rule
}

// Rule explains one rule's part.
type Rule struct {
	Name    string        `json:"name"`
	When    string        `json:"when"`
	Passed  bool          `json:"passed,omitempty"`
	Unknown bool          `json:"unknown,omitempty"`
	Error   string        `json:"error,omitempty"`
	Reads   []policy.Read `json:"reads,omitempty"`
	// Consequence is that of failing the rule; Due is set once it applies.
	Consequence policy.Consequence `json:"consequence"`
	Due         bool               `json:"due,omitempty"`
	// FailingSince and DueAt are set while it fails: since when, and when its
	// grace ends.
	FailingSince time.Time `json:"failing_since,omitzero"`
	DueAt        time.Time `json:"due_at,omitzero"`
}

// Next decides at now on the results of a report, after previous. A rule that
// goes on failing keeps its first time of failing, as long as its expression
// is the same; one report that passes ends that.
func Next(previous Decision, results []policy.Result, now time.Time) Decision {
	d := Decision{Consequence: policy.None, At: now}
	for _, r := range results {
		rule := Rule{
			Name: r.Rule, When: r.When, Passed: r.Passed, Unknown: r.Undecided, Error: r.Error, Reads: r.Reads,
			Consequence: r.Consequence,
		}
		if !r.Passed {
			rule.FailingSince = failingSince(previous, r, now)
			rule.DueAt = rule.FailingSince.Add(r.Grace)
			rule.Due = !now.Before(rule.DueAt)
		}
		if rule.Due {
			d.Consequence = d.Consequence.Stronger(r.Consequence)
		}
		d.Rules = append(d.Rules, rule)
	}
	return d
}

func failingSince(previous Decision, r policy.Result, now time.Time) time.Time {
	for _, p := range previous.Rules {
		// A time ahead of now is from a clock that was set back: it must not
		// lengthen the grace.
		if p.Name == r.Rule && p.When == r.When && !p.Passed && !p.FailingSince.IsZero() && !p.FailingSince.After(now) {
			return p.FailingSince
		}
	}
	return now
}

// Reason is the decision in one sentence, as a cut gives it.
func (d *Decision) Reason() string {
	var parts []string
	for _, r := range d.Rules {
		if r.Due && r.Consequence == d.Consequence {
			parts = append(parts, "rule "+r.Name+" "+r.Explain())
		}
	}
	if len(parts) == 0 {
		return "every rule holds"
	}
	return strings.Join(parts, "; ")
}

// Explain says what became of the rule and on which facts.
func (r *Rule) Explain() string {
	var b strings.Builder
	switch {
	case r.Error != "":
		fmt.Fprintf(&b, "failed: %s cannot be evaluated (%s)", r.When, r.Error)
	case r.Passed && r.Unknown:
		fmt.Fprintf(&b, "passed as the rule says for unknown facts: %s", r.When)
	case r.Passed:
		fmt.Fprintf(&b, "passed: %s", r.When)
	case r.Unknown:
		fmt.Fprintf(&b, "failed because a fact is unknown: %s", r.When)
	default:
		fmt.Fprintf(&b, "failed: %s", r.When)
	}
	if facts := r.facts(); facts != "" {
		b.WriteString(" where " + facts)
	}
	if !r.Passed && !r.Due {
		fmt.Fprintf(&b, "; %s from %s on", r.Consequence, r.DueAt.UTC().Format(time.RFC3339))
	}
	return b.String()
}

func (r *Rule) facts() string {
	parts := make([]string, len(r.Reads))
	for i, f := range r.Reads {
		if f.Unknown != "" {
			parts[i] = fmt.Sprintf("%s is unknown (%s)", f.Name, f.Unknown)
			continue
		}
		parts[i] = fmt.Sprintf("%s is %q", f.Name, f.Value)
	}
	return strings.Join(parts, ", ")
}

// Same reports whether o decides the same for the same reasons, apart from the
// facts' values: whether there is news to record.
func (d *Decision) Same(o Decision) bool {
	return d.Consequence == o.Consequence && d.Policy == o.Policy &&
		slices.EqualFunc(d.Rules, o.Rules, func(a, b Rule) bool {
			return a.Name == b.Name && a.Passed == b.Passed && a.Due == b.Due && a.Unknown == b.Unknown
		})
}
