package format

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// cutDotenv empties the values of the selected variables; names, export, quotes
// and comments stay. What is no assignment is passed over, as loaders do: such
// files are often shell scripts (.envrc).
func cutDotenv(data []byte, all selectors) ([]span, error) {
	d := &dotenv{data: data, selectors: all}
	for d.at < len(data) {
		if err := d.line(); err != nil {
			return nil, err
		}
	}
	return merge(d.out), nil
}

type dotenv struct {
	data      []byte
	at        int
	selectors selectors
	out       []span
}

var (
	assignment = regexp.MustCompile(`^[ \t]*(?:#[# \t]*)?(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?:=|:[ \t])[ \t]*`)
	// another: a second assignment on a line of shell.
	another = regexp.MustCompile(`[ \t;&]([A-Za-z_][A-Za-z0-9_]*)=`)
	// expansion: the value is elsewhere.
	expansion = regexp.MustCompile(`^(?:\$\{[A-Za-z_]\w*\}|\$[A-Za-z_]\w*|\$\([^()]*\))$`)
)

func (d *dotenv) line() error {
	end := d.at + bytes.IndexByte(d.data[d.at:], '\n')
	if end < d.at {
		end = len(d.data)
	}
	stop := end
	for stop > d.at && d.data[stop-1] == '\r' {
		stop--
	}
	m := assignment.FindSubmatchIndex(d.data[d.at:stop])
	if m == nil {
		d.at = min(end+1, len(d.data))
		return nil
	}
	name, from := string(d.data[d.at+m[2]:d.at+m[3]]), d.at+m[1]
	comment := d.data[d.at+len(d.data[d.at:stop])-len(bytes.TrimLeft(d.data[d.at:stop], " \t"))] == '#'
	to, inner, err := d.value(from, stop, comment)
	if err != nil {
		return err
	}
	if to > stop { // quotes over several lines
		if end = to + bytes.IndexByte(d.data[to:], '\n'); end < to {
			end = len(d.data)
		}
		stop = end
		for stop > to && d.data[stop-1] == '\r' {
			stop--
		}
	}
	how := d.selectors.name(name)
	d.cut(how, inner, from, to)
	rest := from
	if inner.from > from || how == whole {
		rest = to // what its quotes hold is no assignment; what goes is gone
	}
	for rest < stop {
		m := another.FindSubmatchIndex(d.data[rest:stop])
		if m == nil {
			break
		}
		how, begin := d.selectors.name(string(d.data[rest+m[2]:rest+m[3]])), rest+m[1]
		if rest = begin; how != keep {
			rest = d.word(begin, stop)
			d.cut(how, inside(d.data, begin, rest), begin, rest)
		}
	}
	d.at = min(end+1, len(d.data))
	return nil
}

// cut empties inner, or strips it.
func (d *dotenv) cut(how strip, inner span, from, to int) {
	text := d.data[inner.from:inner.to]
	switch {
	case how == keep || len(text) == 0 || expansion.Match(text):
	case how != whole:
		d.out = append(d.out, how.spans(d.data, from, to)...)
	case inner.from == from: // no quotes
		with := ""
		if rest, _, _ := bytes.Cut(d.data[to:], []byte{'\n'}); bytes.HasPrefix(bytes.TrimSpace(rest), []byte{'#'}) {
			with = `""` // without, some loaders read the comment as the value
		}
		d.out = append(d.out, span{from: from, to: to, with: with})
	default: // its quotes stay, whatever the shell would join to them goes
		d.out = append(d.out, inner, span{from: inner.to + 1, to: to})
	}
}

// value finds the end of the value at from, and what is inside its quotes.
func (d *dotenv) value(from, stop int, comment bool) (to int, inner span, err error) {
	if from >= stop {
		return stop, span{from: stop, to: stop}, nil
	}
	if quote := d.data[from]; strings.IndexByte("\"'`", quote) >= 0 {
		// In a comment only what one line closes is a quote.
		if end := closing(d.data, from, quote); end >= 0 && end < stop || !comment {
			if end < 0 {
				return 0, span{}, fmt.Errorf("%w: offset %d: quotes without end", ErrSyntax, from)
			}
			for to = end + 1; to < len(d.data) && !space(d.data[to]) && d.data[to] != '#' && d.data[to] != ';'; {
				to++
			}
			return to, span{from: from + 1, to: end}, nil
		}
	}
	to = stop
	if i := bytes.Index(d.data[from:stop], []byte(" #")); i >= 0 {
		to = from + i
	}
	if i := bytes.Index(d.data[from:to], []byte("\t#")); i >= 0 {
		to = from + i
	}
	for to > from && (d.data[to-1] == ' ' || d.data[to-1] == '\t') {
		to--
	}
	if d.data[from] == '#' && space(d.data[from-1]) {
		to = from
	}
	return to, span{from: from, to: to}, nil
}

// closing returns where the quote that opens at from is closed, or -1.
func closing(data []byte, from int, quote byte) int {
	for i := from + 1; i < len(data); i++ {
		switch {
		case data[i] == '\\' && quote == '"':
			i++
		case data[i] == quote:
			return i
		}
	}
	return -1
}

// word returns the end of the shell's word at from.
func (d *dotenv) word(from, stop int) int {
	for i := from; i < stop; i++ {
		switch c := d.data[i]; {
		case c == '"' || c == '\'':
			end := closing(d.data[:stop], i, c)
			if end < 0 {
				return stop
			}
			i = end
		case space(c) || c == ';' || c == '&':
			return i
		}
	}
	return stop
}

// inside is what is between the quotes of a word, if it has them.
func inside(data []byte, from, to int) span {
	if to-from >= 2 && (data[from] == '"' || data[from] == '\'') {
		if end := closing(data[:to], from, data[from]); end > 0 {
			return span{from: from + 1, to: end}
		}
	}
	return span{from: from, to: to}
}
