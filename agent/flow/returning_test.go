package flow_test

import (
	"testing"
	"time"
)

// leftLocked has a device whose lift could not put the token back.
func leftLocked(t *testing.T) (*server, *machine, *agent) {
	t.Helper()
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.set(func() { m.locked = "token" })
	a := m.boot()
	s.until("a connection", connected)
	s.command(seal, "cut_1")
	s.until("a receipt", receipts(1))
	s.until("a fresh challenge", func(s *seen) bool { return len(s.challenges) == 2 })
	s.command(lift, "cut_1")
	s.until("a receipt of the lift", receipts(2))
	if r := s.seen.receipts[1]; r.GetKind() != lift || r.GetComplete() || r.GetPart() != 0 {
		t.Fatalf("receipt: %v", r)
	}
	if !m.has("credentials") || m.has("token") {
		t.Fatal("the lift put back what it could not, or not what it could")
	}
	return s, m, a
}

// tries counts how often a lift was carried out.
func (m *machine) tries() int { m.mu.Lock(); defer m.mu.Unlock(); return m.lifts }

func checkReturned(t *testing.T, s *server, m *machine, part uint32) {
	t.Helper()
	s.until("a receipt of the rest", receipts(int(part)+2))
	s.mu.Lock()
	r := s.seen.receipts[part+1]
	s.mu.Unlock()
	if r.GetKind() != lift || !r.GetComplete() || r.GetPart() != part || r.GetOrderId() != "ord_2" {
		t.Errorf("receipt: %v", r)
	}
	if !m.has("token") {
		t.Error("the rest is not back")
	}
}

func TestWhatALiftLeftGoesBackAtALogin(t *testing.T) {
	s, m, a := leftLocked(t)
	began := m.clock().Boot
	m.set(func() { m.locked = "" })
	a.flow.LoggedIn()
	m.eventually("the token is back", func() bool {
		m.passes(100 * time.Millisecond)
		return m.has("token")
	})
	if took := m.clock().Boot - began; took > 30*time.Second {
		t.Errorf("after %s, as by the clock", took)
	}
	checkReturned(t, s, m, 1)
	before := m.tries()
	a.flow.LoggedIn() // complete: nothing is tried any more
	for range 20 {
		m.passes(10 * time.Minute)
		pause()
	}
	if m.tries() != before {
		t.Error("a complete lift was tried again")
	}
}

func TestWhatALiftLeftIsTriedByTheClockLessAndLessAndAcrossRestarts(t *testing.T) {
	s, m, a := leftLocked(t)
	began := m.clock().Boot
	before := m.tries()
	m.eventually("six tries", func() bool {
		m.passes(5 * time.Second)
		return m.tries() >= before+6
	})
	if took := m.clock().Boot - began; took < 50*time.Minute {
		t.Errorf("six tries within %s", took)
	}
	a.stop()
	m.set(func() { m.locked = "" })
	m.reboots("boot-2", time.Minute)
	m.boot()
	checkReturned(t, s, m, 1)
}

func TestANewCutTakesThePlaceOfWhatALiftLeft(t *testing.T) {
	for _, cut := range []string{"cut_1", "cut_next"} {
		s, m, a := leftLocked(t)
		s.until("a fresh challenge", func(s *seen) bool { return len(s.challenges) == 3 })
		s.command(seal, cut)
		s.until("a receipt of the new cut", receipts(3))
		m.set(func() { m.locked = "" })
		a.stop()
		m.reboots("boot-2", time.Minute)
		a = m.boot() // the restart knows it too
		a.flow.LoggedIn()
		for range 40 {
			m.passes(time.Minute)
			pause()
		}
		if m.has("token") || m.has("credentials") {
			t.Errorf("%s: what an earlier cut's lift left went back under a new cut", cut)
		}
	}
}
