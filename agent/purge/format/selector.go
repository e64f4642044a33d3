package format

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// grammar says what a format's selectors may be made of.
type grammar struct {
	cut func(data []byte, all selectors) ([]span, error)
	// parts is the most a path may have; 0: any number, 1: flat, where a dot is
	// a letter like any other.
	parts int
	// attributes: @name parts and [name=pattern] conditions.
	attributes bool
	// blocks: first ... last.
	blocks bool
	// rows: table[column=pattern], in a format that is no text.
	rows bool
}

var grammars = map[string]grammar{
	"ini":        {cut: cutINI, parts: 2},
	"npmrc":      {cut: cutNpmrc, parts: 1},
	"netrc":      {cut: cutNetrc, parts: 1},
	"dotenv":     {cut: cutDotenv, parts: 1},
	"properties": {cut: cutProperties, parts: 1},
	"lines":      {cut: cutLines, parts: 1, blocks: true},
	"json":       {cut: cutJSON},
	"jsonc":      {cut: cutJSON},
	"yaml":       {cut: cutYAML},
	"toml":       {cut: cutTOML},
	"hcl":        {cut: cutHCL},
	"xml":        {cut: cutXML, attributes: true},
	"sqlite":     {parts: 1, rows: true},
}

// Formats are the words for formats that secrets can be cut out of.
func Formats() []string {
	words := make([]string, 0, len(grammars))
	for w := range grammars {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}

// Check says what is wrong with selectors of a format: nothing, for a file that
// Cut can be asked to cut.
func Check(format string, texts []string) error {
	g, ok := grammars[format]
	if !ok {
		return fmt.Errorf("format %q: %w", format, errors.ErrUnsupported)
	}
	_, err := parse(g, texts)
	return err
}

// pattern matches a text without regard to case: * stands for any run of
// characters, a backslash takes the next character as it is.
type pattern []string // what is between the stars, lower case

// wild matches anything.
func (p pattern) wild() bool { return len(p) == 2 && p[0] == "" && p[1] == "" }

func newPattern(text string) pattern {
	var (
		p     pattern
		piece strings.Builder
	)
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			piece.WriteByte(text[i])
		case text[i] == '*':
			p = append(p, strings.ToLower(piece.String()))
			piece.Reset()
		default:
			piece.WriteByte(text[i])
		}
	}
	return append(p, strings.ToLower(piece.String()))
}

func (p pattern) match(text string) bool {
	text = strings.ToLower(text)
	last := len(p) - 1
	if last == 0 {
		return text == p[0]
	}
	rest, ok := strings.CutPrefix(text, p[0])
	if !ok || len(rest) < len(p[last]) || !strings.HasSuffix(rest, p[last]) {
		return false
	}
	rest = rest[:len(rest)-len(p[last])]
	for _, piece := range p[1:last] {
		i := strings.Index(rest, piece)
		if i < 0 {
			return false
		}
		rest = rest[i+len(piece):]
	}
	return true
}

// quoted is the pattern as a regular expression, within one word.
func (p pattern) quoted() string {
	pieces := make([]string, len(p))
	for i, piece := range p {
		pieces[i] = regexp.QuoteMeta(piece)
	}
	return strings.Join(pieces, `[^\s"':=<>]*`)
}

// part is one key of a path.
type part struct {
	deep bool // **: any number of keys
	key  pattern
	// where is a condition on an attribute or a column; nil: none.
	where pattern
	of    string
}

// strip is which parts of a selected value go.
type strip int

const (
	keep     strip = 0         // not selected
	userinfo strip = 1 << iota // what a URL in it carries before the @
	segment                    // what a URL in it carries after /t/
	whole                      // all of it
)

var strips = map[string]strip{"userinfo": userinfo, "path-token": segment}

// selector is one parsed selector.
type selector struct {
	parts []part
	until pattern // of lines: the last one of a block
	strip strip
}

type selectors []selector

