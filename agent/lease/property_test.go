package lease_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"cutoff/agent/lease"
)

// world is a machine, its thief and the truth, which no clock of the machine's
// shows.
type world struct {
	random *rand.Rand
	honest bool // nobody sets a clock, breaks one, or copies a disk
	tpm    bool

	boots   int
	boot    time.Duration // since this boot
	rtc     time.Duration // what the wall clock is away from the truth
	truth   time.Duration // since the grant
	running time.Duration // of that, with this agent's system running or asleep
	forward time.Duration // by how much the wall clock was set ahead, in all
	charged time.Duration // what boots may cost beside time
	powered time.Duration // the TPM's clock
	counter uint64
	resets  uint32
	alive   bool // the agent runs

	terms lease.Terms
	mark  lease.Mark // the agent's
	disk  []byte     // what it kept last
	kept  time.Duration
	state lease.State
}

func (w *world) reading() lease.Reading {
	r := lease.Reading{Boot: w.boot, BootID: fmt.Sprint(w.boots), Wall: noon.Add(w.truth + w.rtc)}
	if w.tpm {
		r.Witness = lease.Witness{Counter: w.counter, Resets: w.resets, Clock: w.powered, At: w.boot}
	}
	return r
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// passes lets the machine run or sleep; asleep, a TPM may have no power.
func (w *world) passes(d time.Duration, asleep bool) {
	w.truth, w.boot, w.running = w.truth+d, w.boot+d, w.running+d
	if !asleep {
		w.powered += d
	}
}

// keeps writes the mark, as flow does once an interval and at each change.
func (w *world) keeps(t *testing.T, clean bool) {
	m := w.mark
	m.Clean = clean
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.disk, w.kept = raw, w.truth
}

// looks is what flow does whenever it wakes up.
func (w *world) looks(t *testing.T) {
	t.Helper()
	before := w.mark
	w.mark = w.mark.Advance(w.reading(), w.terms.BootToll)
	if w.mark.Elapsed < before.Elapsed {
		t.Fatalf("elapsed fell from %v to %v", before.Elapsed, w.mark.Elapsed)
	}
	state, wait := lease.Judge(w.terms, w.mark)
	if state < w.state {
		t.Fatalf("%v became %v without a grant", w.state, state)
	}
	if state == lease.Expired != (wait == 0) || wait < 0 {
		t.Fatalf("%v with %v to wait", state, wait)
	}
	if state != w.state {
		w.state = state
		w.keeps(t, false)
	}
	w.holds(t)
}

// holds is what must be true after each look.
func (w *world) holds(t *testing.T) {
	t.Helper()
	if w.mark.Elapsed < w.running {
		t.Fatalf("%v of running and suspended time do not count: elapsed %v", w.running-w.mark.Elapsed, w.mark.Elapsed)
	}
	if most := w.truth + w.charged + w.forward; w.mark.Elapsed > most {
		t.Fatalf("elapsed %v is more than the truth allows, %v", w.mark.Elapsed, most)
	}
	if w.honest {
		if w.mark.Tampered() {
			t.Fatal("an honest machine is called tampered with")
		}
		if w.mark.Elapsed < w.truth {
			t.Fatalf("an honest clock shows %v and %v count", w.truth, w.mark.Elapsed)
		}
	}
}

// starts is a start of the agent: from what the disk holds.
func (w *world) starts(t *testing.T) {
	t.Helper()
	m, err := lease.Newest([][]byte{w.disk})
	if err != nil {
		t.Fatal(err)
	}
	if m.PutBack(w.reading().Witness) {
		t.Fatal("the newest mark is called an old one")
	}
	before := w.mark.Elapsed
	if w.tpm && m.Before(w.reading()) {
		w.counter++
	}
	w.mark, w.alive = m, true
	w.looks(t)
	if w.mark.Elapsed < before {
		t.Fatalf("elapsed fell from %v to %v over a restart", before, w.mark.Elapsed)
	}
}

// boots again after off; the thief may set the clock and run other systems.
func (w *world) reboots(t *testing.T, clean bool) {
	t.Helper()
	if w.alive {
		w.looks(t)
		if clean {
			w.keeps(t, true)
		}
	}
	off := w.upTo(30 * time.Hour)
	w.truth += off
	elsewhere := w.random.Int64N(3)
	w.powered += time.Duration(elsewhere) * min(off, time.Hour) / 3
	w.resets += uint32(elsewhere) + 1
	w.charged += lease.Interval + w.terms.BootToll*time.Duration(elsewhere+1)
	if !w.honest {
		was := w.rtc
		switch w.random.IntN(4) {
		case 0:
			w.rtc -= w.upTo(3000 * time.Hour)
		case 1:
			w.rtc += w.upTo(30 * time.Hour)
		case 2: // dead: 1970
			w.rtc = -noon.Sub(time.Unix(0, 0)) - w.truth
		}
		w.forward += max(0, w.rtc-was)
		if w.tpm && !clean {
			w.powered -= min(w.powered, w.upTo(time.Second)) // what was not saved
		}
	}
	w.boots, w.boot, w.alive = w.boots+1, 0, false
	w.passes(w.upTo(time.Minute), false)
}

// step is one event. A running agent never goes longer than an interval without
// keeping its mark.
func (w *world) step(t *testing.T) {
	t.Helper()
	if !w.alive {
		switch w.random.IntN(4) {
		case 0: // no service: nothing is seen, the time runs
			w.passes(w.upTo(time.Hour), w.random.IntN(2) == 0)
		default:
			w.starts(t)
			w.keeps(t, false)
		}
		return
	}
	switch w.random.IntN(10) {
	case 0, 1, 2, 3:
		w.passes(w.upTo(lease.Interval-(w.truth-w.kept)%lease.Interval), false)
		w.looks(t)
		if w.truth-w.kept >= lease.Interval/2 {
			w.keeps(t, false)
		}
	case 4: // sleeps; awake, it looks and keeps
		w.passes(w.upTo(10*time.Hour), true)
		w.looks(t)
		w.keeps(t, false)
	case 5:
		if !w.honest { // sets the clock of a running machine
			set := w.upTo(200*time.Hour) - 100*time.Hour
			w.rtc += set
			w.forward += max(0, set) // cut the power before the next mark, and it was ahead at a boot
		}
		w.looks(t)
	case 6: // killed: in the same boot nothing is lost, however old the mark
		w.alive = false
	case 7:
		w.looks(t)
		w.keeps(t, true)
		w.alive = false
	case 8:
		w.reboots(t, true)
	case 9:
		w.reboots(t, false)
	}
}

// TestPropertyElapsedTimeNeverFallsAndStaysNearTheTruth plays random lives.
func TestPropertyElapsedTimeNeverFallsAndStaysNearTheTruth(t *testing.T) {
	events := 20_000
	if os.Getenv("CUTOFF_HEAVY") != "" {
		events = 1_000_000
	}
	const life = 200
	for seed := range uint64(events / life) {
		w := &world{
			random: rand.New(rand.NewPCG(seed, 1)), honest: seed%3 == 0, tpm: seed%2 == 0, counter: 1, resets: 1, alive: true,
			terms: lease.Terms{Warn: 500 * time.Hour, Seal: 800 * time.Hour, ReportOnly: seed%5 != 0}, state: lease.Trusting,
		}
		if seed%4 == 0 {
			w.terms.BootToll = time.Hour
		}
		now := w.reading()
		w.mark = lease.Start(seed+1, now, now)
		w.keeps(t, false)
		for range life {
			w.step(t)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}
