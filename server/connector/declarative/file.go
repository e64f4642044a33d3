package declarative

import (
	"net/url"
	"strings"
	"time"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// spec is a file that was read and found right.
type spec struct {
	product  string
	outgoing outgoing.Config
	bases    map[string]*url.URL
	settings map[string]string
	secrets  []string
	optional []string // of the secrets, those that may be left out
	auth     auth
	check    []check
	steps    []step
	undos    []step
}

// check is a harmless call of the connector's test.
type check struct {
	name string
	call call
	ok   []int
}

// step is how one action is planned, done, confirmed and undone.
type step struct {
	action   string
	target   template
	each     string
	when     when
	scope    revoke.Scope
	undo     revoke.Undo
	undoneBy string
	rank     int
	residual residual
	unless   string // a setting without which the step is not planned
	lookUps  []lookUp
	nothing  string
	act      act
	confirm  *confirm
}

// when says for which subjects a step is planned.
type when struct {
	levels   []string
	person   *bool
	products []string
	has      []string
}

// residual says until when something works after the act is done.
type residual struct {
	none, unbounded, expiry bool
	after                   time.Duration
}

// lookUp is a request whose answer feeds later ones.
type lookUp struct {
	name    string
	call    call
	ok      []int
	nothing []int
	list    *jsonPath
	page    *page
	match   []test
	take    []taken
}

// taken is one variable a look-up gives: name.variable.
type taken struct {
	variable string
	path     jsonPath
}

// page says how a list is read in parts.
type page struct {
	from, size string
	of, first  int
}

// act is the request that revokes.
type act struct {
	call        call
	ok          []int
	already     []int
	retry       []int
	blocked     []int
	unsupported []int
	says        []test
}

// confirm is the request that reads back.
type confirm struct {
	unless string
	after  time.Duration
	proof  revoke.Proof
	ok     []int
	gone   []int
	call   call
	list   *jsonPath
	page   *page
	none   []test
	every  []test
	expect []test
	all    bool // every is asked, not none
}

// file is one being read.
type file struct {
	link   config.Link
	spec   spec
	inAuth bool
	taken  map[string]bool
}

// read parses text; what it returns is of use only without problems.
func read(text string) (*spec, fault.Problems) {
	doc := document.Read([]byte(text), config.MaxBytes)
	if doc.Root.Missing() {
		if p := doc.Problems(); len(p) > 0 {
			return nil, p
		}
		return nil, fault.Problems{{Line: 1, Column: 1, Message: "the file is empty"}}
	}
	f := &file{}
	root := doc.Root.Map(append(config.LinkKeys(), "use", "product", "settings", "secrets", "auth", "check", "steps", "undos")...)
	f.link = config.ReadLink(root)
	f.spec.outgoing = f.link.Outgoing
	if use := root["use"]; !use.Missing() {
		f.use(root)
		return &f.spec, doc.Problems()
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
	f.spec.auth = f.auth(fields["auth"])
	f.inAuth = false
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
		m := n.Map("name", "call", "headers", "ok")
		f.taken = nil
		c := check{name: m["name"].Text(), call: f.call(n, m), ok: config.Statuses(m["ok"])}
		if len(c.ok) == 0 {
			c.ok = []int{200}
		}
		f.spec.check = append(f.spec.check, c)
	}
}

func (f *file) undoOf(action string) *step {
	for i := range f.spec.undos {
		if f.spec.undos[i].action == action {
			return &f.spec.undos[i]
		}
	}
	return nil
}

var stepKeys = []string{
	"action", "target", "each", "when", "if", "scope", "undo", "undone_by", "rank", "residual",
	"look_up", "nothing", "act", "confirm",
}

func (f *file) step(n document.Node, undo bool) step {
	m := n.Map(stepKeys...)
	n.Need(m, "action", "act")
	f.taken = map[string]bool{}
	s := step{
		action: m["action"].Text(), undoneBy: m["undone_by"].Text(), unless: f.setting(m["if"]),
		scope:    revoke.Scope(m["scope"].OneOf("device", "sessions", "person")),
		undo:     revoke.Undo(m["undo"].OneOf("full", "sign-in", "none")),
		rank:     m["rank"].Int(0, 100, 50),
		each:     m["each"].OneOf("cut", "account", "email", "credential"),
		nothing:  m["nothing"].OneOf("already", "blocked"),
		when:     f.when(m["when"]),
		residual: f.residual(m["residual"]),
	}
	if undo {
		for _, key := range []string{"each", "when", "scope", "undo", "undone_by"} {
			if !m[key].Missing() {
				m[key].Fault("an undo takes %s from the step it undoes", key)
			}
		}
	} else {
		n.Need(m, "target", "each", "scope", "undo", "residual")
		s.target = f.template(m["target"])
	}
	for _, l := range m["look_up"].List() {
		s.lookUps = append(s.lookUps, f.lookUp(l))
	}
	s.act = f.act(m["act"])
	f.taken = map[string]bool{} // a confirmation does not look up again
	if !m["confirm"].Missing() {
		s.confirm = f.confirm(m["confirm"])
	}
	return s
}

func (f *file) when(n document.Node) when {
	m := n.Map("level", "person", "product", "has")
	w := when{levels: config.Texts(m["level"]), products: config.Texts(m["product"]), has: config.Texts(m["has"])}
	for _, l := range w.levels {
		if l != "seal" && l != "purge" {
			m["level"].Fault("%q is none of seal, purge", l)
		}
	}
	if !m["person"].Missing() {
		p := m["person"].Bool(false)
		w.person = &p
	}
	return w
}

// residual reads none, unbounded, expiry (the credential's own), a duration
// or the name of a setting that holds one.
func (f *file) residual(n document.Node) residual {
	text := n.Text()
	if name, ok := strings.CutPrefix(text, "{"); ok {
		value, known := f.spec.settings[strings.TrimSuffix(name, "}")]
		if !known {
			n.Fault("there is no setting %s", text)
			return residual{unbounded: true}
		}
		text = value
	}
	switch text {
	case "", "unbounded":
		return residual{unbounded: true}
	case "none":
		return residual{none: true}
	case "expiry":
		return residual{expiry: true}
	}
	d, ok := config.Span(text)
	if !ok {
		n.Fault("want none, unbounded, expiry or how long it lives on, like 1h or 14d; have %q", text)
	}
	return residual{after: d}
}

func (f *file) lookUp(n document.Node) lookUp {
	m := n.Map("name", "call", "headers", "json", "form", "ok", "nothing", "list", "page", "match", "take")
	n.Need(m, "name", "call", "take")
	l := lookUp{
		name: m["name"].Text(), call: f.call(n, m), ok: config.Statuses(m["ok"]), nothing: config.Statuses(m["nothing"]),
		list: f.list(m["list"]), page: f.page(m["page"], m["list"]),
	}
	if len(l.ok) == 0 {
		l.ok = []int{200}
	}
	l.match = f.tests(m["match"])
	for _, e := range m["take"].Entries() {
		l.take = append(l.take, taken{variable: l.name + "." + e.Key, path: parsePath(e.Value, e.Value.Text())})
		f.taken[l.name+"."+e.Key] = true
	}
	return l
}

func (f *file) list(n document.Node) *jsonPath {
	if n.Missing() {
		return nil
	}
	p := parsePath(n, n.Text())
	return &p
}

func (f *file) page(n, list document.Node) *page {
	if n.Missing() {
		return nil
	}
	if list.Missing() {
		n.Fault("pages are of a list")
	}
	m := n.Map("from", "size", "of", "first")
	n.Need(m, "from", "size", "of")
	return &page{from: m["from"].Text(), size: m["size"].Text(), of: m["of"].Int(1, 10000, 100), first: m["first"].Int(0, 1, 0)}
}

func (f *file) act(n document.Node) act {
	m := n.Map("call", "headers", "json", "form", "ok", "already", "retry", "blocked", "unsupported", "says")
	n.Need(m, "call")
	a := act{
		call: f.call(n, m), ok: config.Statuses(m["ok"]), already: config.Statuses(m["already"]),
		retry: config.Statuses(m["retry"]), blocked: config.Statuses(m["blocked"]),
		unsupported: config.Statuses(m["unsupported"]), says: f.tests(m["says"]),
	}
	if len(a.ok) == 0 {
		a.ok = []int{200, 204}
	}
	return a
}

func (f *file) confirm(n document.Node) *confirm {
	m := n.Map("call", "headers", "json", "form", "ok", "gone", "list", "page", "none", "every", "expect", "after", "proof", "if")
	n.Need(m, "call")
	c := &confirm{
		call: f.call(n, m), ok: config.Statuses(m["ok"]), gone: config.Statuses(m["gone"]),
		list: f.list(m["list"]), page: f.page(m["page"], m["list"]), unless: f.setting(m["if"]),
		none: f.tests(m["none"]), every: f.tests(m["every"]), expect: f.tests(m["expect"]),
		after: m["after"].Duration(0, time.Hour, 0),
		proof: revoke.Proof(m["proof"].OneOf("L1", "L2", "L3")),
	}
	if c.proof == "" {
		c.proof = revoke.L1
	}
	if len(c.ok) == 0 {
		c.ok = []int{200}
	}
	ofList := !m["none"].Missing() || !m["every"].Missing()
	switch {
	case len(c.gone) == 0 && !ofList && len(c.expect) == 0:
		n.Fault("a confirmation needs gone, none, every or expect: a status alone proves nothing")
	case ofList && c.list == nil:
		n.Fault("none and every are of a list: say list, the path to it")
	case !ofList && c.list != nil:
		n.Fault("a list needs none (what must not be in it; {} is anything) or every (what each must say)")
	case !m["none"].Missing() && !m["every"].Missing():
		n.Fault("say none or every, not both")
	}
	c.all = !m["every"].Missing()
	return c
}

// setting reads the name of a setting.
func (f *file) setting(n document.Node) string {
	name := n.Text()
	if name == "" {
		return ""
	}
	if _, ok := f.spec.settings[name]; !ok && f.spec.bases[name] == nil {
		n.Fault("there is no setting %q", name)
	}
	return name
}

// has reports whether a setting was given; "" stands for none asked.
func (s *spec) has(setting string) bool {
	return setting == "" || s.bases[setting] != nil || s.settings[setting] != ""
}
