package format

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// cutProperties empties the selected values of a Java properties file. A
// logical line may go on over many: its bytes are collected with where they
// stand, so that escapes and continuations need no second look.
func cutProperties(data []byte, all selectors) ([]span, error) {
	var out []span
	for at := 0; at < len(data); {
		l := logicalLine(data, at)
		at = l.next
		spans, err := l.cut(data, all)
		if err != nil {
			return nil, err
		}
		out = append(out, spans...)
	}
	return merge(out), nil
}

// logical is one line of a properties file with its continuations.
type logical struct {
	text    []byte
	where   []int // of each byte of text
	end     int   // after the last byte, before the line end
	next    int   // where the next line begins
	comment bool
}

func logicalLine(data []byte, at int) logical {
	var l logical
	for first := true; ; first = false {
		for at < len(data) && (data[at] == ' ' || data[at] == '\t' || data[at] == '\f') {
			at++
		}
		end := at
		for end < len(data) && data[end] != '\n' && data[end] != '\r' {
			end++
		}
		if first && at < end && (data[at] == '#' || data[at] == '!') {
			l.comment = true
			for at < end && strings.IndexByte("#! \t", data[at]) >= 0 {
				at++
			}
		}
		slashes := 0
		for slashes < end-at && data[end-1-slashes] == '\\' {
			slashes++
		}
		goesOn := slashes%2 == 1 && !l.comment && end < len(data)
		stop := end
		if goesOn {
			stop--
		}
		for ; at < stop; at++ {
			l.text, l.where = append(l.text, data[at]), append(l.where, at)
		}
		l.end, l.next = end, end
		if bytes.HasPrefix(data[end:], []byte("\r\n")) {
			l.next++
		}
		l.next = min(l.next+1, len(data))
		if !goesOn {
			return l
		}
		at = l.next
	}
}

// cut empties the line's value when its key is selected.
func (l logical) cut(data []byte, all selectors) ([]span, error) {
	key, value, err := l.split()
	if err != nil && !l.comment {
		return nil, err
	}
	if err != nil || value >= len(l.text) {
		return nil, nil // a remark, or no value
	}
	if l.comment && !bytes.ContainsAny(l.text, "=:") {
		return nil, nil // words, not a line that was switched off
	}
	from := l.where[value]
	switch how := all.name(key); how {
	case keep:
		return nil, nil
	case whole:
		return []span{{from: from, to: l.end}}, nil
	default:
		return how.spans(data, from, l.end), nil
	}
}

// split returns the key, without its escapes, and where the value begins.
func (l logical) split() (key string, value int, err error) {
	var name strings.Builder
	i := 0
	for i < len(l.text) && strings.IndexByte("=: \t\f", l.text[i]) < 0 {
		if l.text[i] != '\\' || i+1 == len(l.text) {
			name.WriteByte(l.text[i])
			i++
			continue
		}
		switch c := l.text[i+1]; c {
		case 'u':
			if i+6 > len(l.text) {
				return "", 0, fmt.Errorf("%w: offset %d: not an escape", ErrSyntax, l.where[i])
			}
			r, err := strconv.ParseUint(string(l.text[i+2:i+6]), 16, 16)
			if err != nil {
				return "", 0, fmt.Errorf("%w: offset %d: not an escape", ErrSyntax, l.where[i])
			}
			name.WriteRune(rune(r))
			i += 6
		case 't', 'n', 'r', 'f':
			name.WriteByte(' ')
			i += 2
		default:
			name.WriteByte(c)
			i += 2
		}
	}
	skip := func() {
		for i < len(l.text) && strings.IndexByte(" \t\f", l.text[i]) >= 0 {
			i++
		}
	}
	skip()
	if i < len(l.text) && (l.text[i] == '=' || l.text[i] == ':') {
		i++
		skip()
	}
	return name.String(), i, nil
}
