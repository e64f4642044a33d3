package declarative

import (
	"net/url"
	"slices"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
	"cutoff/server/fault"
)

// spec is a file that was read and found right.
type spec struct {
	product  string
	outgoing outgoing.Config
	bases    map[string]*url.URL
	settings map[string]string
	// addresses are the settings that an entry wants one of, given or not.
	addresses []string
	secrets   []string
	optional  []string // of the secrets, those that may be left out
	auths     []auth
	answers   rules
	people    *people
	check     []check
	steps     []step
	undos     []step
}

func (s *spec) needsAddress(name string) bool { return slices.Contains(s.addresses, name) }

// check is a harmless call of the connector's test.
type check struct {
	name  string
	about string // what is missing if it fails
	when  condition
	call  call
	ok    []int
	says  []test
}

// file is one being read.
type file struct {
	link   config.Link
	spec   spec
	inAuth bool
	taken  map[string]bool
}

// definitionKeys are what describes a connector, in an entry as in a file of
// one's own.
var definitionKeys = []string{"product", "secrets", "auth", "answers", "people", "check", "steps", "undos"}

// read parses text; what it returns is of use only without problems.
func read(text string) (*spec, fault.Problems) {
	doc, problems := config.Open(text)
	if len(problems) > 0 {
		return nil, problems
	}
	f := &file{}
	known := append(config.LinkKeys(), "use", "settings", "needs")
	root := doc.Root.Map(append(known, definitionKeys...)...)
	f.link = config.ReadLink(root)
	f.spec.outgoing = f.link.Outgoing
	if use := root["use"]; !use.Missing() {
		f.use(root)
		return &f.spec, doc.Problems()
	}
	if !root["needs"].Missing() {
		root["needs"].Fault("a file of your own says its settings; needs is for shipped entries")
	}
	doc.Root.Need(root, "product", "settings", "steps")
	f.settings(root["settings"].Entries(), nil)
	f.definition(root)
	return &f.spec, doc.Problems()
}

// definition reads what a connector does.
func (f *file) definition(fields map[string]document.Node) {
	f.spec.product = fields["product"].Text()
	for _, s := range secretsOf(fields["secrets"]) {
		f.spec.secrets = append(f.spec.secrets, s.name)
		if s.optional {
			f.spec.optional = append(f.spec.optional, s.name)
		}
	}
	f.inAuth = true
	f.auths(fields["auth"])
	f.inAuth = false
	f.spec.answers = f.rules(fields["answers"].Map("already", "retry", "blocked", "unsupported"))
	f.people(fields["people"])
	for _, n := range fields["undos"].List() {
		f.spec.undos = append(f.spec.undos, f.step(n, true))
	}
	seen := map[string]bool{}
	for _, n := range fields["steps"].List() {
		s := f.step(n, false)
		if seen[s.action] {
			n.Fault("action %q is here twice", s.action)
		}
		seen[s.action] = true
		if s.undoneBy != "" && f.undoOf(s.undoneBy) == nil {
			n.Fault("undone_by: there is no undo %q", s.undoneBy)
		}
		f.spec.steps = append(f.spec.steps, s)
	}
	for _, n := range fields["check"].List() {
		f.spec.check = append(f.spec.check, f.check(n))
	}
}

func (f *file) check(n document.Node) check {
	m := n.Map("name", "needs", "if", "call", "headers", "json", "form", "ok", "says")
	n.Need(m, "name", "call")
	f.taken = nil
	c := check{
		name: m["name"].Text(), about: m["needs"].Text(), when: f.condition(m["if"]), call: f.call(n, m),
		ok: config.Statuses(m["ok"]), says: f.tests(m["says"]),
	}
	if len(c.ok) == 0 {
		c.ok = []int{200}
	}
	return c
}

func (f *file) undoOf(action string) *step {
	i := slices.IndexFunc(f.spec.undos, func(u step) bool { return u.action == action })
	if i < 0 {
		return nil
	}
	return &f.spec.undos[i]
}
