package format

import (
	"fmt"
	"regexp"
	"strings"
)

// cutINI removes the lines of the named keys in any section, with the indented
// lines that go on with their value, and such lines in comments.
func cutINI(data []byte, all selectors) ([]span, error) {
	var (
		out     []span
		section bool
		inKey   bool // an indented line goes on with a value
		inGone  bool // and that value goes
	)
	name := ""
	off := newCommented(all)
	for i, l := range lines(data) {
		trimmed := strings.TrimSpace(l.text)
		indented := l.text != "" && (l.text[0] == ' ' || l.text[0] == '\t')
		key, hasKey := iniKey(trimmed)
		secret := hasKey && isSecretLine(trimmed, name, key, all)
		switch {
		case trimmed == "":
		case trimmed[0] == '#' || trimmed[0] == ';':
			if off.in(trimmed) {
				out = append(out, span{from: l.from, to: l.to})
			}
		case trimmed[0] == '[' && !indented:
			if !strings.Contains(trimmed, "]") {
				return nil, fmt.Errorf("%w: line %d: section without end", ErrSyntax, i+1)
			}
			section, inKey, inGone = true, false, false
			name = strings.TrimSpace(trimmed[1:strings.LastIndexByte(trimmed, ']')])
		case indented && inKey:
			if inGone || secret {
				out = append(out, span{from: l.from, to: l.to})
			}
		case !section:
			return nil, fmt.Errorf("%w: line %d: before the first section", ErrSyntax, i+1)
		case !hasKey:
			return nil, fmt.Errorf("%w: line %d: no key", ErrSyntax, i+1)
		default:
			inKey, inGone = true, secret
			if secret {
				out = append(out, span{from: l.from, to: l.to})
			}
		}
	}
	return out, nil
}

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

func isSecretLine(text, section, key string, all selectors) bool {
	if all.inSection(section, key) != whole {
		return false
	}
	i := strings.Index(text, key) + len(key)
	return strings.Trim(text[i:], " \t=:") != ""
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
