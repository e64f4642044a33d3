package declarative

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"cutoff/server/document"
)

// template is a text with variables: "user {account|lower}". A doubled brace
// stands for itself. How a value is escaped is decided by where the template
// stands (a path, a query, a JSON text …), never by who wrote it.
type template struct {
	node  document.Node
	at    int // where in node's text it begins
	parts []part
}

// part is a literal, or a variable with its functions.
type part struct {
	literal   string
	variable  string
	functions []string
}

// parseTemplate reads text, which stands at bytes into n's text.
func parseTemplate(n document.Node, text string, at int) template {
	t := template{node: n, at: at}
	literal := strings.Builder{}
	flush := func() {
		if literal.Len() > 0 {
			t.parts = append(t.parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			literal.WriteByte(c)
			i++
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				n.FaultAt(1, at+i, "%q is not closed by }", text[i:])
				return t
			}
			flush()
			p, err := parseVariable(text[i+1 : i+end])
			if err != nil {
				n.FaultAt(1, at+i, "%v", err)
			}
			t.parts = append(t.parts, p)
			i += end
		case c == '}':
			n.FaultAt(1, at+i, "} without {; write }} for a brace")
			return t
		default:
			literal.WriteByte(c)
		}
	}
	flush()
	return t
}

func parseVariable(s string) (part, error) {
	words := strings.Split(s, "|")
	p := part{variable: words[0], functions: words[1:]}
	if p.variable == "" || strings.ContainsFunc(p.variable, notName) {
		return p, fmt.Errorf("{%s} is not a variable's name", s)
	}
	for _, f := range p.functions {
		if functions[f] == nil {
			return p, fmt.Errorf("{%s}: no function %q (there are %s)", s, f, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
		}
	}
	return p, nil
}

func notName(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && r != '_' && r != '.' && r != '-'
}

// variables are the names a template uses.
func (t template) variables() []string {
	var names []string
	for _, p := range t.parts {
		if p.variable != "" {
			names = append(names, p.variable)
		}
	}
	return names
}

// values are what variables stand for at one moment.
type values map[string]string

// render puts the values in without escaping: for places that escape the whole.
func (t template) render(v values) string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
		if p.variable != "" {
			b.WriteString(p.value(v))
		}
	}
	return b.String()
}

func (p part) value(v values) string {
	s := v[p.variable]
	for _, f := range p.functions {
		s = functions[f](s, v)
	}
	return s
}

// errUnsafe says that a value cannot stand where the template puts it.
type errUnsafe struct{ variable, why string }

// Error names the variable, never its value.
func (e errUnsafe) Error() string { return e.why + ": " + e.variable }

// segment renders one segment of a path. A value that would leave its segment
// (a slash, dots alone, nothing at all) is refused: escaping is not enough,
// for servers decode before they route, and an empty one names the collection.
func (t template) segment(v values) (string, error) {
	dynamic := false
	for _, p := range t.parts {
		if p.variable == "" {
			continue
		}
		dynamic = true
		s := p.value(v)
		if s == "" {
			return "", errUnsafe{p.variable, "empty-value"}
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r == '\\' || r < 0x20 || r == 0x7f }) {
			return "", errUnsafe{p.variable, "unsafe-value"}
		}
	}
	s := t.render(v)
	if dynamic && strings.Trim(s, ".") == "" {
		return "", errUnsafe{t.variables()[0], "unsafe-value"}
	}
	return s, nil
}

// header renders a header's value: one line of visible text.
func (t template) header(v values) (string, error) {
	s := t.render(v)
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
		return "", errUnsafe{strings.Join(t.variables(), ","), "unsafe-value"}
	}
	return s, nil
}

// address is a URL template: {setting}/path/{x}?key={y}.
type address struct {
	base     template
	segments []template
	query    []pair
}

type pair struct{ key, value template }

