package scan

import (
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mostWords bounds a part's words.
const mostWords = 512

// language lists all that a part can match, in lower case, where that is
// little.
func language(r *syntax.Regexp) ([]string, bool) {
	switch r.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{strings.ToLower(string(r.Rune))}, true
	case syntax.OpCharClass:
		return classWords(r)
	case syntax.OpCapture:
		return language(r.Sub[0])
	case syntax.OpQuest:
		words, ok := language(r.Sub[0])
		return append([]string{""}, words...), ok
	case syntax.OpRepeat:
		return repeated(r)
	case syntax.OpAlternate:
		var out []string
		for _, s := range r.Sub {
			words, ok := language(s)
			if out = append(out, words...); !ok || len(out) > mostWords {
				return nil, false
			}
		}
		return out, true
	case syntax.OpConcat:
		out := []string{""}
		for _, s := range r.Sub {
			words, ok := language(s)
			if out = product(out, words); !ok || out == nil {
				return nil, false
			}
		}
		return out, true
	}
	return nil, false
}

// repeated lists what a short repetition can match.
func repeated(r *syntax.Regexp) ([]string, bool) {
	words, ok := language(r.Sub[0])
	if !ok || r.Max < 0 || r.Max > 4 {
		return nil, false
	}
	var out []string
	row := []string{""}
	for n := 0; n <= r.Max; n++ {
		if n >= r.Min {
			out = append(out, row...)
		}
		if row = product(row, words); row == nil || len(out) > mostWords {
			return nil, false
		}
	}
	return out, true
}

func classWords(r *syntax.Regexp) ([]string, bool) {
	var out []string
	for i := 0; i+1 < len(r.Rune); i += 2 {
		if r.Rune[i+1]-r.Rune[i] > 64 {
			return nil, false
		}
		for c := r.Rune[i]; c <= r.Rune[i+1]; c++ {
			out = append(out, strings.ToLower(string(c)))
		}
	}
	return out, len(out) <= 80
}

// product joins each word of a with each of b; nil: too many.
func product(a, b []string) []string {
	if len(a)*len(b) > mostWords {
		return nil
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return out
}

// measure is how long a match can be: n bytes, and more where a repetition has
// no end: up to a line's end, or over lines.
type measure struct {
	n         int
	line, far bool
}

func longest(parts []*syntax.Regexp) measure {
	var all measure
	for _, p := range parts {
		m := longestOf(p)
		all = measure{all.n + m.n, all.line || m.line, all.far || m.far}
	}
	return all
}

func longestOf(r *syntax.Regexp) measure {
	switch r.Op {
	case syntax.OpLiteral:
		return measure{n: len(string(r.Rune))}
	case syntax.OpCharClass:
		return measure{n: widthOf(r)}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return measure{n: utf8.UTFMax}
	case syntax.OpCapture, syntax.OpQuest, syntax.OpConcat:
		return longest(r.Sub)
	case syntax.OpAlternate:
		var most measure
		for _, s := range r.Sub {
			m := longestOf(s)
			most = measure{max(most.n, m.n), most.line || m.line, most.far || m.far}
		}
		return most
	case syntax.OpStar, syntax.OpPlus:
		return endless(r.Sub[0], 1)
	case syntax.OpRepeat:
		if r.Max < 0 {
			return endless(r.Sub[0], r.Min)
		}
		m := longestOf(r.Sub[0])
		m.n *= r.Max
		return m
	}
	return measure{}
}

// endless is a repetition without an end.
func endless(r *syntax.Regexp, least int) measure {
	m := longestOf(r)
	m.n *= least
	if holdsNewline(r) {
		m.far = true
	} else {
		m.line = true
	}
	return m
}

func holdsNewline(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpAnyChar:
		return true
	case syntax.OpLiteral:
		return strings.ContainsRune(string(r.Rune), '\n')
	case syntax.OpCharClass:
		for i := 0; i+1 < len(r.Rune); i += 2 {
			if r.Rune[i] <= '\n' && '\n' <= r.Rune[i+1] {
				return true
			}
		}
	}
	for _, s := range r.Sub {
		if holdsNewline(s) {
			return true
		}
	}
	return false
}

// widthOf is the most bytes of a class's character. The two characters beyond
// ASCII that fold to a letter of it are not what secrets are made of.
func widthOf(r *syntax.Regexp) int {
	for i := 0; i+1 < len(r.Rune); i += 2 {
		folded := r.Rune[i] == r.Rune[i+1] && (r.Rune[i] == '\u017f' || r.Rune[i] == '\u212a')
		if r.Rune[i+1] > unicode.MaxASCII && !folded {
			return utf8.UTFMax
		}
	}
	return 1
}

// shortest is the least length of a match, in characters.
func shortest(r *syntax.Regexp) int {
	switch r.Op {
	case syntax.OpLiteral:
		return len(r.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return shortest(r.Sub[0])
	case syntax.OpRepeat:
		return r.Min * shortest(r.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, s := range r.Sub {
			n += shortest(s)
		}
		return n
	case syntax.OpAlternate:
		n := shortest(r.Sub[0])
		for _, s := range r.Sub[1:] {
			n = min(n, shortest(s))
		}
		return n
	}
	return 0
}
