package declarative

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"cutoff/server/document"
)

// test is one condition on a place of a document.
type test struct {
	path   jsonPath
	absent bool
	empty  bool
	any    []template
	// literal values compare with their type: true is not "true".
	typed []string
	// ops compare in other ways than by equality; all must hold.
	ops []op
}

// op is one comparison: contains, same (whatever the case), not, at_least …
type op struct {
	kind string
	with template
}

var opKinds = []string{"contains", "same", "starts", "ends", "not", "at_least", "at_most"}

// parseTests reads {path: value}: a value, a list of allowed ones, ~ for
// absent or null, [] for an empty list, or {contains: …} and the like.
func parseTests(n document.Node) []test {
	var tests []test
	for _, e := range n.Entries() {
		tests = append(tests, parseTest(parsePath(e.At, e.Key), e.Value))
	}
	return tests
}

func parseTest(path jsonPath, n document.Node) test {
	t := test{path: path}
	nodes := []document.Node{n}
	switch n.Form() {
	case document.List:
		nodes = n.List()
		t.empty = len(nodes) == 0
	case document.Map:
		for _, e := range n.Entries() {
			if !slices.Contains(opKinds, e.Key) {
				e.At.Fault("unknown comparison %q; known are %s", e.Key, strings.Join(opKinds, ", "))
			}
			t.ops = append(t.ops, op{e.Key, parseTemplate(e.Value, e.Value.Text(), 0)})
		}
		return t
	}
	for _, c := range nodes {
		switch c.Form() {
		case document.Map, document.List:
			c.Fault("want a value, a list of values, [] or ~")
		case document.Null, document.Absent:
			t.absent = true
		case document.Text:
			t.any = append(t.any, parseTemplate(c, c.Text(), 0))
		default:
			t.typed = append(t.typed, c.Text())
		}
	}
	return t
}

// templates are all of the test's.
func (t test) templates() []template {
	all := slices.Clone(t.any)
	for _, o := range t.ops {
		all = append(all, o.with)
	}
	return all
}

func (t test) holds(doc any, v values) bool {
	got, ok := t.path.find(doc)
	if !ok || got == nil {
		return t.absent || len(t.ops) > 0 && !slices.ContainsFunc(t.ops, func(o op) bool { return o.kind != "not" })
	}
	if list, isList := got.([]any); isList {
		return t.empty && len(list) == 0 || len(t.ops) > 0 && slices.ContainsFunc(list, func(one any) bool { return t.compares(one, v) })
	}
	if len(t.ops) > 0 {
		return t.compares(got, v)
	}
	text, ok := scalar(got)
	if !ok {
		return false
	}
	if _, isText := got.(string); isText {
		return slices.ContainsFunc(t.any, func(want template) bool { return want.render(v) == text })
	}
	// A template may name a number (an id found before).
	return slices.Contains(t.typed, text) ||
		slices.ContainsFunc(t.any, func(want template) bool { return len(want.variables()) > 0 && want.render(v) == text })
}

func (t test) compares(got any, v values) bool {
	text, ok := scalar(got)
	return ok && !slices.ContainsFunc(t.ops, func(o op) bool { return !o.holds(text, o.with.render(v)) })
}

func (o op) holds(got, want string) bool {
	switch o.kind {
	case "contains":
		return strings.Contains(got, want)
	case "same":
		return strings.EqualFold(got, want)
	case "starts":
		return strings.HasPrefix(got, want)
	case "ends":
		return strings.HasSuffix(got, want)
	case "not":
		return got != want
	}
	a, known := moment(got)
	b, other := moment(want)
	if !known || !other {
		return false
	}
	if o.kind == "at_least" {
		return a >= b
	}
	return a <= b
}

// moment is a number, or a time as seconds since 1970. Milliseconds are known
// by their size.
func moment(s string) (float64, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if n > 1e12 {
			n /= 1000
		}
		return n, n == n //nolint:gocritic // NaN is not itself
	}
	t, err := time.Parse(time.RFC3339, s)
	return float64(t.UnixMicro()) / 1e6, err == nil
}

func all(tests []test, doc any, v values) bool {
	return !slices.ContainsFunc(tests, func(t test) bool { return !t.holds(doc, v) })
}
