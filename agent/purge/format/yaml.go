package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxNodes bounds a document, so that a small file cannot keep a child busy.
const maxNodes = 200_000

// cutYAML puts "" where the selected scalars are. The result is read again and
// must be the same tree but for them: a form of YAML that the positions do not
// cover is ErrSyntax, never a broken file.
func cutYAML(data []byte, all selectors) ([]span, error) {
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	y := &yamlCutter{data: data, starts: lineStarts(data), selectors: all}
	for _, doc := range docs {
		if err := y.walk(doc, nil, false, 0); err != nil {
			return nil, err
		}
	}
	spans := merge(y.out)
	if err := y.check(docs, spans); err != nil {
		return nil, err
	}
	return y.withComments(docs, spans, newCommented(all)), nil
}

func documents(data []byte) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, ErrSyntax // the reader's own words may quote the file
		case len(docs) > 100:
			return nil, fmt.Errorf("%w: too many documents", ErrSyntax)
		}
		docs = append(docs, &doc)
	}
}

type yamlCutter struct {
	data      []byte
	starts    []int
	selectors selectors
	out       []span
	nodes     int
}

// walk marks the selected scalars below n, and empties them in the tree.
func (y *yamlCutter) walk(n *yaml.Node, path []string, flow bool, depth int) error {
	if y.nodes++; y.nodes > maxNodes || depth > MaxDepth {
		return fmt.Errorf("%w: too much of it", ErrSyntax)
	}
	if len(path) > 0 {
		switch how := y.selectors.match(path, nil); {
		case how == whole:
			return y.empty(n, flow, depth)
		case how != keep && n.Kind == yaml.ScalarNode:
			return y.strip(n, how, flow)
		}
	}
	flow = flow || n.Style&yaml.FlowStyle != 0
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			if err := y.walk(c, path, flow, depth+1); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			below := path // a merged mapping's keys are this mapping's
			if n.Content[i].Tag != "!!merge" {
				below = append(path[:len(path):len(path)], n.Content[i].Value)
			}
			if err := y.walk(n.Content[i+1], below, flow, depth+1); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			if err := y.walk(c, append(path[:len(path):len(path)], strconv.Itoa(i)), flow, depth+1); err != nil {
				return err
			}
		}
	case yaml.AliasNode:
		// What it stands for is walked under its own path, and here under this one.
		return y.walk(n.Alias, path, false, depth+1)
	}
	return nil
}

