package lease

import "time"

// Extended are the terms of a lease that runs extra longer.
func (t Terms) Extended(extra time.Duration) Terms {
	t.Warn, t.Seal = sum(t.Warn, extra), sum(t.Seal, extra)
	return t
}

// Extend is how much longer than its own terms a lease runs with one more
// extension, of which add is the most it adds and end the latest end, counted
// from the lease's nonce like Mark.Elapsed. No wall clock is asked: one that is
// set back brings no ended extension back. What is no gain changes nothing.
func Extend(terms Terms, extra, add, end time.Duration) time.Duration {
	return max(extra, min(sum(extra, add), end-terms.Seal))
}

// Carry is what is left of extra beyond a new lease, when one of the terms was
// ran until elapsed: a lease that is renewed takes nothing from what was given.
func Carry(was Terms, extra, elapsed time.Duration, next Terms) time.Duration {
	if extra <= 0 {
		return 0
	}
	return max(0, was.Seal+extra-elapsed-next.Seal)
}

// Tries of codes: a few at once, then ever slower, and no more for this lease
// after the last: who cannot read a code to its end needs a file.
const (
	freeTries = 3
	mostTries = 20
	firstWait = 30 * time.Second
	mostWait  = time.Hour
)

// Tries says, after so many tries of which the last is since ago, how long to
// wait for the next; over: there is none.
func Tries(count int, since time.Duration) (wait time.Duration, over bool) {
	switch {
	case count >= mostTries:
		return 0, true
	case count < freeTries:
		return 0, false
	}
	return max(0, min(mostWait, firstWait<<min(count-freeTries, 10))-since), false
}
