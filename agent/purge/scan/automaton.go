package scan

import "slices"

// automaton finds all words of a set in one pass over a text, whatever the case
// of its ASCII letters (Aho and Corasick, 1975), as a table of transitions over
// the classes of bytes that occur in words at all.
type automaton struct {
	class   [256]uint8
	classes int
	// next is the state after (state, class); 0 is the state in which nothing of
	// any word has been seen.
	next []uint16
	// ends are the words that end in a state.
	ends [][]uint16
}

// newAutomaton takes words in lower case, all of them not empty.
func newAutomaton(words []string) *automaton {
	a := &automaton{classes: 1}
	for _, w := range words {
		for i := range len(w) {
			if c := w[i]; a.class[c] == 0 {
				a.class[c] = uint8(a.classes)
				if 'a' <= c && c <= 'z' {
					a.class[c-'a'+'A'] = uint8(a.classes)
				}
				a.classes++
			}
		}
	}
	a.grow()
	for n, w := range words {
		state := 0
		for i := range len(w) {
			at := state*a.classes + int(a.class[w[i]])
			if a.next[at] == 0 {
				a.next[at] = uint16(len(a.ends))
				a.grow()
			}
			state = int(a.next[at])
		}
		a.ends[state] = append(a.ends[state], uint16(n))
	}
	a.link()
	return a
}

func (a *automaton) grow() {
	a.next = append(a.next, make([]uint16, a.classes)...)
	a.ends = append(a.ends, nil)
}

// link fills in, breadth first, where a state goes on when its own words do not.
func (a *automaton) link() {
	fail := make([]uint16, len(a.ends))
	var queue []uint16
	for c := range a.classes {
		if s := a.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		back := fail[s]
		a.ends[s] = slices.Concat(a.ends[s], a.ends[back])
		for c := range a.classes {
			to := &a.next[int(s)*a.classes+c]
			otherwise := a.next[int(back)*a.classes+c]
			if *to == 0 {
				*to = otherwise
				continue
			}
			fail[*to] = otherwise
			queue = append(queue, *to)
		}
	}
}

// each calls found for each word in text with the offset behind it, until found
// says false.
func (a *automaton) each(text []byte, found func(word, end int) bool) {
	state := uint(0)
	classes := uint(a.classes)
	for i, b := range text {
		state = uint(a.next[state*classes+uint(a.class[b])])
		for _, word := range a.ends[state] {
			if !found(int(word), i+1) {
				return
			}
		}
	}
}

// in reports whether any word is in text.
func (a *automaton) in(text []byte) bool {
	any := false
	a.each(text, func(int, int) bool { any = true; return false })
	return any
}
