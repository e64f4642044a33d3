package format

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// cutTOML empties the selected string values.
func cutTOML(data []byte, all selectors) ([]span, error) {
	t := &tomlScanner{data: data, selectors: all, off: newCommented(all), lists: map[string]int{}}
	var table []string
	for {
		t.blank(true)
		if t.at >= len(data) {
			return merge(t.out), nil
		}
		if data[t.at] == '[' {
			path, double, err := t.header()
			if err != nil {
				return nil, err
			}
			table = t.table(path, double)
		} else if err := t.pair(table, 0); err != nil {
			return nil, err
		}
		t.blank(false)
		if t.at < len(data) && data[t.at] != '\n' && data[t.at] != '\r' {
			return nil, t.bad("more on the line")
		}
	}
}

type tomlScanner struct {
	data      []byte
	at        int
	selectors selectors
	off       commented
	lists     map[string]int // the newest index of each list of tables
	out       []span
}

func (t *tomlScanner) bad(what string) error {
	return fmt.Errorf("%w: offset %d: %s", ErrSyntax, t.at, what)
}

// blank passes over blanks and comments, over line ends when asked to.
func (t *tomlScanner) blank(lineEnds bool) {
	for t.at < len(t.data) {
		switch c := t.data[t.at]; {
		case c == ' ' || c == '\t' || lineEnds && (c == '\n' || c == '\r'):
			t.at++
		case c == '#':
			from := t.at
			for t.at < len(t.data) && t.data[t.at] != '\n' {
				t.at++
			}
			t.out = append(t.out, t.off.spans(t.data, from, from+len(bytes.TrimRight(t.data[from:t.at], "\r")), "#")...)
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]].
func (t *tomlScanner) header() (path []string, double bool, err error) {
	double = bytes.HasPrefix(t.data[t.at:], []byte("[["))
	end := "]"
	t.at++
	if double {
		t.at++
		end = "]]"
	}
	if path, err = t.keys(); err != nil {
		return nil, false, err
	}
	if !bytes.HasPrefix(t.data[t.at:], []byte(end)) {
		return nil, false, t.bad("table without end")
	}
	t.at += len(end)
	return path, double, nil
}

// table is the path of a header with the indices of the lists on its way: what
// is below [[a]] is in its newest element.
func (t *tomlScanner) table(path []string, double bool) []string {
	var out []string
	for i, key := range path {
		out = append(out, key)
		at := strings.Join(out, "\x00")
		n, list := t.lists[at]
		switch {
		case double && i == len(path)-1:
			if list {
				n++
			}
			t.lists[at] = n
			fallthrough
		case list:
			out = append(out, strconv.Itoa(n))
		}
	}
	return out
}

// keys reads a dotted key.
func (t *tomlScanner) keys() ([]string, error) {
	var path []string
	for {
		t.blank(false)
		from := t.at
		switch {
		case t.at >= len(t.data):
			return nil, t.bad("key is missing")
		case t.data[t.at] == '"':
			end := quoteEnd(t.data, t.at, '"')
			if end < 0 {
				return nil, t.bad("key without end")
			}
			name, err := strconv.Unquote(string(t.data[from:end]))
			if err != nil {
				return nil, t.bad("not a key")
			}
			path, t.at = append(path, name), end
		case t.data[t.at] == '\'':
			end := bytes.IndexByte(t.data[from+1:], '\'')
			if end < 0 {
				return nil, t.bad("key without end")
			}
			path, t.at = append(path, string(t.data[from+1:from+1+end])), from+end+2
		default:
			for t.at < len(t.data) && bare(t.data[t.at]) {
				t.at++
			}
			if t.at == from {
				return nil, t.bad("not a key")
			}
			path = append(path, string(t.data[from:t.at]))
		}
		t.blank(false)
		if t.at >= len(t.data) || t.data[t.at] != '.' {
			return path, nil
		}
		t.at++
	}
}

func bare(c byte) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// pair reads key = value below the path of its table.
func (t *tomlScanner) pair(table []string, depth int) error {
	key, err := t.keys()
	if err != nil {
		return err
	}
	if t.at >= len(t.data) || t.data[t.at] != '=' {
		return t.bad("want =")
	}
	t.at++
	return t.value(append(table[:len(table):len(table)], key...), depth)
}

func (t *tomlScanner) value(path []string, depth int) error {
	t.blank(false)
	if t.at >= len(t.data) || depth > MaxDepth {
		return t.bad("value is missing")
	}
	from := t.at
	switch c := t.data[t.at]; c {
	case '{':
		return t.list('}', func(int) error { return t.pair(path, depth+1) })
	case '[':
		return t.list(']', func(i int) error {
			return t.value(append(path[:len(path):len(path)], strconv.Itoa(i)), depth+1)
		})
	case '"', '\'':
		if err := t.str(c); err != nil {
			return err
		}
		switch how := t.selectors.match(path, nil); {
		case how == keep:
		case how != whole:
			t.out = append(t.out, how.spans(t.data, from, t.at)...)
		case strings.Trim(string(t.data[from:t.at]), `"'`) != "":
			t.out = append(t.out, span{from: from, to: t.at, with: `""`})
		}
		return nil
	}
	for t.at < len(t.data) && !bytes.ContainsRune([]byte(",]}#\r\n"), rune(t.data[t.at])) {
		t.at++
	}
	if text := strings.TrimSpace(string(t.data[from:t.at])); text == "" || strings.ContainsAny(text, `="'`) {
		return t.bad("not a value")
	} else if number.MatchString(text) && t.selectors.match(path, nil) == whole {
		t.out = append(t.out, span{from: from, to: from + len(text), with: "0"})
	}
	return nil
}

// number is one that may be a secret: a PIN; a time is none.
var number = regexp.MustCompile(`^[+-]?(?:0[xob])?[0-9A-Fa-f_]{2,}(?:\.[0-9_]+)?(?:[eE][+-]?[0-9_]+)?$`)

// list reads what is between brackets.
func (t *tomlScanner) list(end byte, each func(i int) error) error {
	t.at++
	for i := 0; ; i++ {
		t.blank(true)
		if t.at < len(t.data) && t.data[t.at] == end {
			t.at++
			return nil
		}
		if err := each(i); err != nil {
			return err
		}
		t.blank(true)
		switch {
		case t.at < len(t.data) && t.data[t.at] == ',':
			t.at++
		case t.at < len(t.data) && t.data[t.at] == end:
		default:
			return t.bad("want a comma or the end")
		}
	}
}

// str reads a string of any of the four kinds.
func (t *tomlScanner) str(quote byte) error {
	long := bytes.Repeat([]byte{quote}, 3)
	if bytes.HasPrefix(t.data[t.at:], long) {
		for i := t.at + 3; i < len(t.data); i++ {
			if t.data[i] == '\\' && quote == '"' {
				i++
				continue
			}
			if bytes.HasPrefix(t.data[i:], long) {
				for i+3 < len(t.data) && t.data[i+3] == quote {
					i++
				}
				t.at = i + 3
				return nil
			}
		}
		return t.bad("string without end")
	}
	for i := t.at + 1; i < len(t.data) && t.data[i] != '\n'; i++ {
		if t.data[i] == '\\' && quote == '"' {
			i++
			continue
		}
		if t.data[i] == quote {
			t.at = i + 1
			return nil
		}
	}
	return t.bad("string without end")
}
