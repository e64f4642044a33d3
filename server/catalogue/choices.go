package catalogue

import (
	"fmt"
	"slices"
	"strings"

	"cutoff/proto/addition"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// Choices are what a group chose beyond the catalogue. The zero value is the
// narrowest.
type Choices struct {
	// Version is the server-wide number of the last change; 0: none was made.
	Version    int64    `json:"-"`
	Everything bool     `json:"everything"`
	Accounts   []string `json:"accounts"`
	Policies   []string `json:"policies"`
	Enrich     bool     `json:"enrich"`
	WorkTrees  []string `json:"work_trees"`
}

// maxChoices bounds each list.
const maxChoices = 64

// Check refuses what an agent would refuse.
func (c *Choices) Check() error {
	for name, list := range map[string][]string{"accounts": c.Accounts, "policies": c.Policies, "work trees": c.WorkTrees} {
		if len(list) > maxChoices {
			return fault.New(fault.Invalid, "%d %s, at most %d", len(list), name, maxChoices)
		}
	}
	for _, a := range c.Accounts {
		if why := addition.WrongAccount(a); why != "" {
			return fault.New(fault.Invalid, "account %.64q: %s", a, why)
		}
	}
	for _, p := range c.Policies {
		if !slices.Contains(addition.Policies(), p) {
			return fault.New(fault.Invalid, "policy %.64q: want one of %s", p, strings.Join(addition.Policies(), ", "))
		}
	}
	for _, t := range c.WorkTrees {
		if why := addition.WrongTree(t); why != "" {
			return fault.New(fault.Invalid, "work tree %.64q: %s", t, why)
		}
	}
	return nil
}

// Tidy sorts and joins each list, so that equal choices are equal.
func (c *Choices) Tidy() {
	for _, list := range []*[]string{&c.Accounts, &c.Policies, &c.WorkTrees} {
		*list = slices.Compact(slices.Sorted(slices.Values(*list)))
	}
}

// Equal reports whether both choose the same, whatever their versions.
func (c *Choices) Equal(d *Choices) bool {
	return c.Everything == d.Everything && c.Enrich == d.Enrich && slices.Equal(c.Accounts, d.Accounts) &&
		slices.Equal(c.Policies, d.Policies) && slices.Equal(c.WorkTrees, d.WorkTrees)
}

// Wider says what of next a cut would take that it would not by c, or is empty.
// Enrichment and work trees take nothing away.
func (c *Choices) Wider(next *Choices) string {
	var more []string
	if next.Everything && !c.Everything {
		more = append(more, "every item of a keyring")
	}
	for _, p := range next.Policies {
		if !slices.Contains(c.Policies, p) {
			more = append(more, "what the policy "+p+" is for")
		}
	}
	for _, a := range next.Accounts {
		if !slices.Contains(c.Accounts, a) {
			more = append(more, "keyring items of accounts at "+a)
		}
	}
	return strings.Join(more, ", ")
}

// String is the choices in one line, for evidence.
func (c *Choices) String() string {
	keyring := "catalogue"
	if c.Everything {
		keyring = "everything"
	}
	return fmt.Sprintf("keyring %s, accounts %v, policies %v, enrich %t, work trees %v",
		keyring, c.Accounts, c.Policies, c.Enrich, c.WorkTrees)
}

// Message is the choices on the wire.
func (c *Choices) Message() *cutoffv1.Choices {
	return &cutoffv1.Choices{
		Everything: c.Everything, Accounts: c.Accounts, Policies: c.Policies, Enrich: c.Enrich, WorkTrees: c.WorkTrees,
	}
}
