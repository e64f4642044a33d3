package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// Reading is one look at the clocks.
type Reading struct {
	// Boot is the boot clock, of the boot named BootID.
	Boot   time.Duration
	BootID string
	// Wall is the wall clock, which anyone may have set.
	Wall time.Time
	// Witness is what a TPM says, if there is one.
	Witness Witness
}

// Witness is what a TPM saw. It knows no wall clock and counts nothing while
// the machine is off; but nobody turns it back.
type Witness struct {
	// Counter is raised at each boot of this agent's; 0: there is no witness.
	Counter uint64
	// Resets counts the machine's boots, whatever was booted.
	Resets uint32
	// Clock is how long the TPM has had power in its life, when the boot clock
	// read At. After a loss of power it may have fallen a little.
	Clock, At time.Duration
}

// Mark is the high-water mark: how much of the lease was gone when the clocks
// were last read. It is kept on disk.
type Mark struct {
	// Lease is the number of the lease it belongs to; of a standing grant's mark,
	// that of the last lease before it, or 0.
	Lease uint64
	// Elapsed is the time since the lease's nonce was sent.
	Elapsed time.Duration
	// Last is the reading at which Elapsed was right.
	Last Reading
	// Clean: it was written by an agent that was told to stop.
	Clean bool
	// Raising: the witness's counter was about to be raised by one.
	Raising bool
	// Below is set when the wall clock stood below the mark after a boot.
	Below bool
	// Lost is set when the witness was gone after a boot.
	Lost bool
}

// Start is the mark of a lease whose nonce was sent at sent and which is taken
// at now, both of this boot.
func Start(number uint64, sent, now Reading) Mark {
	return Mark{Lease: number, Elapsed: max(0, now.Boot-sent.Boot), Last: now}
}

const (
	// clockSlack is how far the wall clock may stand below the mark after a boot
	// without having been turned back: time daemons step it by less.
	clockSlack = 2 * time.Minute
	// Interval is how often a running agent keeps its mark, and what a boot is
	// charged after a mark that is not Clean: the agent ran on after it for up to
	// that long, or somebody cuts the power before each mark.
	Interval = time.Minute
	// mostBoots bounds how many boots are charged at once.
	mostBoots = 10_000
)

// Advance returns the mark at now; toll is what the group charges for a boot.
// Elapsed never falls.
func (m Mark) Advance(now Reading, toll time.Duration) Mark {
	next := m
	next.Last, next.Clean = now, false
	next.Raising = m.Raising && now.Witness.Counter == m.Last.Witness.Counter
	if !m.Before(now) {
		if now.Witness.Counter == 0 {
			next.Last.Witness = m.Last.Witness // it could not be asked: not forgotten
		}
		// The wall clock may have been set meanwhile: it is followed, so that
		// what it shows across the next boot is measured from where it stood.
		next.Elapsed = sum(m.Elapsed, now.Boot-m.Last.Boot)
		return next
	}
	// Another boot: it has run for now.Boot, and was off as long as the wall
	// clock can show.
	away := now.Wall.Sub(m.Last.Wall)
	next.Below = m.Below || away < now.Boot-clockSlack
	next.Lost = m.Lost || m.Last.Witness.Counter != 0 && now.Witness.Counter == 0
	least, boots := now.Boot, 1
	if !m.Clean {
		least = sum(least, Interval)
	}
	switch was := m.Last.Witness; {
	case was.Counter == 0:
	case now.Witness.Counter == 0:
		// It may come back, and must then stand where it stood; its clock has
		// nothing to compare with any more.
		next.Last.Witness = Witness{Counter: was.Counter, Resets: was.Resets}
	default:
		powered, resets := m.Last.witnessed(now)
		least, boots = max(least, powered), max(boots, resets)
	}
	next.Elapsed = sum(m.Elapsed, max(away, least))
	for range boots {
		next.Elapsed = sum(next.Elapsed, toll)
	}
	return next
}

// Before reports whether the mark is of an earlier boot than now.
func (m Mark) Before(now Reading) bool {
	return now.BootID != m.Last.BootID || now.Boot < m.Last.Boot
}

