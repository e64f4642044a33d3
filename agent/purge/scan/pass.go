package scan

import "bytes"

// span is a piece of a text.
type span struct{ from, to int }

func (s span) touches(o span) bool { return s.from < o.to && o.from < s.to }

// pass is one look at one text. Windows of a rule come in the order of the text
// and grow together where they touch, so that no byte is tried twice.
type pass struct {
	scanner *Scanner
	name    string
	text    []byte
	only    []span
	open    map[int]*span
	denied  map[int]bool
	found   []candidate
}

// refused reports whether the rule says nothing about this file.
func (p *pass) refused(n int) bool {
	no, known := p.denied[n]
	if !known {
		no = !p.scanner.rules[n].ofPath(p.name)
		p.denied[n] = no
	}
	return no
}

// hit notes that a keyword of rule n ends at end.
func (p *pass) hit(n, end int) {
	r := p.scanner.rules[n].reach()
	if p.refused(n) || !r.plausible(p.text, end) {
		return
	}
	w := r.window(p.text, end)
	last := p.open[n]
	switch {
	case last == nil:
		p.open[n] = &w
	case w.from <= last.to:
		last.to = max(last.to, w.to)
	default:
		p.look(n, *last)
		*last = w
	}
}

// A window whose match touches its edge grows: there an anchor, or a repetition
// that was cut short, may have lied. It grows by twice as much each time, so that
// a text made to be slow costs no more than a few times its length.
const (
	widen    = 512
	mostWide = 64 << 10
)

// look tries rule n on a window.
func (p *pass) look(n int, w span) {
	r := p.scanner.rules[n]
	all := r.regex().FindAllIndex(p.text[w.from:w.to], -1)
	for by := widen; by <= mostWide && len(all) > 0; by *= 2 {
		from, to := w.from, w.to
		if all[0][0] == 0 {
			w.from = max(0, w.from-by)
		}
		if all[len(all)-1][1] == to-from {
			w.to = min(len(p.text), w.to+by)
		}
		if w.from == from && w.to == to {
			break
		}
		all = r.regex().FindAllIndex(p.text[w.from:w.to], -1)
	}
	for _, at := range all {
		p.judge(r, span{w.from + at[0], w.from + at[1]})
	}
}

// inlineAllow in a line says that its author knows.
var inlineAllow = []byte("gitleaks:allow")

// judge keeps a match that no allow list lets pass.
func (p *pass) judge(r *rule, at span) {
	if p.only != nil && !p.decoded(at) {
		return
	}
	match := bytes.Trim(p.text[at.from:at.to], "\n")
	from := bytes.LastIndexByte(p.text[:at.from], '\n') + 1
	line := p.text[from:]
	if end := bytes.IndexByte(p.text[min(len(p.text), at.from+len(match)):], '\n'); end >= 0 {
		line = p.text[from : at.from+len(match)+end]
	}
	if bytes.Contains(line, inlineAllow) {
		return
	}
	secret, ok := r.secret(match)
	m := matched{name: []byte(p.name), secret: secret, match: match, line: line}
	if !ok || allowed(p.scanner.allow, m) || allowed(r.allow, m) {
		return
	}
	p.found = append(p.found, candidate{rule: r, line: bytes.Count(p.text[:at.from], []byte("\n")) + 1, secret: secret})
}

func (p *pass) decoded(at span) bool {
	for _, s := range p.only {
		if s.touches(at) {
			return true
		}
	}
	return false
}
