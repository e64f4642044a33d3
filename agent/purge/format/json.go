package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// cutJSON empties the selected values of JSON, with comments and trailing
// commas as editors' dialects allow.
func cutJSON(data []byte, all selectors) ([]span, error) {
	s := &jsonScanner{data: data, selectors: all, off: newCommented(all)}
	if err := s.value(0); err != nil {
		return nil, err
	}
	if err := s.blank(); err != nil {
		return nil, err
	}
	if s.at < len(data) {
		return nil, s.bad("more after the end")
	}
	return merge(s.out), nil
}

type jsonScanner struct {
	data      []byte
	at        int
	path      []string
	selectors selectors
	off       commented
	out       []span
}

func (s *jsonScanner) bad(what string) error {
	return fmt.Errorf("%w: offset %d: %s", ErrSyntax, s.at, what)
}

// value reads one value and empties it when its path is selected.
func (s *jsonScanner) value(depth int) error {
	if depth > MaxDepth {
		return s.bad("nested too deep")
	}
	if err := s.blank(); err != nil {
		return err
	}
	from := s.at
	empty, err := s.read(depth)
	if err != nil {
		return err
	}
	text := string(s.data[from:s.at])
	switch how := s.selectors.match(s.path, nil); how {
	case keep:
	case whole:
		if empty != "" && text != empty && text != "null" && text != "false" {
			s.out = append(s.out, span{from: from, to: s.at, with: empty})
		}
	default:
		s.strip(how, from)
	}
	return nil
}

// strip takes what goes out of the string that began at from; one that hides it
// behind escapes is written anew.
func (s *jsonScanner) strip(how strip, from int) {
	var was, is string
	if s.data[from] != '"' || json.Unmarshal(s.data[from:s.at], &was) != nil {
		return
	}
	want, any := how.of(was)
	if !any {
		return
	}
	spans := how.spans(s.data, from, s.at)
	rest := s.data[from:s.at]
	if len(spans) > 0 {
		rest = apply(s.data[:s.at], spans)[from:]
	}
	if json.Unmarshal(rest, &is) == nil && is == want {
		s.out = append(s.out, spans...)
		return
	}
	anew, _ := json.Marshal(want) // a string
	s.out = append(s.out, span{from: from, to: s.at, with: string(anew)})
}

// read reads one value and returns what an empty one looks like.
func (s *jsonScanner) read(depth int) (string, error) {
	if s.at >= len(s.data) {
		return "", s.bad("value is missing")
	}
	switch s.data[s.at] {
	case '{':
		return s.all("{}", '}', depth)
	case '[':
		return s.all("[]", ']', depth)
	case '"':
		_, err := s.str()
		return `""`, err
	default:
		from := s.at
		for s.at < len(s.data) && !bytes.ContainsRune([]byte(" \t\r\n,]}/"), rune(s.data[s.at])) {
			s.at++
		}
		if !json.Valid(s.data[from:s.at]) {
			return "", s.bad("not a value")
		}
		return "null", nil
	}
}

// all reads the members of an object or an array.
func (s *jsonScanner) all(empty string, end byte, depth int) (string, error) {
	s.at++
	var inner bool
	for index := 0; ; index++ {
		if err := s.blank(); err != nil {
			return "", err
		}
		if s.at >= len(s.data) {
			return "", s.bad("end is missing")
		}
		if s.data[s.at] == end {
			s.at++
			if !inner {
				return "", nil // empty as it is
			}
			return empty, nil
		}
		inner = true
		name := strconv.Itoa(index)
		if end == '}' {
			var err error
			if name, err = s.key(); err != nil {
				return "", err
			}
		}
		s.path = append(s.path, name)
		if err := s.value(depth + 1); err != nil {
			return "", err
		}
		s.path = s.path[:len(s.path)-1]
		if err := s.blank(); err != nil {
			return "", err
		}
		switch {
		case s.at < len(s.data) && s.data[s.at] == ',':
			s.at++
		case s.at < len(s.data) && s.data[s.at] == end:
		default:
			return "", s.bad("want a comma or the end")
		}
	}
}

func (s *jsonScanner) key() (string, error) {
	name, err := s.str()
	if err != nil {
		return "", err
	}
	if err := s.blank(); err != nil {
		return "", err
	}
	if s.at >= len(s.data) || s.data[s.at] != ':' {
		return "", s.bad("want a colon")
	}
	s.at++
	return name, nil
}

func (s *jsonScanner) str() (string, error) {
	from := s.at
	if s.at >= len(s.data) || s.data[s.at] != '"' {
		return "", s.bad("want a string")
	}
	for s.at++; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			var text string
			if err := json.Unmarshal(s.data[from:s.at], &text); err != nil {
				return "", s.bad("not a string")
			}
			return text, nil
		}
	}
	return "", s.bad("string without end")
}

// blank passes over white space and comments, without the secrets in them.
func (s *jsonScanner) blank() error {
	for s.at < len(s.data) {
		switch {
		case space(s.data[s.at]):
			s.at++
		case bytes.HasPrefix(s.data[s.at:], []byte("//")):
			from := s.at
			for s.at < len(s.data) && s.data[s.at] != '\n' {
				s.at++
			}
			s.comment(from)
		case bytes.HasPrefix(s.data[s.at:], []byte("/*")):
			from := s.at
			end := bytes.Index(s.data[s.at+2:], []byte("*/"))
			if end < 0 {
				return s.bad("comment without end")
			}
			s.at += end + 4
			s.comment(from)
		default:
			return nil
		}
	}
	return nil
}

// comment empties a comment that has a secret in it.
func (s *jsonScanner) comment(from int) {
	to, with := from+len(bytes.TrimRight(s.data[from:s.at], "\r")), "//"
	if s.data[from+1] == '*' {
		with = "/**/"
	}
	s.out = append(s.out, s.off.spans(s.data, from, to, with)...)
}