// witnessed is for how long at least the machine has had power from r to now,
// a later boot, and how often it was booted.
func (r Reading) witnessed(now Reading) (powered time.Duration, boots int) {
	// Of what the TPM counted since it was last asked, some went by before r.
	then := sum(r.Witness.Clock, max(0, r.Boot-r.Witness.At))
	at := sum(now.Witness.Clock, max(0, now.Boot-now.Witness.At))
	if now.Witness.Resets > r.Witness.Resets {
		boots = int(min(now.Witness.Resets-r.Witness.Resets, mostBoots))
	}
	if r.Witness.Clock == 0 {
		at = then
	}
	return max(0, at-then), boots
}

// sum adds durations that are not negative, and stops at the longest.
func sum(a, b time.Duration) time.Duration {
	if b = max(b, 0); a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Tampered reports whether somebody has had a hand in it.
func (m Mark) Tampered() bool { return m.Below || m.Lost }

// PutBack reports whether the mark is older than the witness says: the disk, or
// this agent's part of it, was restored from a copy.
func (m Mark) PutBack(now Witness) bool {
	was := m.Last.Witness.Counter
	return was != 0 && now.Counter != 0 && now.Counter != was && (!m.Raising || now.Counter != was+1)
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
	Clean   bool      `json:"clean,omitempty"`
	Below   bool      `json:"below,omitempty"`
	Lost    bool      `json:"lost,omitempty"`
	Raising bool      `json:"raising,omitempty"`
	Counter uint64    `json:"counter,omitempty"`
	Resets  uint32    `json:"resets,omitempty"`
	Powered int64     `json:"powered_ns,omitempty"`
	Asked   int64     `json:"asked_ns,omitempty"`
}

// castagnoli finds a mark that was half written; it guards against no one.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode is the mark as it is kept: a checksum, and the mark.
func (m Mark) Encode() ([]byte, error) {
	w := m.Last.Witness
	raw, err := json.Marshal(mark{
		Lease: m.Lease, Elapsed: int64(m.Elapsed), Boot: int64(m.Last.Boot), BootID: m.Last.BootID,
		Wall: m.Last.Wall.UTC(), Clean: m.Clean, Below: m.Below, Lost: m.Lost, Raising: m.Raising,
		Counter: w.Counter, Resets: w.Resets, Powered: int64(w.Clock), Asked: int64(w.At),
	})
	if err != nil {
		return nil, fmt.Errorf("encode mark: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(raw, castagnoli), raw), nil
}

// Decode reads a kept mark. What follows its line is not looked at.
func Decode(raw []byte) (Mark, error) {
	line, _, ended := bytes.Cut(raw, []byte("\n"))
	sum, text, found := bytes.Cut(line, []byte(" "))
	if !ended || !found || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return Mark{}, errMark
	}
	var k mark
	if err := json.Unmarshal(text, &k); err != nil {
		return Mark{}, fmt.Errorf("%w: %w", errMark, err)
	}
	if k.Elapsed < 0 || k.Boot < 0 || k.Wall.IsZero() || k.Powered < 0 || k.Asked < 0 {
		return Mark{}, errMark
	}
	return Mark{
		Lease: k.Lease, Elapsed: time.Duration(k.Elapsed), Clean: k.Clean, Raising: k.Raising,
		Below: k.Below, Lost: k.Lost,
		Last: Reading{
			Boot: time.Duration(k.Boot), BootID: k.BootID, Wall: k.Wall,
			Witness: Witness{Counter: k.Counter, Resets: k.Resets, Clock: time.Duration(k.Powered), At: time.Duration(k.Asked)},
		},
	}, nil
}

// Newest reads the copies of a mark and returns the one that went furthest: a
// crash leaves one of them older or damaged.
func Newest(copies [][]byte) (Mark, error) {
	newest, err := Mark{}, errMark
	for _, raw := range copies {
		m, damaged := Decode(raw)
		if damaged != nil {
			continue
		}
		if err != nil || m.after(newest) {
			newest, err = m, nil
		}
	}
	return newest, err
}

func (m Mark) after(other Mark) bool {
	switch {
	case m.Lease != other.Lease:
		return m.Lease > other.Lease
	case m.Last.Witness.Counter != other.Last.Witness.Counter:
		return m.Last.Witness.Counter > other.Last.Witness.Counter
	}
	return m.Elapsed > other.Elapsed
}
