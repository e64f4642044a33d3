package declarative

import (
	"slices"
	"strings"

	"cutoff/server/document"
)

// condition is an if: the settings, secrets or values that must be given, and
// what values must be. All of it must hold; the zero value always does.
type condition struct {
	given []string
	tests []test
}

// condition reads "name", [name, name] or {name: value}.
func (f *file) condition(n document.Node) condition {
	var c condition
	switch n.Form() {
	case document.Absent, document.Null:
	case document.Map:
		for _, e := range n.Entries() {
			if why := f.unknownValue(e.Key); why != "" {
				e.At.Fault("%s", why)
			}
			t := parseTest(jsonPath{e.Key}, e.Value)
			f.vet(t.templates()...)
			c.tests = append(c.tests, t)
		}
	case document.List:
		for _, one := range n.List() {
			c.given = append(c.given, f.given(one))
		}
	default:
		c.given = append(c.given, f.given(n))
	}
	return c
}

// given reads the name of something that may be there.
func (f *file) given(n document.Node) string {
	name := n.Text()
	if why := f.unknownValue(name); why != "" {
		n.Fault("%s", why)
	}
	return name
}

// unknownValue says why a condition cannot ask for name; "" if it can.
func (f *file) unknownValue(name string) string {
	if f.spec.bases[name] != nil {
		return ""
	}
	if secret, ok := strings.CutPrefix(name, "secret."); ok {
		if slices.Contains(f.spec.secrets, secret) {
			return ""
		}
		return "there is no secret \"" + secret + "\": list it under secrets"
	}
	return f.unknown(name)
}

// holds reports whether c is met by v, which stands for settings, too.
func (c *Connector) holds(k condition, v values) bool {
	for _, name := range k.given {
		if c.spec.bases[name] == nil && v[name] == "" && c.spec.settings[name] == "" && c.secretOf(name) == "" {
			return false
		}
	}
	for _, t := range k.tests {
		name := t.path[0]
		text := v[name]
		if text == "" {
			text = c.spec.settings[name]
		}
		if !t.holdsText(text, v) {
			return false
		}
	}
	return true
}

func (c *Connector) secretOf(name string) string {
	secret, ok := strings.CutPrefix(name, "secret.")
	if !ok {
		return ""
	}
	return c.secrets[secret]
}

// holdsText is holds for a value, which is always a text; empty is absent.
func (t test) holdsText(text string, v values) bool {
	name := t.path[0]
	if text == "" {
		return t.holds(map[string]any{}, v)
	}
	return t.holds(map[string]any{name: text}, v) || slices.Contains(t.typed, text)
}
