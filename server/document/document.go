// Package document reads YAML files that people write, strictly: every fault
// is reported with its line and column, all of them at once, and nothing is
// guessed. Unknown and repeated keys, anchors, a second document and values of
// the wrong type are faults. It must not know what any file means.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"cutoff/server/fault"
)

// maxProblems bounds how many faults of one file are reported.
const maxProblems = 50

// reading is the state the nodes of one file share.
type reading struct {
	lines    []string
	problems fault.Problems
}

// Node is one value of a file. The zero Node is a missing value: it reads as
// empty and reports nothing.
type Node struct {
	yaml *yaml.Node
	read *reading
}

// File is one file being read. Its problems grow while its nodes are read.
type File struct {
	Root Node
	read *reading
}

// Problems is what was found wrong so far.
func (f *File) Problems() fault.Problems { return f.read.problems }

// Read parses data, at most limit bytes, as one YAML document. Its Root is a
// missing value if that alone fails, or if the file is empty.
func Read(data []byte, limit int) *File {
	f := &File{read: &reading{}}
	switch {
	case len(data) > limit:
		f.read.add(1, 1, "file of %d bytes, at most %d", len(data), limit)
		return f
	case !utf8.Valid(data):
		line, column := firstInvalid(data)
		f.read.add(line, column, "not UTF-8 text")
		return f
	}
	f.read.lines = strings.Split(string(data), "\n")
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			f.read.syntax(err)
		}
		return f
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		f.read.add(second.Line, second.Column, "a second document: one file holds one")
		return f
	} else if !errors.Is(err, io.EOF) {
		f.read.syntax(err)
		return f
	}
	if len(root.Content) == 1 && f.read.plain(root.Content[0], 0) {
		f.Root = Node{yaml: root.Content[0], read: f.read}
	}
	return f
}

func firstInvalid(data []byte) (line, column int) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size <= 1:
			return line, column
		case r == '\n':
			line, column = line+1, 1
		default:
			column++
		}
		data = data[size:]
	}
	return line, column
}

func (r *reading) add(line, column int, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fault.Problem{
			Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...),
		})
	}
}

var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntax reports the parser's error, which knows the line only: the column is
// that of the line's first character.
func (r *reading) syntax(err error) {
	text := err.Error()
	line := 1
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	column := 1
	if line <= len(r.lines) && line > 0 {
		column = 1 + len(r.lines[line-1]) - len(strings.TrimLeft(r.lines[line-1], " \t"))
	}
	r.add(line, column, "%s", strings.TrimPrefix(text, "yaml: "))
}

// maxDepth bounds how deep values may nest.
const maxDepth = 16

// plain refuses anchors, aliases, merges and deep nesting: nobody needs them in
// such a file, and a reviewer must see what a line means where it stands.
func (r *reading) plain(n *yaml.Node, depth int) bool {
	if depth > maxDepth {
		r.add(n.Line, n.Column, "nested more than %d deep", maxDepth)
		return false
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge" {
		r.add(n.Line, n.Column, "anchors and aliases are not allowed here")
		return false
	}
	ok := true
	for _, c := range n.Content {
		ok = r.plain(c, depth+1) && ok
	}
	return ok
}

// Missing reports whether there is no value, or null.
func (n Node) Missing() bool { return n.yaml == nil || n.yaml.Tag == "!!null" }

// Line and Column of the value; 1 for a missing one.
func (n Node) place() (line, column int) {
	if n.yaml == nil {
		return 1, 1
	}
	return n.yaml.Line, n.yaml.Column
}

// Fault reports something wrong with the value.
func (n Node) Fault(format string, args ...any) {
	if n.read != nil {
		line, column := n.place()
		n.read.add(line, column, format, args...)
	}
}

// FaultAt reports something wrong inside the value's text, at a line (from 1)
// and column (from 0) of it. In a folded or escaped text the place is that of
// the whole value.
func (n Node) FaultAt(line, column int, format string, args ...any) {
	if n.read == nil || n.yaml == nil {
		return
	}
	l, c := n.yaml.Line, n.yaml.Column
	switch {
	case n.yaml.Style&yaml.LiteralStyle != 0:
		l += line
		c = column + 1
		if l <= len(n.read.lines) {
			raw := n.read.lines[n.yaml.Line:]
			c += indent(raw)
		}
	case n.yaml.Style&yaml.FoldedStyle != 0 || line > 1:
	case n.yaml.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		// With an escape in it, the text is not as it stands in the file.
		if l <= len(n.read.lines) && strings.Contains(n.read.lines[l-1], n.yaml.Value) {
			c += column + 1
		}
	default:
		c += column
	}
	n.read.add(l, c, format, args...)
}

