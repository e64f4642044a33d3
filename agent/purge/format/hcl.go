package format

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// cutHCL empties the selected string arguments; the path of an argument is the
// block's type and labels, then its own name.
func cutHCL(data []byte, all selectors) ([]span, error) {
	h := &hclScanner{data: data, selectors: all, off: newCommented(all)}
	if err := h.body(nil, 0); err != nil {
		return nil, err
	}
	if h.at < len(data) {
		return nil, h.bad("more after the end")
	}
	return merge(h.out), nil
}

type hclScanner struct {
	data      []byte
	at        int
	selectors selectors
	off       commented
	out       []span
}

func (h *hclScanner) bad(what string) error {
	return fmt.Errorf("%w: offset %d: %s", ErrSyntax, h.at, what)
}

// body reads arguments and blocks up to a closing brace or the end.
func (h *hclScanner) body(path []string, depth int) error {
	if depth > MaxDepth {
		return h.bad("nested too deep")
	}
	for {
		if err := h.blank(true); err != nil {
			return err
		}
		if h.at >= len(h.data) || h.data[h.at] == '}' {
			return nil
		}
		names, err := h.names()
		if err != nil {
			return err
		}
		below := append(path[:len(path):len(path)], names...)
		switch {
		case h.at < len(h.data) && h.data[h.at] == '{':
			h.at++
			if err := h.body(below, depth+1); err != nil {
				return err
			}
			if h.at >= len(h.data) {
				return h.bad("block without end")
			}
			h.at++
		case h.at < len(h.data) && (h.data[h.at] == '=' || h.data[h.at] == ':'):
			h.at++
			if err := h.value(below, depth+1); err != nil {
				return err
			}
		default:
			return h.bad("want = or {")
		}
		if err := h.blank(true); err != nil {
			return err
		}
		if h.at < len(h.data) && h.data[h.at] == ',' {
			h.at++
		}
	}
}

// names reads a name and the labels after it.
func (h *hclScanner) names() ([]string, error) {
	var out []string
	for {
		if err := h.blank(false); err != nil {
			return nil, err
		}
		from := h.at
		switch {
		case h.at < len(h.data) && h.data[h.at] == '"':
			if err := h.str(); err != nil {
				return nil, err
			}
			out = append(out, strings.Trim(string(h.data[from:h.at]), `"`))
		default:
			for h.at < len(h.data) && (bare(h.data[h.at]) || h.data[h.at] == '.') {
				h.at++
			}
			if h.at == from {
				if len(out) == 0 {
					return nil, h.bad("want a name")
				}
				return out, nil
			}
			out = append(out, string(h.data[from:h.at]))
		}
	}
}

func (h *hclScanner) value(path []string, depth int) error {
	if err := h.blank(false); err != nil {
		return err
	}
	if depth > MaxDepth || h.at >= len(h.data) {
		return h.bad("value is missing")
	}
	from := h.at
	switch h.data[h.at] {
	case '{':
		h.at++
		if err := h.body(path, depth); err != nil {
			return err
		}
		if h.at >= len(h.data) {
			return h.bad("object without end")
		}
		h.at++
		return nil
	case '[':
		return h.list(path, depth)
	}
	if err := h.expression(); err != nil {
		return err
	}
	switch how := h.selectors.match(path, nil); {
	case how == keep:
	case how != whole:
		h.out = append(h.out, how.spans(h.data, from, h.at)...)
	case bytes.IndexByte(h.data[from:h.at], '"') >= 0 || bytes.HasPrefix(h.data[from:], []byte("<<")):
		if h.at-from > 2 {
			h.out = append(h.out, span{from: from, to: h.at, with: `""`})
		}
	case h.data[from] >= '0' && h.data[from] <= '9' && h.at-from > 1:
		h.out = append(h.out, span{from: from, to: h.at, with: "0"})
	}
	return nil
}

// expression reads a value that is no list and no object: a string, a number, a
// name, a call, and what operators join of them.
func (h *hclScanner) expression() error {
	from, end, open := h.at, h.at, 0
	for h.at < len(h.data) {
		switch c := h.data[h.at]; {
		case c == '"':
			if err := h.str(); err != nil {
				return err
			}
			end = h.at
			continue
		case bytes.HasPrefix(h.data[h.at:], []byte("<<")):
			if err := h.heredoc(); err != nil {
				return err
			}
			end = h.at
			continue
		case c == '(' || c == '[' || c == '{':
			open++
		case open > 0 && (c == ')' || c == ']' || c == '}'):
			open--
		case open == 0 && (c == ',' || c == ']' || c == '}' || c == '\n' || c == '\r'),
			open == 0 && (c == '#' || bytes.HasPrefix(h.data[h.at:], []byte("//")) || bytes.HasPrefix(h.data[h.at:], []byte("/*"))):
			return h.ended(from, end)
		case space(c):
			h.at++
			continue
		}
		h.at++
		end = h.at
	}
	if open > 0 {
		return h.bad("bracket without end")
	}
	return h.ended(from, end)
}

func (h *hclScanner) ended(from, end int) error {
	if h.at = end; end == from {
		return h.bad("value is missing")
	}
	return nil
}

func (h *hclScanner) list(path []string, depth int) error {
	h.at++
	for i := 0; ; i++ {
		if err := h.blank(true); err != nil {
			return err
		}
		if h.at < len(h.data) && h.data[h.at] == ']' {
			h.at++
			return nil
		}
		if err := h.value(append(path[:len(path):len(path)], strconv.Itoa(i)), depth+1); err != nil {
			return err
		}
		if err := h.blank(true); err != nil {
			return err
		}
		switch {
		case h.at < len(h.data) && h.data[h.at] == ',':
			h.at++
		case h.at < len(h.data) && h.data[h.at] == ']':
		default:
			return h.bad("want a comma or the end")
		}
	}
}

func (h *hclScanner) str() error {
	for i := h.at + 1; i < len(h.data) && h.data[i] != '\n'; i++ {
		switch h.data[i] {
		case '\\':
			i++
		case '"':
			h.at = i + 1
			return nil
		}
	}
	return h.bad("string without end")
}

// heredoc reads up to the line that is its mark; that line end stays.
func (h *hclScanner) heredoc() error {
	all := lines(h.data[h.at:])
	mark := strings.TrimLeft(strings.TrimPrefix(all[0].text, "<<"), "-")
	if mark == "" {
		return h.bad("heredoc without mark")
	}
	for _, l := range all[1:] {
		if strings.TrimSpace(l.text) == mark {
			h.at += l.from + len(l.text)
			return nil
		}
	}
	return h.bad("heredoc without end")
}

// blank passes over blanks and comments, without the secrets in them.
func (h *hclScanner) blank(lineEnds bool) error {
	for h.at < len(h.data) {
		c, from := h.data[h.at], h.at
		rest := h.data[h.at:]
		switch {
		case c == ' ' || c == '\t' || lineEnds && (c == '\n' || c == '\r'):
			h.at++
		case c == '#' || bytes.HasPrefix(rest, []byte("//")):
			for h.at < len(h.data) && h.data[h.at] != '\n' && h.data[h.at] != '\r' {
				h.at++
			}
			h.comment(from, "#")
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return h.bad("comment without end")
			}
			h.at += end + 4
			h.comment(from, "/**/")
		default:
			return nil
		}
	}
	return nil
}

func (h *hclScanner) comment(from int, with string) {
	h.out = append(h.out, h.off.spans(h.data, from, h.at, with)...)
}
