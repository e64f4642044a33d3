package lease_test

import (
	"strings"
	"testing"
	"time"

	"cutoff/agent/lease"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(bootID string, boot, wall time.Duration) lease.Reading {
	return lease.Reading{Boot: boot, BootID: bootID, Wall: noon.Add(wall)}
}

func TestElapsedTimeByTheClocksReadings(t *testing.T) {
	const h = time.Hour
	start := lease.Start(1, at("one", 10*h, 0), at("one", 10*h, 0))
	cases := []struct {
		name     string
		readings []lease.Reading
		elapsed  time.Duration
		below    bool
	}{
		{"running and sleeping count by the boot clock", []lease.Reading{at("one", 12*h, 2*h)}, 2 * h, false},
		{"a wall clock set back while running changes nothing", []lease.Reading{at("one", 12*h, -24*h)}, 2 * h, false},
		{"a wall clock set forward while running changes nothing", []lease.Reading{at("one", 12*h, 900*h)}, 2 * h, false},
		{"time switched off counts by the wall clock", []lease.Reading{at("two", time.Minute, 5*h)}, 5 * h, false},
		{"a wall clock of the year 3000 is no earlier than any", []lease.Reading{at("two", 1, 1<<63-1), at("three", 1, 1<<63-1)}, 1<<63 - 1, false},
		{"after a boot with the clock turned back the uptime counts and it is marked",
			[]lease.Reading{at("two", 1*h, -48*h)}, 1*h + lease.Interval, true},
		{"a clock a minute slow after a boot is no tampering", []lease.Reading{at("two", 30*time.Second, -time.Minute)}, 90 * time.Second, false},
		{"a clock that shows less than the uptime was turned back", []lease.Reading{at("two", h, 30*time.Minute)}, 61 * time.Minute, true},
		{"clock turned back over several boots never lowers it", []lease.Reading{
			at("one", 12*h, 2*h), at("two", 1*h, -48*h), at("three", 1*h, -48*h)}, 4*h + 2*lease.Interval, true},
		{"time off after the clock was set back counts from where it was set", []lease.Reading{
			at("one", 11*h, -48*h), at("two", 0, -40*h)}, 9 * h, false},
		{"a boot clock that ran back within a boot is another boot", []lease.Reading{at("one", 1*h, 3*h)}, 3 * h, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := start
			for _, r := range c.readings {
				next := m.Advance(r, 0)
				if next.Elapsed < m.Elapsed {
					t.Fatalf("elapsed fell from %v to %v", m.Elapsed, next.Elapsed)
				}
				m = next
			}
			if m.Elapsed != c.elapsed || m.Below != c.below {
				t.Errorf("got %v, below %v; want %v, below %v", m.Elapsed, m.Below, c.elapsed, c.below)
			}
		})
	}
}

func TestALeaseCountsFromTheNonceNotFromTheAnswer(t *testing.T) {
	m := lease.Start(1, at("one", time.Hour, 0), at("one", time.Hour+40*time.Second, 0))
	if m.Elapsed != 40*time.Second {
		t.Errorf("got %v, want 40s", m.Elapsed)
	}
}

func TestJudgeAtEachDeadline(t *testing.T) {
	terms := lease.Terms{Warn: 2 * time.Hour, Seal: 3 * time.Hour}
	cases := []struct {
		elapsed time.Duration
		state   lease.State
		wait    time.Duration
	}{
		{0, lease.Trusting, 2 * time.Hour},
		{2*time.Hour - 1, lease.Trusting, 1},
		{2 * time.Hour, lease.Warn, time.Hour},
		{3*time.Hour - 1, lease.Warn, 1},
		{3 * time.Hour, lease.Expired, 0},
		{300 * time.Hour, lease.Expired, 0},
	}
	for _, c := range cases {
		if state, wait := lease.Judge(terms, lease.Mark{Elapsed: c.elapsed}); state != c.state || wait != c.wait {
			t.Errorf("after %v: got %v, %v; want %v, %v", c.elapsed, state, wait, c.state, c.wait)
		}
	}
	if state, _ := lease.Judge(lease.Terms{}, lease.Mark{}); state != lease.Expired {
		t.Errorf("empty terms are %v, want expired", state)
	}
}

