// Package declarative is a connector that a YAML file describes: how to sign
// in, which requests revoke, which read back, what an answer means. Values of
// the outside (accounts, identifiers of a device) are escaped for the place
// they stand in, so that a hostile one chooses neither host nor path nor
// field. It must not take an answer's status as proof.
package declarative

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"cutoff/server/connector/assertion"
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
	auth    auth
	signer  *assertion.Signer // of auth's key, if it has one
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
	return s.product, s.needed(), nil
}

func (s *spec) needed() []string {
	var names []string
	for _, name := range s.secrets {
		if slices.Contains(s.optional, name) {
			name += config.MayLack
		}
		names = append(names, name)
	}
	return names
}

// New makes a connector of a file, or says what is wrong with it.
func New(text string, c Config) (*Connector, fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return nil, problems
	}
	if problems := c.Secrets.Lack(s.needed()); len(problems) > 0 {
		return nil, problems
	}
	made := &Connector{name: c.Name, spec: s, secrets: c.Secrets, now: c.Now}
	out := s.outgoing.With(c.Outgoing)
	if problem := made.choose(&out); problem != "" {
		return nil, config.Whole("%s", problem)
	}
	made.client = outgoing.New(out)
	return made, nil
}

// choose takes the way to sign in whose condition holds, and reads its keys;
// what it returns is what is wrong with them.
func (c *Connector) choose(out *outgoing.Config) string {
	i := slices.IndexFunc(c.spec.auths, func(a auth) bool { return c.holds(a.cond, nil) })
	if i < 0 {
		return "nothing given says how to sign in: give one of the secrets " + strings.Join(c.spec.secrets, ", ")
	}
	c.auth = c.spec.auths[i]
	v := c.authValues()
	if g := c.auth.token; len(g.key.parts) > 0 {
		var err error
		if c.signer, err = assertion.New(g.key.render(v), g.keyID.render(v), g.certificate.render(v)); err != nil {
			return "the secret for auth's key: " + err.Error()
		}
	}
	certificate, key := c.auth.certificate.render(v), c.auth.key.render(v)
	if certificate == "" && key == "" {
		return ""
	}
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		return "the client certificate and its key are not a pair in PEM"
	}
	out.Certificate = &pair
	return ""
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
		if !st.when.covers(s) {
			continue
		}
		for _, one := range c.planStep(st, s) {
			if c.holds(st.cond, one.values) {
				specs = append(specs, c.planned(st, one))
			}
		}
	}
	slices.SortStableFunc(specs, func(a, b revoke.Spec) int { return cmp.Compare(a.Rank, b.Rank) })
	return specs
}

// one is a step for one thing of a subject.
type one struct {
	values  values
	blocked string
	expires time.Time
}

func (c *Connector) planStep(st *step, s revoke.Subject) []one {
	var all []one
	switch st.each {
	case "cut":
		all = append(all, one{values: subjectValues(s)})
	case "account":
		list, blocked := c.planAccounts(s)
		for _, v := range list {
			all = append(all, one{values: v, blocked: blocked})
		}
	case "email":
		if s.Email != "" {
			all = append(all, one{values: subjectValues(s)})
		}
	case "credential":
		for _, k := range s.Credentials {
			if st.when.includes(k) && !k.Held {
				all = append(all, one{values: credentialValues(s, k), expires: k.Expires})
			}
		}
	}
	return all
}

// with is v and what settings stand for.
func (c *Connector) with(v values) values {
	all := make(values, len(v)+len(c.spec.settings))
	for k, s := range c.spec.settings {
		all[k] = s
	}
	for name, u := range c.spec.bases {
		all[name+".host"] = u.Hostname()
	}
	for k, s := range v {
		if _, setting := c.spec.settings[k]; !setting {
			all[k] = s
		}
	}
	return all
}

// planned is the step's spec. Its residual stays open: until the act is done,
// nothing is known to end.
func (c *Connector) planned(st *step, o one) revoke.Spec {
	params := map[string]string{}
	for k, s := range o.values {
		if s != "" {
			params[k] = s
		}
	}
	undo := st.undo
	if u := c.undoOf(st); undo == revoke.UndoFull && (u == nil || !c.holds(u.cond, o.values)) {
		undo = revoke.UndoNone
	}
	v := c.with(o.values)
	if v["account"] == "" {
		v["account"] = nobody(v)
	}
	return revoke.Spec{
		Connector: c.name, Action: st.action, Target: st.target.render(v), Params: params,
		Scope: st.scope, Undo: undo, Rank: st.rank, Residual: revoke.Residual{Until: o.expires},
		Blocked: o.blocked != "", Detail: o.blocked,
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
	return (len(w.levels) == 0 || slices.Contains(w.levels, s.Level)) && (w.person == nil || *w.person == s.PersonScope) &&
		(w.device == nil || *w.device == (s.DeviceID != ""))
}

func (w when) includes(k revoke.Credential) bool {
	if len(w.products) > 0 && !slices.Contains(w.products, k.Product) {
		return false
	}
	return !slices.ContainsFunc(w.has, func(kind string) bool { return k.Identifiers[kind] == "" })
}

func subjectValues(s revoke.Subject) values {
	v := values{
		"email": s.Email, "device": s.DeviceID, "hostname": s.Hostname, "level": s.Level, "person": s.PersonID, "cause": s.Cause,
		"scope": "device", "credentials": credentialList(s.Credentials),
	}
	if s.PersonScope {
		v["scope"] = "person"
	}
	if !s.OpenedAt.IsZero() {
		v["cut_time"] = s.OpenedAt.UTC().Format(time.RFC3339)
	}
	return v
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
		if u == nil || !c.holds(u.cond, c.values(s)) {
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
	v := c.with(s.Params)
	v["action"], v["target"], v["step"], v["cut"] = s.Action, s.Target, s.ID, s.CutID
	v["now"] = c.stamp()
	if v["cut_time"] == "" {
		v["cut_time"] = v["now"]
	}
	if strings.TrimSpace(v["credentials"]) == "" {
		v["credentials"] = "[]"
	}
	return v
}

// stamp is now, as values have it.
func (c *Connector) stamp() string { return c.now().UTC().Format(time.RFC3339) }