// parse reads selectors by the format's grammar.
func parse(g grammar, texts []string) (selectors, error) {
	var all selectors
	for _, text := range texts {
		s, err := g.selector(text)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", text, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (g grammar) selector(text string) (selector, error) {
	s := selector{strip: whole}
	body, how := split(text, '|')
	if how != nil {
		if s.strip = strips[strings.TrimSpace(*how)]; s.strip == keep || g.rows {
			return s, errors.New("unknown word after |")
		}
		body = strings.TrimSpace(body)
	}
	if g.blocks {
		first, last, ok := strings.Cut(body, " ... ")
		if ok && (s.strip != whole || last == "") {
			return s, errors.New("a block goes as a whole")
		}
		if body = first; ok {
			s.until = newPattern(last)
		}
	}
	if g.parts == 1 && !g.rows {
		s.parts = []part{{key: newPattern(body)}}
		if body == "" || g.blocks && s.strip == whole && s.parts[0].key.wild() {
			return s, errors.New("it would select everything")
		}
		return s, nil
	}
	for rest := &body; rest != nil; {
		var one string
		one, rest = split(*rest, '.')
		p, err := g.part(one)
		if err != nil {
			return s, err
		}
		s.parts = append(s.parts, p)
	}
	return s, g.fits(s)
}

func (g grammar) part(text string) (part, error) {
	if text == "**" {
		return part{deep: true}, nil
	}
	p := part{}
	if name, condition := split(text, '['); condition != nil {
		of, want := split(strings.TrimSuffix(*condition, "]"), '=')
		if !strings.HasSuffix(*condition, "]") || want == nil || of == "" || *want == "" {
			return p, errors.New("want [name=pattern]")
		}
		if !g.attributes && !g.rows {
			return p, errors.New("this format has no conditions")
		}
		text, p.of, p.where = name, of, newPattern(*want)
	}
	if text == "" {
		return p, errors.New("an empty part")
	}
	p.key = newPattern(text)
	return p, nil
}

// fits checks what depends on the whole path.
func (g grammar) fits(s selector) error {
	last := s.parts[len(s.parts)-1]
	switch {
	case g.parts > 0 && len(s.parts) > g.parts:
		return fmt.Errorf("want at most %d parts", g.parts)
	case last.deep:
		return errors.New("it would select everything")
	case g.parts > 0 && slices.ContainsFunc(s.parts, func(p part) bool { return p.deep }):
		return errors.New("this format has no **")
	case g.rows && (last.where == nil || last.where.wild()):
		return errors.New("want table[column=pattern]: rows, never a whole table")
	}
	return nil
}

// split cuts text at the first sep that no backslash and no bracket hides; rest
// is nil where there is none.
func split(text string, sep byte) (before string, rest *string) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == sep && depth == 0:
			after := text[i+1:]
			return text[:i], &after
		case text[i] == '[':
			depth++
		case text[i] == ']' && depth > 0:
			depth--
		}
	}
	return text, nil
}

// attributes answers conditions: the value of an attribute of path[i].
type attributes func(i int, name string) (string, bool)

// match says what of the value at path goes. A path below a selected one is
// selected with it.
func (all selectors) match(path []string, of attributes) strip {
	out := keep
	for _, s := range all {
		if s.selects(path, of, true) {
			if out |= s.strip; out&whole != 0 {
				return whole
			}
		}
	}
	return out
}

// matchExactly is match without what is below a selected path.
func (all selectors) matchExactly(path []string, of attributes) strip {
	out := keep
	for _, s := range all {
		if s.selects(path, of, false) {
			if out |= s.strip; out&whole != 0 {
				return whole
			}
		}
	}
	return out
}

// selects runs the path through the parts; reached holds the parts that a
// prefix of the path may have got to.
func (s selector) selects(path []string, of attributes, below bool) bool {
	reached := make([]bool, len(s.parts)+1)
	reached[0] = true
	for i, key := range path {
		for j := len(s.parts); j >= 0; j-- {
			if j < len(s.parts) && s.parts[j].deep && reached[j] {
				reached[j+1] = true // ** may stand for nothing
			}
		}
		next, alive := make([]bool, len(reached)), false
		for j, p := range s.parts {
			switch {
			case !reached[j]:
			case p.deep:
				next[j], alive = true, true
			case p.key.match(key) && p.holds(i, of):
				next[j+1], alive = true, true
			}
		}
		if reached = next; !alive || reached[len(s.parts)] && (below || i == len(path)-1) {
			return alive
		}
	}
	return false
}

func (p part) holds(i int, of attributes) bool {
	if p.where == nil {
		return true
	}
	if of == nil {
		return false
	}
	value, ok := of(i, p.of)
	return ok && p.where.match(value)
}

// inSection says what of a key of a section goes; a selector of one part means
// a key of any section, never a section.
func (all selectors) inSection(section, key string) strip {
	out := keep
	for _, s := range all {
		if path := []string{section, key}; s.selects(path[len(path)-len(s.parts):], nil, true) {
			out |= s.strip
		}
	}
	if out&whole != 0 {
		return whole
	}
	return out
}

// name says what of the value of a key in a flat format goes.
func (all selectors) name(key string) strip { return all.match([]string{key}, nil) }
