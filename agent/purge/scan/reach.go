package scan

import (
	"bytes"
	"regexp/syntax"
	"slices"
	"strings"
)

// reach is how far around one of its keywords a rule's match may extend, read
// off the rule's expression.
type reach struct {
	// whole: a match need not hold a keyword, or no bound is known.
	whole bool
	// left and right are bytes before and behind the keyword's end.
	left, right int
	// line: right goes on to the end of the line; far: over lines.
	line, far bool
	// need, if any, are bytes of which one must come within right bytes of
	// within behind the keyword.
	need   *[256]bool
	within int
}

// Bounds of what has none.
const (
	maxLine = 4 << 10  // an unbounded repetition that a line's end ends
	maxFar  = 32 << 10 // one that goes over lines: a private key
	slack   = 8        // anchors look one character further
)

// window is the piece of the text that a match around a keyword is in.
func (r reach) window(text []byte, end int) span {
	if r.whole {
		return span{0, len(text)}
	}
	w := span{max(0, end-r.left), min(len(text), end+r.right)}
	switch {
	case r.far:
		w.to = min(len(text), w.to+maxFar)
	case r.line:
		rest := text[w.to:min(len(text), w.to+maxLine)]
		if n := bytes.IndexByte(rest, '\n'); n >= 0 {
			rest = rest[:n+1]
		}
		w.to += len(rest)
	}
	return w
}

// plausible is a quick look at what follows the keyword.
func (r reach) plausible(text []byte, end int) bool {
	if r.need == nil {
		return true
	}
	for _, b := range text[end:min(len(text), end+r.within)] {
		if r.need[b] {
			return true
		}
	}
	return false
}

// reachOf reads the reach off an expression: a row of parts, one of which is
// always one of few words that all hold a keyword.
func reachOf(expression string, keywords []string) reach {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return reach{whole: true}
	}
	return reachOfRow(row(parsed), keywords, 2)
}

// widest is the reach of a row whose part at is a choice, over all choices.
func widest(parts []*syntax.Regexp, at int, keywords []string, depth int) reach {
	var out reach
	for _, c := range bare(parts[at]).Sub {
		r := reachOfRow(slices.Concat(parts[:at], row(c), parts[at+1:]), keywords, depth)
		if r.whole {
			return r
		}
		out.left, out.right = max(out.left, r.left), max(out.right, r.right)
		out.line, out.far = out.line || r.line, out.far || r.far
	}
	return out
}

// reachOfRow looks at the parts of a row, and then, depth deep, into choices.
func reachOfRow(parts []*syntax.Regexp, keywords []string, depth int) reach {
	best := reach{whole: true}
	for i := range parts {
		words := []string{""}
		for j := i; j < len(parts) && j < i+12; j++ {
			next, ok := language(parts[j])
			if words = product(words, next); !ok || words == nil {
				break
			}
			if holdKeywords(words, keywords) {
				if r := around(parts, i, j); best.whole || r.left+r.right < best.left+best.right {
					best = r
				}
				break
			}
		}
	}
	for i, p := range parts {
		if best.whole && depth > 0 && bare(p).Op == syntax.OpAlternate {
			best = widest(parts, i, keywords, depth-1)
		}
	}
	return best
}

// around is the reach of a row whose parts i to j hold the keyword.
func around(parts []*syntax.Regexp, i, j int) reach {
	before, core, after := longest(parts[:i]), longest(parts[i:j+1]), longest(parts[j+1:])
	r := reach{left: before.n + core.n + slack, right: core.n + after.n + slack, line: after.line, far: after.far}
	if before.line || before.far {
		r.left += maxLine
	}
	r.need, r.within = follows(parts[j+1:])
	r.within += core.n
	return r
}

// follows are the bytes that the first part which is always there begins with,
// and how far behind they may come; nil where that says too little.
func follows(parts []*syntax.Regexp) (need *[256]bool, within int) {
	for _, p := range parts {
		m := longest([]*syntax.Regexp{p})
		if m.line || m.far {
			return nil, 0
		}
		within += m.n
		if shortest(p) == 0 {
			continue
		}
		set, ok := begins(p)
		if !ok {
			return nil, 0
		}
		return set, within
	}
	return nil, 0
}

// begins are the bytes that a part begins with, where they are few.
func begins(p *syntax.Regexp) (*[256]bool, bool) {
	words, ok := language(p)
	if !ok {
		return nil, false
	}
	var set [256]bool
	for _, w := range words {
		if w == "" {
			return nil, false
		}
		for _, b := range []byte(w[:1] + strings.ToUpper(w[:1])) {
			set[b] = true
		}
	}
	return &set, true
}

func holdKeywords(words, keywords []string) bool {
	for _, w := range words {
		if !slices.ContainsFunc(keywords, func(k string) bool { return strings.Contains(w, k) }) {
			return false
		}
	}
	return len(words) > 0
}

// bare takes capturing off.
func bare(r *syntax.Regexp) *syntax.Regexp {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	return r
}

// row is an expression as the parts that follow each other.
func row(r *syntax.Regexp) []*syntax.Regexp {
	if r = bare(r); r.Op != syntax.OpConcat {
		return []*syntax.Regexp{r}
	}
	var out []*syntax.Regexp
	for _, s := range r.Sub {
		out = append(out, row(s)...)
	}
	return out
}