// indent is the indentation of a literal block: that of its first line that is
// not empty.
func indent(lines []string) int {
	for _, l := range lines {
		if t := strings.TrimLeft(l, " "); strings.TrimSpace(t) != "" {
			return len(l) - len(t)
		}
	}
	return 0
}

// Entry is one key of a map with its value.
type Entry struct {
	Key   string
	At    Node
	Value Node
}

// Entries reads a map whose keys are free; a repeated key is a fault.
func (n Node) Entries() []Entry {
	if n.Missing() {
		return nil
	}
	if n.yaml.Kind != yaml.MappingNode {
		n.Fault("want a map (key: value), have %s", kind(n.yaml))
		return nil
	}
	var all []Entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.yaml.Content); i += 2 {
		key := Node{yaml: n.yaml.Content[i], read: n.read}
		if key.yaml.Kind != yaml.ScalarNode {
			key.Fault("a key must be a word")
			continue
		}
		if seen[key.yaml.Value] {
			key.Fault("key %q is repeated", key.yaml.Value)
			continue
		}
		seen[key.yaml.Value] = true
		all = append(all, Entry{Key: key.yaml.Value, At: key, Value: Node{yaml: n.yaml.Content[i+1], read: n.read}})
	}
	return all
}

// Map reads a map whose keys are known; any other key is a fault.
func (n Node) Map(known ...string) map[string]Node {
	fields := map[string]Node{}
	for _, e := range n.Entries() {
		if !slices.Contains(known, e.Key) {
			e.At.Fault("unknown key %q; known are %s", e.Key, strings.Join(known, ", "))
			continue
		}
		fields[e.Key] = e.Value
	}
	return fields
}

// Need reports the names that a map n does not have.
func (n Node) Need(fields map[string]Node, names ...string) {
	for _, name := range names {
		if fields[name].Missing() {
			n.Fault("%s is missing", name)
		}
	}
}

// List reads a list.
func (n Node) List() []Node {
	if n.Missing() {
		return nil
	}
	if n.yaml.Kind != yaml.SequenceNode {
		n.Fault("want a list (- …), have %s", kind(n.yaml))
		return nil
	}
	all := make([]Node, len(n.yaml.Content))
	for i, c := range n.yaml.Content {
		all[i] = Node{yaml: c, read: n.read}
	}
	return all
}

// Text reads a text. A number or a truth value written plain is one, too.
func (n Node) Text() string {
	if n.Missing() {
		return ""
	}
	if n.yaml.Kind != yaml.ScalarNode {
		n.Fault("want a text, have %s", kind(n.yaml))
		return ""
	}
	return n.yaml.Value
}

// OneOf reads a text that must be one of words; missing reads as empty.
func (n Node) OneOf(words ...string) string {
	text := n.Text()
	if n.Missing() || slices.Contains(words, text) {
		return text
	}
	n.Fault("%q is none of %s", text, strings.Join(words, ", "))
	return ""
}

// Int reads a whole number between low and high; missing reads as fallback.
func (n Node) Int(low, high, fallback int) int {
	if n.Missing() {
		return fallback
	}
	v, err := strconv.Atoi(n.Text())
	if err != nil || v < low || v > high || n.yaml.Tag != "!!int" {
		n.Fault("want a whole number from %d to %d", low, high)
		return fallback
	}
	return v
}

// Bool reads true or false; missing reads as fallback.
func (n Node) Bool(fallback bool) bool {
	if n.Missing() {
		return fallback
	}
	v, err := strconv.ParseBool(n.Text())
	if err != nil || n.yaml.Tag != "!!bool" {
		n.Fault("want true or false")
		return fallback
	}
	return v
}

// Duration reads a duration such as 90s, 5m, 48h between low and high; missing
// reads as fallback.
func (n Node) Duration(low, high, fallback time.Duration) time.Duration {
	if n.Missing() {
		return fallback
	}
	v, err := time.ParseDuration(n.Text())
	if err != nil {
		n.Fault("want a duration such as 90s, 5m or 48h")
		return fallback
	}
	if v < low || v > high {
		n.Fault("want a duration from %s to %s", low, high)
		return fallback
	}
	return v
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
