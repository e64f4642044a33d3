package format

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// cutNetrc removes the named words with their values; a line left empty goes.
func cutNetrc(data []byte, all selectors) ([]span, error) {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = s.parts[0].key.quoted()
	}
	n := &netrc{data: data, selectors: all, off: regexp.MustCompile(`(?i)(?:^|\s)(?:` + strings.Join(quoted, "|") + `)\s+\S`)}
	for {
		word, from, ok := n.word()
		if !ok {
			return n.whole(), nil
		}
		switch word {
		case "machine", "login", "password", "account", "port": // port is of Emacs
			_, at, ok := n.word()
			if !ok {
				return nil, fmt.Errorf("%w: %s without value", ErrSyntax, word)
			}
			if all.name(word) == whole && n.at > at {
				n.out = append(n.out, span{from: n.before(from), to: n.at})
			}
		case "default":
		case "macdef":
			n.macro()
		default:
			return nil, fmt.Errorf("%w: offset %d: unknown word", ErrSyntax, from)
		}
	}
}

type netrc struct {
	data      []byte
	at        int
	selectors selectors
	off       *regexp.Regexp
	out       []span
}

// word returns the next word, which may be quoted, and where it begins;
// comments are passed over, without the secrets in them.
func (n *netrc) word() (string, int, bool) {
	for n.at < len(n.data) {
		c := n.data[n.at]
		switch {
		case space(c):
			n.at++
			continue
		case c == '#' && !n.afterValueWord():
			from := n.at
			n.toLineEnd()
			if n.off.Match(n.data[from:n.at]) {
				n.out = append(n.out, span{from: from, to: n.at})
			}
			continue
		}
		from := n.at
		if c == '"' {
			n.quoted()
		} else {
			for n.at < len(n.data) && !space(n.data[n.at]) {
				n.at++
			}
		}
		return string(n.data[from:n.at]), from, true
	}
	return "", n.at, false
}

// afterValueWord: a # that follows a word that wants a value begins that value.
func (n *netrc) afterValueWord() bool {
	fields := bytes.Fields(n.data[bytes.LastIndexByte(n.data[:n.at], '\n')+1 : n.at])
	if len(fields) == 0 {
		return false
	}
	last := string(fields[len(fields)-1])
	return last == "password" || last == "login" || last == "account" || last == "machine" || last == "port"
}

func (n *netrc) quoted() {
	for n.at++; n.at < len(n.data); n.at++ {
		switch n.data[n.at] {
		case '\\':
			n.at++
		case '"':
			n.at++
			return
		}
	}
	n.at = min(n.at, len(n.data))
}

func (n *netrc) toLineEnd() {
	if i := bytes.IndexByte(n.data[n.at:], '\n'); i >= 0 {
		n.at += i
		return
	}
	n.at = len(n.data)
}

// macro passes over a macro's body: up to an empty line.
func (n *netrc) macro() {
	for n.toLineEnd(); n.at < len(n.data); n.toLineEnd() {
		n.at++
		rest := n.data[n.at:]
		if len(rest) == 0 || rest[0] == '\n' || bytes.HasPrefix(rest, []byte("\r\n")) {
			return
		}
	}
}

// before moves from back over the blanks before it on its line.
func (n *netrc) before(from int) int {
	at := from
	for at > 0 && (n.data[at-1] == ' ' || n.data[at-1] == '\t') {
		at--
	}
	if at > 0 && n.data[at-1] != '\n' {
		return at
	}
	return from // the first word of its line: the indentation stays
}

// whole widens what leaves a line without a word to the whole line.
func (n *netrc) whole() []span {
	gone := make([]bool, len(n.data))
	for _, s := range n.out {
		for i := s.from; i < s.to; i++ {
			gone[i] = true
		}
	}
	for _, l := range lines(n.data) {
		left, touched := false, false
		for i := l.from; i < l.to; i++ {
			touched = touched || gone[i]
			left = left || !gone[i] && !space(n.data[i])
		}
		if touched && !left {
			n.out = append(n.out, span{from: l.from, to: l.to})
		}
	}
	return merge(n.out)
}

// merge joins spans that overlap.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	var out []span
	for _, s := range spans {
		if last := len(out) - 1; last >= 0 && s.from < out[last].to {
			out[last].to = max(out[last].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
