package declarative

import (
	"strings"
	"time"

	"cutoff/server/connector/config"
	"cutoff/server/document"
	"cutoff/server/revoke"
)

// step is how one action is planned, done, confirmed and undone.
type step struct {
	action   string
	target   template
	each     string
	when     when
	cond     condition
	scope    revoke.Scope
	undo     revoke.Undo
	undoneBy string
	rank     int
	residual residual
	lookUps  []lookUp
	nothing  string
	// found and unrelated are the preview's words for what a step would end.
	found, unrelated template
	foreign          condition // of which rows unrelated is said
	acts             []act
	confirm          *confirm
}

// when says for which subjects a step is planned.
type when struct {
	levels   []string
	person   *bool
	device   *bool
	products []string
	has      []string
}

// residual says until when something works after the act is done.
type residual struct {
	none, unbounded, expiry bool
	after                   time.Duration
}

// act is a request that revokes.
type act struct {
	cond  condition
	call  call
	rules rules
	says  []test
}

// confirm is the request that reads back.
type confirm struct {
	cond   condition
	after  time.Duration
	again  time.Duration
	within time.Duration
	proof  revoke.Proof
	ok     []int
	gone   rules
	call   call
	list   *jsonPath
	page   *page
	none   []test
	every  []test
	expect []test
	all    bool // every is asked, not none
	// lookUps is how many of the step's look-ups it needs.
	lookUps int
}

var stepKeys = []string{
	"action", "target", "each", "when", "if", "scope", "undo", "undone_by", "rank", "residual",
	"look_up", "nothing", "found", "unrelated", "act", "confirm",
}

func (f *file) step(n document.Node, undo bool) step {
	m := n.Map(stepKeys...)
	n.Need(m, "action", "act")
	f.taken = map[string]bool{}
	s := step{
		action: m["action"].Text(), undoneBy: m["undone_by"].Text(), cond: f.condition(m["if"]),
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
	s.found = f.template(m["found"])
	f.unrelated(&s, m["unrelated"])
	s.acts = f.acts(m["act"])
	if !m["confirm"].Missing() {
		s.confirm = f.confirm(m["confirm"], s.lookUps)
	}
	return s
}

// unrelated reads a text, or {say: text, if: condition}.
func (f *file) unrelated(s *step, n document.Node) {
	if n.Form() != document.Map {
		s.unrelated = f.template(n)
		return
	}
	m := n.Map("say", "if")
	n.Need(m, "say")
	s.unrelated, s.foreign = f.template(m["say"]), f.condition(m["if"])
}

func (f *file) when(n document.Node) when {
	m := n.Map("level", "person", "device", "product", "has")
	w := when{levels: config.Texts(m["level"]), products: config.Texts(m["product"]), has: config.Texts(m["has"])}
	for _, l := range w.levels {
		if l != "seal" && l != "purge" {
			m["level"].Fault("%q is none of seal, purge", l)
		}
	}
	flag := func(n document.Node) *bool {
		if n.Missing() {
			return nil
		}
		b := n.Bool(false)
		return &b
	}
	w.person, w.device = flag(m["person"]), flag(m["device"])
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

// acts reads one act, or a list of acts that are done in order.
func (f *file) acts(n document.Node) []act {
	if n.Form() != document.List {
		return []act{f.act(n)}
	}
	var all []act
	for _, one := range n.List() {
		all = append(all, f.act(one))
	}
	if len(all) == 0 {
		n.Fault("a step acts at least once")
	}
	return all
}

func (f *file) act(n document.Node) act {
	m := n.Map("if", "call", "headers", "json", "form", "ok", "already", "retry", "blocked", "unsupported", "says")
	n.Need(m, "call")
	a := act{cond: f.condition(m["if"]), call: f.call(n, m), rules: f.rules(m), says: f.tests(m["says"])}
	if m["ok"].Missing() {
		a.rules = append(a.rules, rule{outcome: actDone, statuses: []int{200, 204}})
	}
	return a
}

func (f *file) confirm(n document.Node, lookUps []lookUp) *confirm {
	m := n.Map("if", "call", "headers", "json", "form", "ok", "gone", "list", "page", "none", "every", "expect",
		"after", "again", "within", "proof")
	n.Need(m, "call")
	c := &confirm{
		call: f.call(n, m), ok: config.Statuses(m["ok"]), gone: f.rulesOf(m["gone"]),
		list: f.list(m["list"]), page: f.page(m["page"], m["list"]), cond: f.condition(m["if"]),
		none: f.tests(m["none"]), every: f.tests(m["every"]), expect: f.tests(m["expect"]),
		after:  m["after"].Duration(0, time.Hour, 0),
		again:  m["again"].Duration(time.Second, time.Hour, 0),
		within: m["within"].Duration(0, 7*24*time.Hour, 0),
		proof:  revoke.Proof(m["proof"].OneOf("L1", "L2", "L3")),
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
	case c.again > 0 && c.within == 0:
		n.Fault("again needs within: for how long it may take until it is dead")
	}
	c.all = !m["every"].Missing()
	c.lookUps = c.needs(lookUps)
	return c
}

// needs is how many of the look-ups, in their order, the confirmation's
// request and tests take something from.
func (c *confirm) needs(lookUps []lookUp) int {
	used := map[string]bool{}
	note := func(list ...template) {
		for _, t := range list {
			for _, name := range t.variables() {
				before, _, _ := strings.Cut(name, ".")
				used[before] = true
			}
		}
	}
	note(c.call.templates()...)
	for _, list := range [][]test{c.none, c.every, c.expect} {
		for _, t := range list {
			note(t.templates()...)
		}
	}
	for i := len(lookUps); i > 0; i-- {
		if used[lookUps[i-1].name] {
			return i
		}
	}
	return 0
}
