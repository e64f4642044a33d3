package declarative

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cutoff/server/document"
)

// jsonPath names a place in a JSON document: "$", "user.emails.0.value", or
// with any name in brackets: meta["urn:x:2.0"].
type jsonPath []string

func parsePath(n document.Node, text string) jsonPath {
	if text == "$" {
		return jsonPath{}
	}
	var p jsonPath
	rest := strings.TrimPrefix(text, "$.")
	for rest != "" {
		if strings.HasPrefix(rest, `["`) {
			end := strings.Index(rest, `"]`)
			if end < 0 {
				n.Fault("%q: [\" is not closed by \"]", text)
				return nil
			}
			p = append(p, rest[2:end])
			rest = strings.TrimPrefix(rest[end+2:], ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			n.Fault("%q is not a path into an answer", text)
			return nil
		}
		p = append(p, rest[:end])
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	if len(p) == 0 || len(p) > 16 {
		n.Fault("%q is not a path into an answer", text)
		return nil
	}
	return p
}

// find walks doc; false if there is no such place.
func (p jsonPath) find(doc any) (any, bool) {
	for _, step := range p {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[step]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(d) {
				return nil, false
			}
			doc = d[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// errAnswer says that an answer is not what the file expects; it never holds
// any of it.
var errAnswer = errors.New("answer-malformed")

// decode reads one JSON document of bounded depth (encoding/json's own limit).
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, errAnswer
	}
	if d.More() {
		return nil, errAnswer
	}
	return doc, nil
}

// scalar is v as text; false if v is an object, a list or absent.
func scalar(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case json.Number:
		return s.String(), true
	case bool:
		return strconv.FormatBool(s), true
	default:
		return "", false
	}
}

// test is one condition on a place of a document.
type test struct {
	path   jsonPath
	absent bool
	empty  bool
	any    []template
	// literal values compare with their type: true is not "true".
	typed []string
}

// parseTests reads {path: value}: a value, a list of allowed ones, ~ for
// absent or null, or [] for an empty list.
func parseTests(n document.Node) []test {
	var tests []test
	for _, e := range n.Entries() {
		t := test{path: parsePath(e.At, e.Key)}
		nodes := []document.Node{e.Value}
		if e.Value.Form() == document.List {
			nodes = e.Value.List()
			t.empty = len(nodes) == 0
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
		tests = append(tests, t)
	}
	return tests
}

func (t test) holds(doc any, v values) bool {
	got, ok := t.path.find(doc)
	if !ok || got == nil {
		return t.absent
	}
	if list, isList := got.([]any); isList {
		return t.empty && len(list) == 0
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

func all(tests []test, doc any, v values) bool {
	return !slices.ContainsFunc(tests, func(t test) bool { return !t.holds(doc, v) })
}

// items returns the list at path.
func (p jsonPath) items(doc any) ([]any, error) {
	got, ok := p.find(doc)
	if !ok {
		return nil, errAnswer
	}
	list, ok := got.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: no list", errAnswer)
	}
	return list, nil
}
