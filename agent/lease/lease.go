// Package lease judges for how long this device may go on trusting itself: a
// pure function of the lease, the clocks' readings and the highest elapsed time
// ever seen. Time runs while the machine runs or sleeps; across boots it runs
// as far as the wall clock or a TPM shows, and it never runs back. It must not
// read a clock, a file or a signature.
package lease

import (
	"time"
)

// State is what a lease allows.
type State int

// States. The zero value is no lease: nothing was granted that could run out.
const (
	None State = iota
	Trusting
	Warn
	Expired
)

// String is the state in words, as status prints it.
func (s State) String() string {
	switch s {
	case Trusting:
		return "trusting"
	case Warn:
		return "warn"
	case Expired:
		return "expired"
	default:
		return "none"
	}
}

// Terms are the deadlines of a lease, counted from its nonce, and what else the
// group chose. The zero value has run out.
type Terms struct {
	Warn time.Duration
	Seal time.Duration
	// BootToll is charged for each boot since the grant.
	BootToll time.Duration
	// ReportOnly: tampering is told and does not end the lease.
	ReportOnly bool
}

// Judge says what the terms allow at the mark, and how long until that changes;
// wait is 0 once expired.
func Judge(terms Terms, m Mark) (state State, wait time.Duration) {
	switch {
	case terms.Seal <= 0 || m.Elapsed >= terms.Seal:
		return Expired, 0
	case m.Tampered() && !terms.ReportOnly:
		return Expired, 0
	case m.Elapsed >= terms.Warn:
		return Warn, terms.Seal - m.Elapsed
	default:
		return Trusting, terms.Warn - m.Elapsed
	}
}

// Before the seal the user is told again when so much is left.
var lastCalls = []time.Duration{time.Hour, 10 * time.Minute, time.Minute}

// Calls says how many of a lease's warnings are due after elapsed, and how long
// until the next one; 0 when there is none. The first is at Warn; a lease too
// short for the others has one more half way to the seal.
func Calls(terms Terms, elapsed time.Duration) (calls int, wait time.Duration) {
	at := []time.Duration{terms.Warn}
	for _, left := range lastCalls {
		if terms.Seal-left > terms.Warn {
			at = append(at, terms.Seal-left)
		}
	}
	if len(at) == 1 {
		at = append(at, terms.Warn+(terms.Seal-terms.Warn)/2)
	}
	for _, due := range at {
		if elapsed < due {
			return calls, due - elapsed
		}
		calls++
	}
	return calls, 0
}
