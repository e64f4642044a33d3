// Package policy holds the rules a device's posture is held against: a YAML
// file of CEL expressions per group, each with the consequence of failing it.
// It says which rules hold for a report and why; what follows is decided in
// decision. It must not know how devices are stored or cut.
package policy

import (
	"slices"
	"time"
)

// Consequence is what failing a rule leads to.
type Consequence string

// Consequences, weakest first. The empty consequence is invalid.
const (
	None Consequence = "none"
	Warn Consequence = "warn"
	Seal Consequence = "seal"
)

var byStrength = []Consequence{None, Warn, Seal}

// Stronger returns the stronger of the two.
func (c Consequence) Stronger(o Consequence) Consequence {
	if slices.Index(byStrength, o) > slices.Index(byStrength, c) {
		return o
	}
	return c
}

// EveryGroup is the group name whose rules hold in every group, beside the
// group's own.
const EveryGroup = "*"

// Rule is one expression that must hold for a device.
type Rule struct {
	Name string
	// When is the CEL expression that must be true.
	When        string
	Consequence Consequence
	// Grace is for how long the rule may fail before that.
	Grace time.Duration
	// PassUnknown lets the rule pass when it cannot be told because a fact is
	// unknown.
	PassUnknown bool

	compiled *expression
}

// Policy is one checked file. A nil Policy has no rule, so that all pass.
type Policy struct {
	groups map[string][]Rule
}

// Rules returns the rules of a group: those of every group, then its own.
func (p *Policy) Rules(group string) []Rule {
	if p == nil {
		return nil
	}
	rules := slices.Clone(p.groups[EveryGroup])
	if group != EveryGroup {
		rules = append(rules, p.groups[group]...)
	}
	return rules
}

// Subject is the device a report is about.
type Subject struct {
	ID       string
	Group    string
	Hostname string
	Trial    bool
}

// Read is one fact that a rule's expression reads.
type Read struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	// Unknown says why there is no value; empty for a known fact.
	Unknown string `json:"unknown,omitempty"`
}

// Result says whether one rule held, and on which facts.
type Result struct {
	Rule        string
	When        string
	Consequence Consequence
	Grace       time.Duration
	Passed      bool
	// Undecided is set when an unknown fact decided: it failed for that, or
	// passed because the rule says so.
	Undecided bool
	// Error is set when the expression could not be evaluated; it failed then.
	Error string
	Reads []Read
}
