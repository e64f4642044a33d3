package format

import (
	"fmt"
	"regexp"
	"strings"
)

// cutINI removes the lines of the selected keys, with the deeper indented lines
// that go on with their value, and such lines in comments. It reads the dialects
// of configparser, git, MySQL and pip: keys may stand without a value, and a
// value that ends in a backslash goes on.
func cutINI(data []byte, all selectors) ([]span, error) {
	i := &ini{data: data, selectors: all, off: newCommented(all)}
	for n, l := range lines(data) {
		if what := i.line(l); what != "" {
			return nil, fmt.Errorf("%w: line %d: %s", ErrSyntax, n+1, what)
		}
	}
	return merge(i.out), nil
}

type ini struct {
	data      []byte
	selectors selectors
	off       commented
	section   string
	inSection bool
	// The key that deeper lines go on with: how far it is indented, what of its
	// value goes, and whether a backslash takes the next line along.
	inKey   bool
	indent  int
	how     strip
	slashed bool
	out     []span
}

// line reads one line and returns what is wrong with it.
func (i *ini) line(l line) string {
	trimmed := strings.TrimSpace(l.text)
	if trimmed == "" {
		i.slashed = false
		return ""
	}
	indent := len(l.text) - len(strings.TrimLeft(l.text, " \t"))
	key, hasKey := iniKey(trimmed)
	slashed := i.slashed
	i.slashed = strings.HasSuffix(trimmed, "\\")
	switch {
	case i.inKey && slashed && i.how != keep && !looksLikeKey(trimmed):
		i.gone(l, i.how)
	case trimmed[0] == '#' || trimmed[0] == ';':
		i.out = append(i.out, i.off.spans(i.data, l.from, l.to, "")...)
	case trimmed[0] == '[' && (indent == 0 || !i.inKey || indent <= i.indent):
		return i.header(l, trimmed)
	case i.inKey && indent > i.indent:
		if how := i.secret(trimmed, key, hasKey); i.how == whole || how == whole {
			i.gone(l, whole)
		} else {
			i.gone(l, i.how|how)
		}
	case trimmed[0] == '!' && i.inKey: // MySQL's !include
	case !i.inSection:
		return "before the first section"
	case !hasKey && strings.ContainsAny(trimmed, " \t"):
		return "no key"
	default:
		i.inKey, i.indent, i.how = true, indent, i.selectors.inSection(i.section, key)
		i.gone(l, i.secret(trimmed, key, hasKey))
	}
	return ""
}

// header reads [section], after which a key may stand (git).
func (i *ini) header(l line, trimmed string) string {
	end := strings.Index(trimmed, `"]`) + 1
	if end == 0 {
		end = strings.IndexByte(trimmed, ']')
	}
	if end < 0 {
		return "section without end"
	}
	i.section, i.inSection, i.inKey, i.how, i.slashed = strings.TrimSpace(trimmed[1:end]), true, false, keep, false
	rest := strings.TrimSpace(trimmed[end+1:])
	if key, hasKey := iniKey(rest); hasKey && rest[0] != '#' && rest[0] != ';' {
		from := l.from + strings.LastIndex(l.text, rest)
		switch how := i.secret(rest, key, true); how {
		case keep:
		case whole:
			i.out = append(i.out, span{from: from, to: from + len(rest)})
		default:
			i.out = append(i.out, how.spans(i.data, from, l.to)...)
		}
	}
	return ""
}

func (i *ini) gone(l line, how strip) {
	switch how {
	case keep:
	case whole:
		i.out = append(i.out, span{from: l.from, to: l.to})
	default:
		i.out = append(i.out, how.spans(i.data, l.from, l.to)...)
	}
}

// secret says what of a key's value goes; a key without value has none.
func (i *ini) secret(text, key string, hasKey bool) strip {
	if !hasKey || strings.Trim(text[strings.Index(text, key)+len(key):], " \t=:") == "" {
		return keep
	}
	return i.selectors.inSection(i.section, key)
}

// looksLikeKey: a line that begins anew, whatever the line before ended in.
func looksLikeKey(text string) bool { return keyLine.MatchString(text) }

var keyLine = regexp.MustCompile(`^(?:\[|[\w.-]+\s*[=:]\s*[^\s=])`)

// iniKey returns what is before the first = (or :, where there is no =).
func iniKey(text string) (string, bool) {
	i := strings.IndexByte(text, '=')
	if i < 0 {
		i = strings.IndexByte(text, ':')
	}
	if j := strings.IndexByte(text, ':'); j >= 0 && j < i && !strings.ContainsAny(text[:j], " \t/") {
		i = j
	}
	if i <= 0 {
		return "", false
	}
	return strings.TrimSpace(text[:i]), true
}

// fromEnvironment: the value is a variable's name and no secret.
var fromEnvironment = regexp.MustCompile(`^"?\$\{[A-Za-z_][A-Za-z0-9_]*[?]?\}"?$`)

// cutNpmrc removes the lines whose key, or its part after the last colon, is
// one of names.
func cutNpmrc(data []byte, all selectors) ([]span, error) {
	var out []span
	for _, l := range lines(data) {
		trimmed := strings.TrimLeft(strings.TrimSpace(l.text), "#; \t")
		key, value, ok := strings.Cut(trimmed, "=")
		if !ok {
			continue
		}
		key = strings.TrimSuffix(strings.TrimSpace(key), "[]")
		name := strings.Trim(key[strings.LastIndexByte(key, ':')+1:], `"' `)
		value = strings.TrimSpace(value)
		if all.name(name) == whole && value != "" && !fromEnvironment.MatchString(value) {
			out = append(out, span{from: l.from, to: l.to})
		}
	}
	return out, nil
}
