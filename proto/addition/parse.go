package addition

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Parse reads and checks one product. Each Problem is joined into the error.
func Parse(name string, data []byte) (Product, error) {
	if name == "" || len(name) > maxText || strings.ContainsFunc(name, unicode.IsControl) {
		return Product{}, &Problem{File: "?", Line: 1, Column: 1, Message: "the file has no name that can be shown"}
	}
	if len(data) > MaxFile {
		return Product{}, &Problem{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("%d bytes, at most %d", len(data), MaxFile)}
	}
	if !utf8.Valid(data) {
		return Product{}, &Problem{File: name, Line: 1, Column: 1, Message: "not UTF-8 text"}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Product{}, syntax(name, err)
	}
	if len(doc.Content) != 1 {
		return Product{}, &Problem{File: name, Line: 1, Column: 1, Message: "file is empty"}
	}
	r := &reader{file: name}
	p := r.product(doc.Content[0])
	if err := errors.Join(r.problems...); err != nil {
		return Product{}, err
	}
	return p, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntax turns the YAML reader's error into a Problem; it knows lines only.
func syntax(name string, err error) error {
	p := &Problem{File: name, Line: 1, Column: 1, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = m[2]
	}
	return p
}

var idPattern = regexp.MustCompile(`^` + Prefix + `[a-z0-9]+(-[a-z0-9]+)*$`)

type reader struct {
	file     string
	problems []error
}

func (r *reader) bad(n *yaml.Node, format string, args ...any) {
	if len(r.problems) < 50 {
		r.problems = append(r.problems, &Problem{File: r.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
	}
}

// take reads one value into its place.
type take func(*yaml.Node)

// fields hands each key of a mapping to its reader; unknown, repeated and
// missing keys are mistakes, and so is anything that is not written out.
func (r *reader) fields(n *yaml.Node, required []string, each map[string]take) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "want a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := each[key.Value]
		switch {
		case read == nil:
			r.bad(key, "unknown key %q", clip(key.Value))
		case seen[key.Value]:
			r.bad(key, "key %q is repeated", key.Value)
		default:
			read(value)
		}
		seen[key.Value] = true
	}
	for _, name := range required {
		if !seen[name] {
			r.bad(n, "key %q is missing", name)
		}
	}
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

func (r *reader) product(n *yaml.Node) Product {
	var (
		p          Product
		confidence = "unconfirmed"
		list       *yaml.Node
	)
	r.fields(n, []string{"id", "product", "credentials"}, map[string]take{
		"id":          r.id(&p.ID),
		"product":     r.text(&p.Title, 1, maxText),
		"confidence":  r.oneOf(&confidence, confidences),
		"credentials": func(v *yaml.Node) { list = v },
	})
	if list == nil {
		return p
	}
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		r.bad(list, "want a list of credentials")
		return p
	}
	ids := map[string]bool{}
	for _, item := range list.Content {
		c := r.credential(item)
		c.Confidence = confidence
		if ids[c.ID] && c.ID != "" {
			r.bad(item, "id %q is used twice", c.ID)
		}
		ids[c.ID] = true
		p.Credentials = append(p.Credentials, c)
	}
	return p
}

func (r *reader) credential(n *yaml.Node) Credential {
	c := Credential{Paths: map[string][]string{}}
	var places *yaml.Node
	before := len(r.problems)
	r.fields(n, []string{"id", "what", "danger", "paths", "format", "action", "regain"}, map[string]take{
		"id":       r.id(&c.ID),
		"what":     r.text(&c.What, 1, maxText),
		"danger":   r.danger(&c.Danger),
		"paths":    func(v *yaml.Node) { places = v },
		"format":   r.oneOf(&c.Format, formats),
		"secrets":  r.texts(&c.Secrets, maxSecrets),
		"action":   r.oneOf(&c.Action, actions),
		"regain":   r.oneOf(&c.Regain, []string{"sign-in", "none"}),
		"only-if":  r.oneOf(&c.OnlyIf, tests),
		"contains": r.text(&c.Contains, minContains, maxContains),
		"key":      r.text(&c.Key, 1, maxContains),
		"policy":   r.oneOf(&c.Policy, policies),
		"harmless": r.flag(&c.Harmless),
	})
	if len(r.problems) == before { // else what is missing was only misread
		r.fits(n, &c)
	}
	if places != nil {
		r.places(places, &c)
	}
	return c
}

// fits checks what depends on two keys.
func (r *reader) fits(n *yaml.Node, c *Credential) {
	reads := slices.Contains(parsed, c.Format)
	switch {
	case c.OnlyIf == "" && c.Contains == "" && c.Key == "":
		r.bad(n, "a content test is needed: only-if, contains or key")
	case c.Key != "" && !reads:
		r.bad(n, "key needs a format that has keys: %s", strings.Join(parsed, ", "))
	case c.Action == "edit" && !reads:
		r.bad(n, "action edit needs a format that can be edited: %s", strings.Join(parsed, ", "))
	case c.Action == "edit" && len(c.Secrets) == 0:
		r.bad(n, "action edit needs secrets: what is cut out")
	case c.Action == "delete" && len(c.Secrets) > 0:
		r.bad(n, "secrets are for action edit only")
	}
}

func (r *reader) id(into *string) take {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || len(n.Value) > 64 || !idPattern.MatchString(n.Value) {
			r.bad(n, "want an id that begins with %s: lower-case words joined by -", Prefix)
			return
		}
		*into = n.Value
	}
}

func (r *reader) text(into *string, least, most int) take {
	return func(n *yaml.Node) {
		switch {
		case n.Kind != yaml.ScalarNode || n.Tag != "!!str" || strings.TrimSpace(n.Value) == "":
			r.bad(n, "want a text")
		case len(n.Value) < least || len(n.Value) > most:
			r.bad(n, "want a text of %d to %d bytes", least, most)
		case strings.ContainsFunc(n.Value, func(c rune) bool { return !unicode.IsPrint(c) }):
			r.bad(n, "want a text of one line, without control characters")
		default:
			*into = n.Value
		}
	}
}

func (r *reader) oneOf(into *string, words []string) take {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
			r.bad(n, "want one of %s", strings.Join(words, ", "))
			return
		}
		*into = n.Value
	}
}

func (r *reader) texts(into *[]string, most int) take {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > most {
			r.bad(n, "want a list of 1 to %d texts", most)
			return
		}
		for _, item := range n.Content {
			var s string
			r.text(&s, 1, maxPath)(item)
			if strings.Trim(s, "*.") == "" && s != "" {
				r.bad(item, "%q selects everything", s)
			}
			*into = append(*into, s)
		}
	}
}

func (r *reader) danger(into *int) take {
	return func(n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < 1 || v > 99 {
			r.bad(n, "want a number from 1, the most dangerous, to 99")
			return
		}
		*into = v
	}
}

func (r *reader) flag(into *bool) take {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			r.bad(n, "want true or false")
			return
		}
		*into = n.Value == "true"
	}
}

// places reads the paths of each system.
func (r *reader) places(n *yaml.Node, c *Credential) {
	each := map[string]take{}
	for _, goos := range systems {
		each[goos] = func(v *yaml.Node) {
			var list []string
			r.texts(&list, MaxPaths)(v)
			for i, p := range list {
				if why := wrongPlace(goos, p, slices.Contains(parsed, c.Format)); why != "" && p != "" {
					r.bad(v.Content[i], "%s", why)
				}
			}
			c.Paths[goos] = list
		}
	}
	r.fields(n, nil, each)
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.bad(n, "want paths of at least one system")
	}
}
