package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"cutoff/server/document"
	"cutoff/server/fault"
)

// Limits of one file.
const (
	MaxFile   = 256 << 10
	maxRules  = 100
	maxGroups = 500
	maxGrace  = 90 * 24 * time.Hour
)

var ruleName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// Parse checks a policy file whole and returns it, or everything that is wrong
// with it. Groups are the names that exist: one that does not is a fault, for
// its rules would hold nobody to anything. Nil groups are not checked.
//
// A file looks like this:
//
//	groups:
//	  default:            # or "*": every group
//	    rules:
//	      - name: disk-encrypted
//	        when: posture.disk_encrypted
//	        consequence: seal       # none, warn or seal
//	        grace: 24h              # for how long it may fail; 0s if left out
//	        unknown: fail           # fail (if left out) or pass
func Parse(data []byte, groups []string) (*Policy, fault.Problems) {
	file := document.Read(data, MaxFile)
	if problems := file.Problems(); len(problems) > 0 {
		return nil, problems
	}
	env, err := environment()
	if err != nil {
		return nil, fault.Problems{{Line: 1, Column: 1, Message: "the expression language is not available: " + err.Error()}}
	}
	if file.Root.Missing() {
		return nil, fault.Problems{{Line: 1, Column: 1, Message: "empty file; a policy without rules is \"groups: {}\""}}
	}
	p := &Policy{groups: map[string][]Rule{}}
	top := file.Root.Map("groups")
	file.Root.Need(top, "groups")
	entries := top["groups"].Entries()
	if len(entries) > maxGroups {
		top["groups"].Fault("%d groups, at most %d", len(entries), maxGroups)
		return nil, file.Problems()
	}
	nodes := map[string][]document.Node{}
	for _, e := range entries {
		if groups != nil && e.Key != EveryGroup && !slices.Contains(groups, e.Key) {
			e.At.Fault("no group %q; there are %s", e.Key, strings.Join(groups, ", "))
		}
		fields := e.Value.Map("rules")
		e.Value.Need(fields, "rules")
		list := fields["rules"].List()
		if len(list) > maxRules {
			fields["rules"].Fault("%d rules, at most %d", len(list), maxRules)
			continue
		}
		for _, node := range list {
			rule := parseRule(env, node)
			p.groups[e.Key] = append(p.groups[e.Key], rule)
		}
		nodes[e.Key] = list
	}
	for _, e := range entries {
		p.unique(e.Key, nodes[e.Key])
	}
	if problems := file.Problems(); len(problems) > 0 {
		return nil, problems
	}
	return p, nil
}

func parseRule(env *cel.Env, node document.Node) Rule {
	fields := node.Map("name", "when", "consequence", "grace", "unknown")
	node.Need(fields, "name", "when", "consequence")
	r := Rule{
		Name:        fields["name"].Text(),
		When:        strings.TrimSpace(fields["when"].Text()),
		Consequence: Consequence(fields["consequence"].OneOf(string(None), string(Warn), string(Seal))),
		Grace:       fields["grace"].Duration(0, maxGrace, 0),
		PassUnknown: fields["unknown"].OneOf("fail", "pass") == "pass",
	}
	if !fields["name"].Missing() && !ruleName.MatchString(r.Name) {
		fields["name"].Fault("a rule's name is lower-case letters, digits and hyphens, at most 64")
	}
	if !fields["when"].Missing() {
		r.compiled = compile(env, fields["when"])
	}
	return r
}

// unique reports rules of one device with the same name: its own group's and
// those of every group.
func (p *Policy) unique(group string, nodes []document.Node) {
	seen := map[string]bool{}
	if group != EveryGroup {
		for _, r := range p.groups[EveryGroup] {
			seen[r.Name] = true
		}
	}
	for i, r := range p.groups[group] {
		if r.Name == "" {
			continue
		}
		if seen[r.Name] {
			nodes[i].Fault("rule %q is there twice", r.Name)
		}
		seen[r.Name] = true
	}
}
