package declarative

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"cutoff/server/connector/config"
	"cutoff/server/document"
	"cutoff/server/revoke"
)

// people says how a person's accounts are found where none is linked by hand:
// in the provider's directory, by the e-mail address itself, or by what a
// device's credentials say.
type people struct {
	lookUps []lookUp
	account template
	// identifiers are kinds whose value is an account's name here; cond says of
	// which credentials.
	identifiers []string
	products    []string
	cond        condition
}

// Parameters of a step whose account is not known yet.
const (
	// paramFind says that the account is to be found when the step runs.
	paramFind = "find_account"
	// paramSeen are the accounts that the device's credentials name, as JSON.
	paramSeen = "seen_accounts"
)

// maxAccounts bounds how many accounts of one person there may be.
const maxAccounts = 20

func (f *file) people(n document.Node) {
	if n.Missing() {
		return
	}
	m := n.Map("look_up", "account", "identifiers", "product", "if")
	p := &people{identifiers: config.Texts(m["identifiers"]), products: config.Texts(m["product"])}
	f.taken = map[string]bool{}
	p.cond = f.condition(m["if"])
	for _, l := range m["look_up"].List() {
		p.lookUps = append(p.lookUps, f.lookUp(l))
	}
	p.account = f.template(m["account"])
	if len(p.lookUps) > 0 && m["account"].Missing() {
		n.Fault("account is missing: which of the looked-up values is the account's name")
	}
	if len(p.lookUps) == 0 && m["account"].Missing() && len(p.identifiers) == 0 {
		n.Fault("say account, look_up with account, or identifiers")
	}
	if slices.Contains(p.account.variables(), "account") {
		m["account"].Fault("the account is what is to be found")
	}
	f.taken = nil
	f.spec.people = p
}

// planAccounts are the values of a step for each account of s: those linked by
// hand, else one that is found when the step runs. A person without any is
// blocked, never skipped; a device without a person has none to look for.
func (c *Connector) planAccounts(s revoke.Subject) (list []values, blocked string) {
	for _, account := range s.Accounts {
		v := subjectValues(s)
		v["account"] = account
		list = append(list, v)
	}
	if len(list) > 0 || s.Email == "" && len(s.Accounts) == 0 && !known(s) {
		return list, ""
	}
	p := c.spec.people
	v := subjectValues(s)
	if p != nil {
		if seen := c.seen(s.Credentials); len(seen) > 0 {
			if data, err := json.Marshal(seen); err == nil {
				v[paramSeen] = string(data)
			}
		}
	}
	if p == nil || v[paramSeen] == "" && (s.Email == "" || len(p.account.parts) == 0) {
		return []values{v}, "account-not-linked"
	}
	if len(p.lookUps) == 0 && s.Email != "" && len(p.account.parts) > 0 {
		v["account"] = p.account.render(c.with(v))
		return []values{v}, ""
	}
	v[paramFind] = "yes"
	return []values{v}, ""
}

// known reports whether the subject is about a person at all.
func known(s revoke.Subject) bool { return s.PersonID != "" }

// seen are the accounts that credentials of the inventory name.
func (c *Connector) seen(list []revoke.Credential) []string {
	p := c.spec.people
	var all []string
	for _, k := range list {
		if len(p.products) > 0 && !slices.Contains(p.products, k.Product) {
			continue
		}
		v := credentialValues(revoke.Subject{}, k)
		if !c.holds(p.cond, c.with(v)) {
			continue
		}
		for _, kind := range p.identifiers {
			if name := k.Identifiers[kind]; name != "" && !slices.Contains(all, name) && len(all) < maxAccounts {
				all = append(all, name)
			}
		}
	}
	return all
}

// Find returns a person's accounts in the provider's directory, by e-mail
// address, or by the inventory's identifiers where the directory has none.
// Errors are a word, never the provider's.
func (c *Connector) Find(ctx context.Context, who revoke.Person) ([]string, error) {
	if c.spec.people == nil {
		return nil, nil
	}
	v := c.with(values{"email": who.Email})
	v["cut_time"], v["now"] = c.stamp(), c.stamp()
	var seen []string
	for _, kind := range c.spec.people.identifiers {
		if name := who.Names[kind]; name != "" {
			seen = append(seen, name)
		}
	}
	return c.accounts(ctx, v, seen, "find")
}

func (c *Connector) accounts(ctx context.Context, v values, seen []string, id string) ([]string, error) {
	p := c.spec.people
	if v["email"] == "" || len(p.account.parts) == 0 {
		return seen, nil
	}
	rows, err := c.rows(ctx, p.lookUps, []values{v}, id)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, row := range rows {
		if name := p.account.render(row); name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	switch {
	case len(all) > maxAccounts:
		return nil, statusError{verdict{outcome: actBlocked, detail: "too-many-accounts-found"}}
	case len(all) == 0:
		return seen, nil
	}
	return all, nil
}

// subjects are the values of a step, one for each account it is for.
func (c *Connector) subjects(ctx context.Context, st *step, v values, id string) ([]values, error) {
	if v[paramFind] == "" {
		return []values{v}, nil
	}
	if c.spec.people == nil {
		return nil, statusError{verdict{outcome: actBlocked, detail: "account-not-linked"}}
	}
	var seen []string
	if text := v[paramSeen]; text != "" {
		if json.Unmarshal([]byte(text), &seen) != nil {
			seen = nil
		}
	}
	// A device may hold a colleague's credential: what it names is enough to
	// end sessions, and to block a sign-in only if it names one account.
	if len(seen) > 1 && (st.scope == revoke.ScopePerson || v["scope"] == string(revoke.ScopePerson)) {
		seen = nil
	}
	found, err := c.accounts(ctx, v, seen, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, statusError{verdict{outcome: actBlocked, detail: "account-not-found"}}
	}
	var all []values
	for _, name := range found {
		row := make(values, len(v)+1)
		for k, s := range v {
			row[k] = s
		}
		row["account"] = name
		all = append(all, row)
	}
	return all, nil
}

// nobody says in people's words whom a step is for whose account is not known.
func nobody(v values) string {
	if v["email"] != "" {
		return v["email"]
	}
	return strings.TrimSpace(v["hostname"] + " (account unknown)")
}
