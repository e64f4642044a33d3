// Package lease judges for how long this device may go on trusting itself: a
// pure function of the lease, the clocks' readings and the highest elapsed time
// ever seen. Time runs while the machine runs or sleeps; across boots it runs
// as far as the wall clock shows, and it never runs back. It must not read a
// clock, a file or a signature.
package lease

import (
	"encoding/json"
	"errors"
	"fmt"
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

// Reading is one look at the clocks.
type Reading struct {
	// Boot is the boot clock, of the boot named BootID.
	Boot   time.Duration
	BootID string
	// Wall is the wall clock, which anyone may have set.
	Wall time.Time
}

// Mark is the high-water mark: how much of the lease was gone when the clocks
// were last read. It is kept on disk.
type Mark struct {
	// Lease is the number of the lease it belongs to.
	Lease uint64
	// Elapsed is the time since the lease's nonce was sent.
	Elapsed time.Duration
	// Last is the reading at which Elapsed was right.
	Last Reading
	// Below is set when the wall clock stood below the mark after a boot.
	Below bool
}

// Start is the mark of a lease whose nonce was sent at sent and which is taken
// at now, both of this boot.
func Start(number uint64, sent, now Reading) Mark {
	return Mark{Lease: number, Elapsed: max(0, now.Boot-sent.Boot), Last: now}
}

// clockSlack is how far the wall clock may stand below the mark after a boot
// without having been turned back: time daemons step it by less.
const clockSlack = 2 * time.Minute

// Advance returns the mark at now. Elapsed never falls.
func (m Mark) Advance(now Reading) Mark {
	next := m
	next.Last = now
	if now.BootID == m.Last.BootID && now.Boot >= m.Last.Boot {
		// The wall clock may have been set meanwhile: it is followed, so that
		// what it shows across the next boot is measured from where it stood.
		next.Elapsed += now.Boot - m.Last.Boot
		return next
	}
	// Another boot: it has run for now.Boot, and was off as long as the wall
	// clock can show.
	away := now.Wall.Sub(m.Last.Wall)
	if away < now.Boot {
		next.Below = next.Below || away < -clockSlack
		away = now.Boot
	}
	next.Elapsed += away
	return next
}

// Terms are the deadlines of a lease, counted from its nonce.
type Terms struct {
	Warn time.Duration
	Seal time.Duration
}

// Judge says what the terms allow after elapsed, and how long until that
// changes; wait is 0 once expired.
func Judge(terms Terms, elapsed time.Duration) (state State, wait time.Duration) {
	switch {
	case terms.Seal <= 0 || elapsed >= terms.Seal:
		return Expired, 0
	case elapsed >= terms.Warn:
		return Warn, terms.Seal - elapsed
	default:
		return Trusting, terms.Warn - elapsed
	}
}

// errMark says that a mark cannot be read.
var errMark = errors.New("mark is damaged")

// mark is a Mark on disk.
type mark struct {
	Lease   uint64    `json:"lease"`
	Elapsed int64     `json:"elapsed_ns"`
	Boot    int64     `json:"boot_ns"`
	BootID  string    `json:"boot_id"`
	Wall    time.Time `json:"wall"`
	Below   bool      `json:"below,omitempty"`
}

// Encode is the mark as it is kept.
func (m Mark) Encode() ([]byte, error) {
	return json.Marshal(mark{
		Lease: m.Lease, Elapsed: int64(m.Elapsed), Boot: int64(m.Last.Boot), BootID: m.Last.BootID,
		Wall: m.Last.Wall.UTC(), Below: m.Below,
	})
}

// Decode reads a kept mark.
func Decode(raw []byte) (Mark, error) {
	var k mark
	if err := json.Unmarshal(raw, &k); err != nil {
		return Mark{}, fmt.Errorf("%w: %w", errMark, err)
	}
	if k.Lease == 0 || k.Elapsed < 0 || k.Boot < 0 || k.Wall.IsZero() {
		return Mark{}, errMark
	}
	return Mark{
		Lease: k.Lease, Elapsed: time.Duration(k.Elapsed), Below: k.Below,
		Last: Reading{Boot: time.Duration(k.Boot), BootID: k.BootID, Wall: k.Wall},
	}, nil
}
