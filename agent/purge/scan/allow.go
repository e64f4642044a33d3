package scan

import (
	"regexp"
	"strings"
	"sync"
)

// allowlist lets pass what looks like a secret and is none.
type allowlist struct {
	allowText
	paths, regexes func() *regexp.Regexp
	words          func() *automaton
}

func allowlists(texts []allowText) []*allowlist {
	var out []*allowlist
	for _, t := range texts {
		out = append(out, &allowlist{
			allowText: t,
			paths:     sync.OnceValue(func() *regexp.Regexp { return either(t.Paths) }),
			regexes:   sync.OnceValue(func() *regexp.Regexp { return either(t.Regexes) }),
			words:     sync.OnceValue(func() *automaton { return newAutomaton(t.StopWords) }),
		})
	}
	return out
}

// either matches what one of the expressions matches.
func either(all []string) *regexp.Regexp {
	return regexp.MustCompile("(?:" + strings.Join(all, ")|(?:") + ")")
}

// pathAllowed reports whether a file of this name is let pass whole.
func pathAllowed(all []*allowlist, name string) bool {
	for _, a := range all {
		if a.All && (len(a.Regexes) > 0 || len(a.StopWords) > 0) || len(a.Paths) == 0 {
			continue
		}
		if a.paths().MatchString(name) {
			return true
		}
	}
	return false
}

// matched is what an allow list looks at.
type matched struct{ name, secret, match, line []byte }

// allowed reports whether the match is let pass.
func allowed(all []*allowlist, m matched) bool {
	for _, a := range all {
		regex := len(a.Regexes) > 0 && a.regexes().Match(a.target(m))
		word := len(a.StopWords) > 0 && a.words().in(m.secret)
		if !a.All {
			if regex || word {
				return true
			}
			continue
		}
		if (len(a.Regexes) == 0 || regex) && (len(a.StopWords) == 0 || word) &&
			(len(a.Paths) == 0 || a.paths().Match(m.name)) {
			return true
		}
	}
	return false
}

func (a *allowlist) target(m matched) []byte {
	switch a.Target {
	case "match":
		return m.match
	case "line":
		return m.line
	default:
		return m.secret
	}
}
