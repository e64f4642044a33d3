package lease_test

import (
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
		{"after a boot with the clock turned back the uptime counts and it is marked",
			[]lease.Reading{at("two", 1*h, -48*h)}, 1 * h, true},
		{"a clock a minute slow after a boot is no tampering", []lease.Reading{at("two", time.Minute, -time.Minute)}, time.Minute, false},
		{"clock turned back over several boots never lowers it", []lease.Reading{
			at("one", 12*h, 2*h), at("two", 1*h, -48*h), at("three", 1*h, -48*h)}, 4 * h, true},
		{"time off after the clock was set back counts from where it was set", []lease.Reading{
			at("one", 11*h, -48*h), at("two", 0, -40*h)}, 9 * h, false},
		{"a boot clock that ran back within a boot is another boot", []lease.Reading{at("one", 1*h, 3*h)}, 3 * h, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := start
			for _, r := range c.readings {
				next := m.Advance(r)
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
		if state, wait := lease.Judge(terms, c.elapsed); state != c.state || wait != c.wait {
			t.Errorf("after %v: got %v, %v; want %v, %v", c.elapsed, state, wait, c.state, c.wait)
		}
	}
	if state, _ := lease.Judge(lease.Terms{}, 0); state != lease.Expired {
		t.Errorf("empty terms are %v, want expired", state)
	}
}

func TestAMarkSurvivesTheDiskAndADamagedOneDoesNot(t *testing.T) {
	m := lease.Start(7, at("one", time.Hour, 0), at("one", 2*time.Hour, time.Hour))
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := lease.Decode(raw)
	if err != nil || got != m {
		t.Fatalf("got %+v, %v; want %+v", got, err, m)
	}
	for _, bad := range []string{"", "{}", "null", `{"lease":1,"elapsed_ns":-1,"wall":"2026-11-23T12:00:00Z"}`, string(raw[:len(raw)/2])} {
		if _, err := lease.Decode([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