// parseAddress reads an address that begins with a setting, so that no value
// can choose the host.
func parseAddress(n document.Node, text string, at int) address {
	var a address
	part := func(s string, offset int) template { return parseTemplate(n, s, at+offset) }
	end := strings.IndexByte(text, '}')
	if !strings.HasPrefix(text, "{") || strings.HasPrefix(text, "{{") || end < 0 {
		n.FaultAt(1, at, "an address begins with a setting, like {base}/users")
		return a
	}
	a.base = part(text[:end+1], 0)
	rest, offset := text[end+1:], end+1
	path, query := rest, ""
	q := outside(rest, '?')
	if q >= 0 {
		path, query = rest[:q], rest[q+1:]
	}
	if path != "" && !strings.HasPrefix(path, "/") {
		n.FaultAt(1, at+offset, "after %s comes a path, /…", text[:end+1])
		return a
	}
	for path != "" {
		path, offset = path[1:], offset+1
		next := outside(path, '/')
		if next < 0 {
			next = len(path)
		}
		a.segments = append(a.segments, part(path[:next], offset))
		path, offset = path[next:], offset+next
	}
	offset = end + 1 + q + 1
	for query != "" {
		next := outside(query, '&')
		if next < 0 {
			next = len(query)
		}
		key, value, _ := strings.Cut(query[:next], "=")
		a.query = append(a.query, pair{part(key, offset), part(value, offset+len(key)+1)})
		query = strings.TrimPrefix(query[next:], "&")
		offset += next + 1
	}
	return a
}

// outside is the index of c in s where it is not within braces, or -1.
func outside(s string, c byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '{':
			depth++
		case s[i] == '}':
			depth--
		case s[i] == c && depth <= 0:
			return i
		}
	}
	return -1
}

// templates are all of the address's but its base.
func (a address) templates() []template {
	list := slices.Clone(a.segments)
	for _, p := range a.query {
		list = append(list, p.key, p.value)
	}
	return list
}

// url renders the address below its base.
func (a address) url(s *spec, v values, more url.Values) (*url.URL, error) {
	base := s.bases[a.base.parts[0].variable]
	if base == nil {
		return nil, errUnsafe{a.base.parts[0].variable, "no-such-address"}
	}
	u := *base
	plain, escaped := strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.EscapedPath(), "/")
	for _, t := range a.segments {
		text, err := t.segment(v)
		if err != nil {
			return nil, err
		}
		plain, escaped = plain+"/"+text, escaped+"/"+url.PathEscape(text)
	}
	if len(a.segments) > 0 {
		u.Path, u.RawPath = plain, escaped
	}
	var query []string
	for _, p := range a.query {
		text, skip, err := s.field(p.value, v)
		if err != nil {
			return nil, err
		}
		if !skip {
			query = append(query, url.QueryEscape(p.key.render(v))+"="+url.QueryEscape(text))
		}
	}
	for _, k := range slices.Sorted(keysOf(more)) {
		query = append(query, url.QueryEscape(k)+"="+url.QueryEscape(more.Get(k)))
	}
	u.RawQuery = strings.Join(query, "&")
	return &u, nil
}

func keysOf(v url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range v {
			if !yield(k) {
				return
			}
		}
	}
}

// body is a JSON document with templates in its texts.
type body struct {
	form    document.Form
	text    template
	literal json.RawMessage
	keys    []string
	// parts are a list's entries, or a map's values in the order of keys.
	parts []body
}

func parseBody(n document.Node) body {
	b := body{form: n.Form()}
	switch b.form {
	case document.Map:
		for _, e := range n.Entries() {
			b.keys = append(b.keys, e.Key)
			b.parts = append(b.parts, parseBody(e.Value))
		}
	case document.List:
		for _, c := range n.List() {
			b.parts = append(b.parts, parseBody(c))
		}
	case document.Text:
		b.text = parseTemplate(n, n.Text(), 0)
	case document.Flag, document.Number:
		if b.literal = json.RawMessage(n.Text()); !json.Valid(b.literal) {
			n.Fault("write the value as JSON has it: true, false, 1, 1.5, or a text in quotes")
		}
	default:
		b.literal = json.RawMessage("null")
	}
	return b
}

// templates are all of the document's.
func (b body) templates() []template {
	list := []template{b.text}
	for _, c := range b.parts {
		list = append(list, c.templates()...)
	}
	return list
}

// value is the document with its values in: what encoding/json then escapes.
func (b body) value(v values) any {
	switch b.form {
	case document.Map:
		m := make(map[string]any, len(b.keys))
		for i, k := range b.keys {
			m[k] = b.parts[i].value(v)
		}
		return m
	case document.List:
		list := make([]any, 0, len(b.parts))
		for _, c := range b.parts {
			list = append(list, c.value(v))
		}
		return list
	case document.Text:
	default:
		return b.literal
	}
	if p := b.text.parts; len(p) == 1 && slices.Contains(p[0].functions, "parsed") {
		var parsed any
		if json.Unmarshal([]byte(p[0].value(v)), &parsed) != nil {
			return nil
		}
		return parsed
	}
	return b.text.render(v)
}