func TestAMarkSurvivesTheDiskAndADamagedOneDoesNot(t *testing.T) {
	m := lease.Start(7, at("one", time.Hour, 0), at("one", 2*time.Hour, time.Hour))
	m.Clean, m.Below, m.Lost, m.Raising = true, true, true, true
	m.Last.Witness = lease.Witness{Counter: 3, Resets: 4, Clock: time.Hour, At: time.Minute}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := lease.Decode(raw)
	if err != nil || got != m {
		t.Fatalf("got %+v, %v; want %+v", got, err, m)
	}
	kept := string(raw)
	for _, bad := range []string{"", "\n", "{}", "null\n", kept[:len(kept)/2], kept[:len(kept)-1], strings.Replace(kept, `"lease":7`, `"lease":8`, 1)} {
		if _, err := lease.Decode([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestOfTwoCopiesTheOneThatWentFurtherCounts(t *testing.T) {
	encode := func(m lease.Mark) []byte {
		raw, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	m := lease.Start(7, at("one", time.Hour, 0), at("one", 2*time.Hour, time.Hour))
	later := m.Advance(at("one", 3*time.Hour, 0), 0)
	renewed := lease.Start(8, at("one", 3*time.Hour, 0), at("one", 3*time.Hour, 0))
	half := encode(later)[:40]
	for name, c := range map[string]struct {
		copies [][]byte
		want   lease.Mark
	}{
		"the second is older":      {[][]byte{encode(later), encode(m)}, later},
		"the first is older":       {[][]byte{encode(m), encode(later)}, later},
		"one is half written":      {[][]byte{half, encode(m)}, m},
		"one is of an older lease": {[][]byte{encode(renewed), encode(later)}, renewed},
	} {
		if got, err := lease.Newest(c.copies); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	if _, err := lease.Newest([][]byte{half, nil}); err == nil {
		t.Error("two damaged copies were read")
	}
}

func TestWhatABootCosts(t *testing.T) {
	const h = time.Hour
	start := lease.Start(1, at("one", h, 0), at("one", h, 0))
	clean := start
	clean.Clean = true
	cases := []struct {
		name string
		from lease.Mark
		toll time.Duration
		want time.Duration
	}{
		{"an orderly stop costs the uptime", clean, 0, time.Minute},
		{"the power cut costs an interval more", start, 0, 2 * time.Minute},
		{"a toll is charged beside it", clean, 30 * time.Minute, 31 * time.Minute},
	}
	for _, c := range cases {
		if got := c.from.Advance(at("two", time.Minute, time.Minute), c.toll).Elapsed; got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhatATPMWitnesses(t *testing.T) {
	const h = time.Hour
	with := func(r lease.Reading, w lease.Witness) lease.Reading { r.Witness = w; return r }
	m := lease.Start(1, at("one", 5*h, 0), with(at("one", 5*h, 0), lease.Witness{Counter: 7, Resets: 20, Clock: 100 * h, At: 4 * h}))
	cases := []struct {
		name          string
		now           lease.Witness
		toll, elapsed time.Duration
		lost, putBack bool
	}{
		{"power that another system used counts", lease.Witness{Counter: 7, Resets: 21, Clock: 110 * h}, 0, 9 * h, false, false},
		{"each boot it saw costs the toll", lease.Witness{Counter: 7, Resets: 25, Clock: 101 * h}, h, 5*h + time.Minute, false, false},
		{"a clock that fell a little at a loss of power takes nothing away", lease.Witness{Counter: 7, Resets: 21, Clock: 99 * h}, 0, time.Minute, false, false},
		{"one that is gone is tampering", lease.Witness{}, 0, time.Minute, true, false},
		{"a counter that went on without us says that the disk was put back", lease.Witness{Counter: 9, Resets: 21, Clock: 101 * h}, 0, time.Minute, false, true},
		{"a counter that fell is another machine's", lease.Witness{Counter: 6, Resets: 21, Clock: 101 * h}, 0, time.Minute, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := m.Advance(with(at("two", 0, 0), c.now), c.toll)
			if got.Elapsed != c.elapsed || got.Lost != c.lost || got.Tampered() != c.lost || m.PutBack(c.now) != c.putBack {
				t.Errorf("got %v, lost %v, put back %v", got.Elapsed, got.Lost, m.PutBack(c.now))
			}
		})
	}
	gone := m.Advance(at("one", 6*h, h), 0)
	if gone.Last.Witness != m.Last.Witness || gone.Lost {
		t.Error("a witness that could not be asked was forgotten within a boot")
	}
	raising := m
	raising.Raising = true
	if raising.PutBack(lease.Witness{Counter: 8}) || !raising.PutBack(lease.Witness{Counter: 9}) {
		t.Error("a power cut while the counter was raised is no rollback, two raises are")
	}
}

func TestTamperingEndsALeaseUnlessTheGroupOnlyWantsToHear(t *testing.T) {
	below := lease.Mark{Below: true}
	terms := lease.Terms{Warn: time.Hour, Seal: 2 * time.Hour}
	if state, _ := lease.Judge(terms, below); state != lease.Expired {
		t.Errorf("got %v", state)
	}
	terms.ReportOnly = true
	if state, _ := lease.Judge(terms, below); state != lease.Trusting {
		t.Errorf("report only: got %v", state)
	}
}

func TestTheUserIsCalledAtTheWarningAndBeforeTheSeal(t *testing.T) {
	const h = time.Hour
	long, short := lease.Terms{Warn: 48 * h, Seal: 72 * h}, lease.Terms{Warn: 2 * time.Second, Seal: 6 * time.Second}
	cases := []struct {
		terms   lease.Terms
		elapsed time.Duration
		calls   int
		wait    time.Duration
	}{
		{long, 0, 0, 48 * h}, {long, 48 * h, 1, 23 * h}, {long, 71 * h, 2, 50 * time.Minute},
		{long, 71*h + 50*time.Minute, 3, 9 * time.Minute}, {long, 71*h + 59*time.Minute, 4, 0},
		{short, 0, 0, 2 * time.Second}, {short, 2 * time.Second, 1, 2 * time.Second}, {short, 4 * time.Second, 2, 0},
	}
	for _, c := range cases {
		if calls, wait := lease.Calls(c.terms, c.elapsed); calls != c.calls || wait != c.wait {
			t.Errorf("%v after %v: got %d, %v; want %d, %v", c.terms, c.elapsed, calls, wait, c.calls, c.wait)
		}
	}
}