// empty marks n, or every scalar below it.
func (y *yamlCutter) empty(n *yaml.Node, flow bool, depth int) error {
	if y.nodes++; y.nodes > maxNodes || depth > MaxDepth {
		return fmt.Errorf("%w: too much of it", ErrSyntax)
	}
	flow = flow || n.Style&yaml.FlowStyle != 0
	switch n.Kind {
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" || n.Value == "" {
			return nil
		}
		s, err := y.scalar(n, flow)
		if err != nil {
			return err
		}
		y.out = append(y.out, s)
		n.Value = ""
		if n.Style&yaml.TaggedStyle == 0 {
			n.Tag = "!!str"
		}
		return nil
	case yaml.AliasNode:
		return y.empty(n.Alias, false, depth+1)
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			if err := y.empty(n.Content[i], flow, depth+1); err != nil {
				return err
			}
		}
	default:
		for _, c := range n.Content {
			if err := y.empty(c, flow, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// strip takes what goes out of a scalar; where its style hides that, the scalar
// is written anew.
func (y *yamlCutter) strip(n *yaml.Node, how strip, flow bool) error {
	want, any := how.of(n.Value)
	if !any {
		return nil
	}
	s, err := y.scalar(n, flow)
	if err != nil {
		return err
	}
	spans := how.spans(y.data, s.from, s.to)
	n.Value = want
	if rest := y.data[s.from:s.to]; len(spans) > 0 && bytes.IndexByte(rest, '\n') < 0 {
		var is string
		if yaml.Unmarshal(apply(y.data[:s.to], spans)[s.from:], &is) == nil && is == want {
			y.out = append(y.out, spans...)
			return nil
		}
	}
	anew, err := json.Marshal(want) // YAML's double quotes read JSON's
	y.out = append(y.out, span{from: s.from, to: s.to, with: string(anew)})
	return err
}

// scalar finds where a scalar stands in the bytes.
func (y *yamlCutter) scalar(n *yaml.Node, flow bool) (span, error) {
	at, err := y.offset(n.Line, n.Column)
	if err != nil {
		return span{}, err
	}
	for at < len(y.data) && (y.data[at] == '&' || y.data[at] == '!') { // anchor, tag
		for at < len(y.data) && !space(y.data[at]) {
			at++
		}
		for at < len(y.data) && space(y.data[at]) {
			at++
		}
	}
	if at >= len(y.data) {
		return span{}, fmt.Errorf("%w: value is missing", ErrSyntax)
	}
	var to int
	switch y.data[at] {
	case '"':
		to = quoteEnd(y.data, at, '"')
	case '\'':
		to = quoteEnd(y.data, at, '\'')
	case '|', '>':
		to = y.blockEnd(at)
	default:
		to = y.plainEnd(at, n.Value, flow)
	}
	if to <= at {
		return span{}, fmt.Errorf("%w: end of a value not found", ErrSyntax)
	}
	return span{from: at, to: to, with: `""`}, nil
}

// offset turns the reader's line and column, in characters, into an offset.
func (y *yamlCutter) offset(lineNo, column int) (int, error) {
	if lineNo < 1 || lineNo > len(y.starts) {
		return 0, fmt.Errorf("%w: line %d", ErrSyntax, lineNo)
	}
	at := y.starts[lineNo-1]
	for range column - 1 {
		if at >= len(y.data) {
			return 0, fmt.Errorf("%w: line %d", ErrSyntax, lineNo)
		}
		at++
		for at < len(y.data) && y.data[at]&0xC0 == 0x80 { // inside a character
			at++
		}
	}
	return at, nil
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// quoteEnd returns what follows the closing quote, or -1.
func quoteEnd(data []byte, at int, quote byte) int {
	for i := at + 1; i < len(data); i++ {
		switch {
		case data[i] == '\\' && quote == '"':
			i++
		case data[i] == quote && quote == '\'' && i+1 < len(data) && data[i+1] == quote:
			i++
		case data[i] == quote:
			return i + 1
		}
	}
	return -1
}

// blockEnd returns the end of the last line with text of a block scalar: the
// lines as deep as its first one.
func (y *yamlCutter) blockEnd(at int) int {
	first := bytes.IndexByte(y.data[at:], '\n')
	if first < 0 {
		return -1
	}
	depth, end := -1, -1
	for _, l := range lines(y.data[at+first+1:]) {
		text := strings.TrimLeft(l.text, " ")
		if strings.TrimSpace(text) == "" {
			continue
		}
		indent := len(l.text) - len(text)
		if depth < 0 {
			depth = indent
		}
		if indent < depth || depth == 0 {
			break
		}
		end = at + first + 1 + l.from + len(l.text)
	}
	return end
}

// plainEnd returns the end of a plain scalar, told by its value: it may go on
// over several lines, which read as one.
func (y *yamlCutter) plainEnd(at int, value string, flow bool) int {
	var folded strings.Builder
	breaks := 0
	for i, l := range lines(y.data[at:]) {
		text := l.text
		if flow {
			if j := strings.IndexAny(text, ",[]{}"); j >= 0 {
				text = text[:j]
			}
		}
		if j := strings.Index(text, " #"); j >= 0 {
			text = text[:j]
		}
		if j := strings.Index(text, ": "); j >= 0 && flow {
			text = text[:j]
		}
		trimmed := strings.TrimSpace(text)
		if trimmed == "" {
			if i > 1000 {
				return -1
			}
			breaks++
			continue
		}
		switch {
		case i == 0:
		case breaks > 0:
			folded.WriteString(strings.Repeat("\n", breaks))
		default:
			folded.WriteByte(' ')
		}
		breaks = 0
		folded.WriteString(trimmed)
		if folded.String() == value {
			return at + l.from + strings.Index(l.text, trimmed) + len(trimmed)
		}
		if folded.Len() > len(value) {
			return -1
		}
	}
	return -1
}

// check reads the result again and compares it with the emptied tree.
func (y *yamlCutter) check(docs []*yaml.Node, spans []span) error {
	again, err := documents(apply(y.data, spans))
	if err != nil || len(again) != len(docs) {
		return fmt.Errorf("%w: it cannot be cut", ErrSyntax)
	}
	for i := range docs {
		if !sameTree(docs[i], again[i], 0) {
			return fmt.Errorf("%w: it cannot be cut", ErrSyntax)
		}
	}
	return nil
}

func sameTree(a, b *yaml.Node, depth int) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) || depth > MaxDepth {
		return false
	}
	if a.ShortTag() != b.ShortTag() && a.Kind == yaml.ScalarNode && a.Value != "" {
		return false
	}
	for i := range a.Content {
		if !sameTree(a.Content[i], b.Content[i], depth+1) {
			return false
		}
	}
	return true
}

// withComments adds the comment lines that hold a switched-off secret, when
// that leaves the tree as it is.
func (y *yamlCutter) withComments(docs []*yaml.Node, spans []span, off commented) []span {
	wider := spans
	for _, l := range lines(y.data) {
		if strings.HasPrefix(strings.TrimSpace(l.text), "#") {
			wider = append(wider[:len(wider):len(wider)], off.spans(y.data, l.from, l.to, "")...)
		}
	}
	if wider = merge(wider); len(wider) > len(spans) && y.check(docs, wider) == nil {
		return wider
	}
	return spans
}
