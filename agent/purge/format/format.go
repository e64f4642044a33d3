// Package format cuts secrets out of mixed files and leaves every other byte as
// it was: comments, order, indentation, line ends, byte order mark.
//
// A selector says what goes. It is a path of keys joined by dots:
//
//	auths.*.auth            one key, any key, one key; of a list: its indices
//	**.password             at any depth
//	*password*              * stands for any run of characters in a key
//	registry\.io.token      a backslash takes a dot, a star, a bar, a bracket as it is
//	servers.server.@pass    xml: an attribute
//	add[key=*Password].@value   xml: only where the element's attribute key matches
//	*index-url|userinfo     of a URL in the value only user:password@ goes
//	channels|path-token     of a URL in the value only the token after /t/ goes
//
// Case never counts. What is selected takes all that is below it along. A
// selector that ends in ** is refused, and so is a line of any kind.
//
//	format      a path is                              what goes
//	json jsonc  keys and indices                       the value: "", null, [] or {}; jsonc is JSON as editors
//	                                                   write it, with comments and trailing commas
//	yaml toml   keys and indices                       the scalars: ""
//	hcl         block type, labels, argument           the value: ""
//	xml         elements, then perhaps @attribute      the text between the tags, the attribute's value
//	ini         key, or section.key                    the line, with those that go on with it
//	npmrc       the key, or its part after the last :  the line
//	netrc       the word: password, account            the word and its value
//	dotenv      the name                               the value; name, export and quotes stay
//	properties  the key, dots and all                  the value
//	lines       the line without its outer blanks      the line; "first ... last": all lines from one to the other
//	sqlite      table[column=pattern]                  the rows, from every page, log and journal of the database
//
// In npmrc, netrc, dotenv, properties and lines a dot is a letter like any
// other. A key that somebody switched off by making its line a comment goes as
// well. The package works on bytes and must not open a file or decide what is
// secret.
package format

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrSyntax says that a file is not what its format promises; nothing of it
// was cut.
var ErrSyntax = errors.New("file does not parse")

// MaxDepth bounds nesting.
const MaxDepth = 200

// Cut returns data without the selected secrets, and how many were cut; data
// itself, unchanged, when none were.
func Cut(format string, data []byte, texts []string) ([]byte, int, error) {
	g, ok := grammars[format]
	if !ok || g.cut == nil {
		return nil, 0, fmt.Errorf("cut %q: %w", format, errors.ErrUnsupported)
	}
	all, err := parse(g, texts)
	if err != nil {
		return nil, 0, err
	}
	body := bytes.TrimPrefix(data, bom)
	if bytes.IndexByte(body, 0) >= 0 {
		return nil, 0, fmt.Errorf("%s: %w: it has zero bytes", format, ErrSyntax)
	}
	spans, err := g.cut(body, all)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", format, err)
	}
	if len(spans) == 0 {
		return data, 0, nil
	}
	return slices.Concat(data[:len(data)-len(body)], apply(body, spans)), len(spans), nil
}

var bom = []byte{0xEF, 0xBB, 0xBF}

// span is a part of the file and what takes its place.
type span struct {
	from, to int
	with     string
}

// apply replaces the spans, which do not overlap.
func apply(data []byte, spans []span) []byte {
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	out := make([]byte, 0, len(data))
	at := 0
	for _, s := range spans {
		if s.from < at {
			continue // inside one that is gone already
		}
		out = append(out, data[at:s.from]...)
		out = append(out, s.with...)
		at = s.to
	}
	return append(out, data[at:]...)
}

// line is one line with its end.
type line struct {
	from, to int // to is after the line end
	text     string
}

// lines splits data; text is without the line end.
func lines(data []byte) []line {
	var out []line
	for at := 0; at < len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		to := len(data)
		if end >= 0 {
			to = at + end + 1
		}
		out = append(out, line{from: at, to: to, text: strings.TrimRight(string(data[at:to]), "\r\n")})
		at = to
	}
	return out
}

// commented finds secrets in a comment: a line that somebody switched off.
type commented struct {
	pattern *regexp.Regexp
	strips  []strip
}

func newCommented(all selectors) commented {
	var (
		c     commented
		names []string
	)
	for _, s := range all {
		last := s.parts[len(s.parts)-1]
		switch {
		case s.strip != whole:
			c.strips = append(c.strips, s.strip)
		case !last.key.wild(): // a key of any name would take every comment along
			names = append(names, last.key.quoted())
		}
	}
	if len(names) > 0 {
		c.pattern = regexp.MustCompile(`(?i)^[\s#;/*-]*["']?(?:` + strings.Join(names, "|") + `)["']?\s*[:=]\s*["']?[^\s"']`)
	}
	return c
}

func (c commented) in(comment string) bool { return c.pattern != nil && c.pattern.MatchString(comment) }

// spans are what goes of the comment between from and to: with stands for a
// comment that holds a secret in one of its lines.
func (c commented) spans(data []byte, from, to int, with string) []span {
	for _, l := range lines(data[from:to]) {
		if c.in(l.text) {
			return []span{{from: from, to: to, with: with}}
		}
	}
	var out []span
	for _, how := range c.strips {
		out = append(out, how.spans(data, from, to)...)
	}
	return out
}
