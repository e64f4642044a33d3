// Package format cuts secrets out of mixed files and leaves every other byte
// as it was: comments, order, indentation, line ends, byte order mark. It works
// on bytes and must not open a file or decide what is secret.
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
// itself, unchanged, when none were. Selectors are key names for the line
// formats (ini, npmrc, netrc) and dotted paths with * for the others (json,
// yaml, toml, hcl). Line formats lose the line or the words, the others keep
// the key with an empty value.
func Cut(format string, data []byte, selectors []string) ([]byte, int, error) {
	cut, ok := map[string]func([]byte, []string) ([]span, error){
		"ini": cutINI, "npmrc": cutNpmrc, "netrc": cutNetrc, "json": cutJSON, "yaml": cutYAML, "toml": cutTOML, "hcl": cutHCL,
	}[format]
	if !ok {
		return nil, 0, fmt.Errorf("cut %q: %w", format, errors.ErrUnsupported)
	}
	body := bytes.TrimPrefix(data, bom)
	if bytes.IndexByte(body, 0) >= 0 {
		return nil, 0, fmt.Errorf("%s: %w: it has zero bytes", format, ErrSyntax)
	}
	spans, err := cut(body, selectors)
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

// selector is a dotted path; a part * stands for any key or index.
type selector []string

func selectors(texts []string) []selector {
	out := make([]selector, len(texts))
	for i, t := range texts {
		out[i] = strings.Split(t, ".")
	}
	return out
}

// selects reports whether path is selected.
func selects(all []selector, path []string) bool {
	for _, s := range all {
		if len(s) != len(path) {
			continue
		}
		hit := true
		for i := range s {
			if s[i] != "*" && s[i] != path[i] {
				hit = false
				break
			}
		}
		if hit {
			return true
		}
	}
	return false
}

// commented finds a secret in a comment: a line that somebody switched off.
type commented struct{ pattern *regexp.Regexp }

func newCommented(texts []string) commented {
	names := make([]string, 0, len(texts))
	for _, t := range texts {
		names = append(names, regexp.QuoteMeta(t[strings.LastIndexByte(t, '.')+1:]))
	}
	return commented{regexp.MustCompile(`^[\s#;/*-]*["']?(?:` + strings.Join(names, "|") + `)["']?\s*[:=]\s*["']?[^\s"']`)}
}

func (c commented) in(comment string) bool { return c.pattern.MatchString(comment) }
