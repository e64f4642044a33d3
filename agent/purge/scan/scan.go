// Package scan finds secrets in text: in code, configuration and notes, by the
// rules of gitleaks and many times faster. Each rule has keywords; one automaton
// finds them all in a single pass, and a rule's expression is tried only as far
// around its keyword as a match can reach. What it returns holds the secret's
// own bytes, so it belongs in the child of a home and nowhere else. It must not
// open files, and it removes nothing.
package scan

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
)

// Finding is one secret in a text.
type Finding struct {
	// Rule names what it is ("github-pat").
	Rule string
	// Line is where, from 1; 0: the file as such, by its name.
	Line int
	// Secret is the value itself, decoded if it was encoded.
	Secret []byte
	// Generated: a token that a machine made. Only such may be fingerprinted; a
	// password's fingerprint could be guessed from.
	Generated bool
}

// MaxText is the largest text that is looked at, in bytes.
const MaxText = 8 << 20

// Scanner finds secrets. It is safe for concurrent use; its expressions are
// compiled when they are first needed.
type Scanner struct {
	rules    []*rule
	allow    []*allowlist
	keywords *automaton
	// of are the rules of each keyword.
	of [][]int
	// always are rules without a keyword, byName those of file names alone.
	always, byName []int
}

// New reads the rules that the program carries.
func New() *Scanner {
	doc := embedded()
	s := &Scanner{allow: allowlists(doc.Allow)}
	index := map[string]int{}
	var words []string
	for n, r := range doc.Rules {
		made := newRule(r)
		s.rules = append(s.rules, made)
		switch {
		case r.Regex == "":
			s.byName = append(s.byName, n)
		case len(r.Keywords) == 0:
			s.always = append(s.always, n)
		}
		for _, k := range r.Keywords {
			at, known := index[k]
			if !known {
				at = len(words)
				index[k] = at
				words, s.of = append(words, k), append(s.of, nil)
			}
			s.of[at] = append(s.of[at], n)
		}
	}
	s.keywords = newAutomaton(words)
	return s
}

// Skips reports whether a file of this name holds no secrets by its kind:
// pictures, lock files, other people's code. name has forward slashes.
func (s *Scanner) Skips(name string) bool { return pathAllowed(s.allow, name) }

// Scan finds the secrets of one text; name is its file's, with forward slashes.
// What is longer than MaxText, or looks like no text, has none. An ended ctx
// ends it early with what was found.
func (s *Scanner) Scan(ctx context.Context, name string, text []byte) []Finding {
	if len(text) > MaxText || s.Skips(name) || bytes.IndexByte(text[:min(len(text), 8<<10)], 0) >= 0 {
		return nil
	}
	var out []Finding
	for _, n := range s.byName {
		if s.rules[n].ofPath(name) {
			out = append(out, Finding{Rule: s.rules[n].ID})
		}
	}
	all := s.pass(ctx, name, text, nil)
	for _, e := range decode(text, decodeDepth) {
		found := s.pass(ctx, name, e.text, e.decoded)
		first := bytes.Count(text[:e.at], []byte("\n"))
		for i := range found {
			found[i].line += first
		}
		all = append(all, found...)
	}
	for _, c := range better(all) {
		out = append(out, Finding{Rule: c.rule.ID, Line: c.line, Secret: c.secret, Generated: c.rule.generated()})
	}
	return out
}

// candidate is a match that no allow list let pass.
type candidate struct {
	rule   *rule
	line   int
	secret []byte
}

// pass looks for matches in a text once. only, if any, are the spans that a
// match must touch: what was decoded.
func (s *Scanner) pass(ctx context.Context, name string, text []byte, only []span) []candidate {
	p := &pass{scanner: s, name: name, text: text, only: only, open: map[int]*span{}, denied: map[int]bool{}}
	s.keywords.each(text, func(word, end int) bool {
		for _, n := range s.of[word] {
			p.hit(n, end)
		}
		return ctx.Err() == nil
	})
	for n, w := range p.open {
		p.look(n, *w)
	}
	for _, n := range s.always {
		if !p.refused(n) {
			p.look(n, span{0, len(text)})
		}
	}
	slices.SortStableFunc(p.found, func(a, b candidate) int { return cmp.Compare(a.line, b.line) })
	return p.found
}

// better drops what a general rule found where a specific one found as much.
func better(all []candidate) []candidate {
	return slices.DeleteFunc(slices.Clone(all), func(c candidate) bool {
		return strings.Contains(c.rule.ID, "generic") && slices.ContainsFunc(all, func(o candidate) bool {
			return o.line == c.line && o.rule != c.rule && !strings.Contains(o.rule.ID, "generic") && bytes.Contains(o.secret, c.secret)
		})
	})
}
