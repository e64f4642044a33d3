// Package declarative is a connector that a YAML file describes: how to sign
// in, which requests revoke, which read back, what an answer means. Values of
// the outside (accounts, identifiers of a device) are escaped for the place
// they stand in, so that a hostile one chooses neither host nor path nor
// field. It must not take an answer's status as proof.
package declarative

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Connector is one configured provider.
type Connector struct {
	name    string
	spec    *spec
	secrets config.Secrets
	client  *outgoing.Client
	now     func() time.Time
	session session
}

// Config is what New needs besides the file.
type Config struct {
	// Name is the connector's own, as the administrator chose it.
	Name    string
	Secrets config.Secrets
	Now     func() time.Time
	// Outgoing is overlaid with what the file says; usually zero.
	Outgoing outgoing.Config
}

// Inspect reads a file: its product, the names of the secrets it needs, and
// what is wrong with it.
func Inspect(text string) (product string, secrets []string, problems fault.Problems) {
	s, problems := read(text)
	if s == nil || len(problems) > 0 {
		return "", nil, problems
	}
	return s.product, s.secrets, nil
}

// New makes a connector of a file, or says what is wrong with it.
func New(text string, c Config) (*Connector, fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return nil, problems
	}
	for _, name := range s.secrets {
		if c.Secrets[name] == "" && !slices.Contains(s.optional, name) {
			problems = append(problems, fault.Problem{Line: 1, Column: 1, Message: "secret \"" + name + "\" is not given"})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	out := s.outgoing
	out.Proxy, out.Resolve = c.Outgoing.Proxy, c.Outgoing.Resolve
	if out.Roots == nil {
		out.Roots = c.Outgoing.Roots
	}
	return &Connector{name: c.Name, spec: s, secrets: c.Secrets, client: outgoing.New(out), now: c.Now}, nil
}

// Product is the provider's name as people know it.
func (c *Connector) Product() string { return c.spec.product }

// Parallel is how many steps may be under way at once.
func (c *Connector) Parallel() int { return c.client.Parallel() }

// Close drops idle connections.
func (c *Connector) Close() { c.client.Close() }

// Plan says what would be revoked for s. It asks nobody.
func (c *Connector) Plan(s revoke.Subject) []revoke.Spec {
	var specs []revoke.Spec
	for i := range c.spec.steps {
		st := &c.spec.steps[i]
		if !c.spec.has(st.unless) || !st.when.covers(s) {
			continue
		}
		switch st.each {
		case "cut":
			specs = append(specs, c.planned(st, subjectValues(s)))
		case "account":
			for _, account := range s.Accounts {
				v := subjectValues(s)
				v["account"] = account
				specs = append(specs, c.planned(st, v))
			}
		case "email":
			if s.Email != "" {
				specs = append(specs, c.planned(st, subjectValues(s)))
			}
		case "credential":
			for _, k := range s.Credentials {
				if st.when.includes(k) && !k.Held {
					spec := c.planned(st, credentialValues(s, k))
					spec.Residual = revoke.Residual{Until: k.Expires}
					specs = append(specs, spec)
				}
			}
		}
	}
	slices.SortStableFunc(specs, func(a, b revoke.Spec) int { return cmp.Compare(a.Rank, b.Rank) })
	return specs
}

// planned is the step's spec. Its residual stays open: until the act is done,
// nothing is known to end.
func (c *Connector) planned(st *step, v values) revoke.Spec {
	for k, s := range c.spec.settings {
		if _, taken := v[k]; !taken {
			v[k] = s
		}
	}
	params := map[string]string{}
	for k, s := range v {
		if _, setting := c.spec.settings[k]; !setting && s != "" {
			params[k] = s
		}
	}
	undo := st.undo
	if u := c.undoOf(st); undo == revoke.UndoFull && (u == nil || !c.spec.has(u.unless)) {
		undo = revoke.UndoNone
	}
	return revoke.Spec{
		Connector: c.name, Action: st.action, Target: st.target.render(v), Params: params,
		Scope: st.scope, Undo: undo, Rank: st.rank,
	}
}

func (c *Connector) undoOf(st *step) *step {
	for i := range c.spec.undos {
		if u := &c.spec.undos[i]; u.action == st.undoneBy {
			return u
		}
	}
	return nil
}

func (w when) covers(s revoke.Subject) bool {
	return (len(w.levels) == 0 || slices.Contains(w.levels, s.Level)) && (w.person == nil || *w.person == s.PersonScope)
}

func (w when) includes(k revoke.Credential) bool {
	if len(w.products) > 0 && !slices.Contains(w.products, k.Product) {
		return false
	}
	return !slices.ContainsFunc(w.has, func(kind string) bool { return k.Identifiers[kind] == "" })
}

func subjectValues(s revoke.Subject) values {
	return values{
		"email": s.Email, "device": s.DeviceID, "hostname": s.Hostname, "level": s.Level,
		"credentials": credentialList(s.Credentials),
	}
}

// credentialList is what a webhook tells of a device's credentials: types and
// non-secret identifiers, as JSON.
func credentialList(list []revoke.Credential) string {
	type entry struct {
		Type        string            `json:"type"`
		ID          string            `json:"id"`
		Identifiers map[string]string `json:"identifiers,omitempty"`
	}
	all := make([]entry, 0, len(list))
	for _, k := range list[:min(len(list), 500)] {
		all = append(all, entry{k.Product, k.ID, k.Identifiers})
	}
	data, err := json.Marshal(all)
	if err != nil {
		return "[]"
	}
	return string(data)
}

func credentialValues(s revoke.Subject, k revoke.Credential) values {
	v := subjectValues(s)
	delete(v, "credentials")
	v["credential"], v["product"], v["path"] = k.ID, k.Product, k.Path
	// The name under which every connector says which credential a step is for.
	v["credential_id"] = k.ID
	for kind, value := range k.Identifiers {
		v["id."+kind] = value
	}
	if !k.Expires.IsZero() {
		v["expires"] = k.Expires.UTC().Format(time.RFC3339)
	}
	return v
}

// UndoSpecs says what undoes a step, if anything does.
func (c *Connector) UndoSpecs(s revoke.Step) []revoke.Spec {
	for i := range c.spec.steps {
		st := &c.spec.steps[i]
		if st.action != s.Action {
			continue
		}
		u := c.undoOf(st)
		if u == nil || !c.spec.has(u.unless) {
			return nil
		}
		return []revoke.Spec{{
			Connector: c.name, Action: u.action, Target: s.Target, Params: s.Params,
			Scope: s.Scope, Undo: revoke.UndoNone, Rank: u.rank,
		}}
	}
	return nil
}

// find is the file's step for s.
func (c *Connector) find(s revoke.Step) *step {
	list := c.spec.steps
	if s.UndoOf != "" {
		list = c.spec.undos
	}
	for i := range list {
		if list[i].action == s.Action {
			return &list[i]
		}
	}
	return nil
}

// values are what the step's requests may use.
func (c *Connector) values(s revoke.Step) values {
	v := values{}
	for k, x := range c.spec.settings {
		v[k] = x
	}
	for k, x := range s.Params {
		if _, setting := c.spec.settings[k]; !setting {
			v[k] = x
		}
	}
	v["action"], v["target"], v["step"], v["cut"] = s.Action, s.Target, s.ID, s.CutID
	v["now"] = c.now().UTC().Format(time.RFC3339)
	if strings.TrimSpace(v["credentials"]) == "" {
		v["credentials"] = "[]"
	}
	return v
}
