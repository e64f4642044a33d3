package catalogue

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"cutoff/agent/purge/format"
)

// Problem is one mistake in a catalogue file.
type Problem struct {
	File         string
	Line, Column int
	Message      string
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// maxFile bounds a catalogue file.
const maxFile = 64 << 10

// File is one parsed product.
type File struct {
	ID      string
	Title   string
	entries []entry
}

// entry is one credential as written, for all operating systems.
type entry struct {
	Credential
	paths        map[string][]string
	keyring      map[string][]map[string]string
	files        map[string][]string // of an engine, below each base
	line, column int
}

// here reports whether the entry says anything about goos; one that is only
// followed to is everywhere.
func (e entry) here(goos string) bool {
	return len(e.paths) == 0 && len(e.keyring) == 0 || len(e.paths[goos]) > 0 || len(e.keyring[goos]) > 0 || len(e.Trees) > 0
}

func (e entry) on(goos string) Credential {
	c := e.Credential
	c.Paths, c.Keyring = e.paths[goos], e.keyring[goos]
	if goos != "linux" {
		c.Flatpak, c.Snap = nil, nil
	}
	return c
}

// Words the catalogue may use. Readers and tests live in package identify.
var (
	systems     = []string{"linux", "darwin", "windows"}
	actions     = []string{"delete", "delete-dir", "edit", "keyring-delete", "keyring-file", "kernel-key", "agent-clear", "look", "end"}
	formats     = append(format.Formats(), string(Text), string(Binary))
	confidences = []string{"confirmed", "unconfirmed"}
	idPattern   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	rootPattern = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*|[*])$`)
	pathPattern = regexp.MustCompile(`^(~/|/|\$[A-Za-z][A-Za-z0-9_]*(\[\])?(/|$)|%[A-Z]+%\\)`)
)

// Parse reads and checks one product. Each problem is joined into the error,
// with its line and column.
func Parse(name string, data []byte) (*File, error) {
	return parse(name, data, (*reader).product)
}

func parse(name string, data []byte, read func(*reader, *yaml.Node) *File) (*File, error) {
	r := &reader{file: name}
	if len(data) > maxFile {
		return nil, &Problem{File: name, Line: 1, Column: 1, Message: "file is too large"}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, syntax(name, err)
	}
	if len(doc.Content) != 1 {
		return nil, &Problem{File: name, Line: 1, Column: 1, Message: "file is empty"}
	}
	file := read(r, doc.Content[0])
	if err := errors.Join(r.problems...); err != nil {
		return nil, err
	}
	return file, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntax turns the YAML reader's error into a Problem; it knows lines only.
func syntax(name string, err error) error {
	p := &Problem{File: name, Line: 1, Column: 1, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		_, _ = fmt.Sscanf(m[1], "%d", &p.Line)
		p.Message = m[2]
	}
	return p
}

type reader struct {
	file     string
	inEngine bool
	problems []error
}

func (r *reader) bad(n *yaml.Node, message string, args ...any) {
	r.problems = append(r.problems, &Problem{File: r.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(message, args...)})
}

// fields hands each key of a mapping to its reader and refuses unknown,
// repeated and missing keys.
func (r *reader) fields(n *yaml.Node, required []string, each map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "want a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, known := each[key.Value]
		switch {
		case !known:
			r.bad(key, "unknown key %q", key.Value)
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

func (r *reader) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || strings.TrimSpace(n.Value) == "" {
			r.bad(n, "want a text")
			return
		}
		*into = n.Value
	}
}

func (r *reader) oneOf(into *string, words []string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
			r.bad(n, "want one of %s", strings.Join(words, ", "))
			return
		}
		*into = n.Value
	}
}

func (r *reader) id(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || !idPattern.MatchString(n.Value) {
			r.bad(n, "want an id: lower-case words joined by -")
			return
		}
		*into = n.Value
	}
}

func (r *reader) texts(into *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			r.bad(n, "want a list of texts")
			return
		}
		for _, item := range n.Content {
			var s string
			r.text(&s)(item)
			*into = append(*into, s)
		}
	}
}

// perSystem reads a mapping from operating system to something; "all" is what
// they have in common.
func (r *reader) perSystem(n *yaml.Node, read func(goos string, value *yaml.Node)) {
	each := map[string]func(*yaml.Node){"all": func(value *yaml.Node) {
		for _, goos := range systems {
			read(goos, value)
		}
	}}
	for _, goos := range systems {
		each[goos] = func(value *yaml.Node) { read(goos, value) }
	}
	r.fields(n, nil, each)
}
