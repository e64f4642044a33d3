package flow_test

import (
	"testing"
	"time"
)

func TestALoginAndATouchBringASweepWithinSeconds(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	a := m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("a receipt", receipts(1))
	for what, tell := range map[string]func(){"a login": a.flow.LoggedIn, "a touch": a.flow.Touched} {
		m.write("credentials")
		began := m.clock().Boot
		tell()
		m.eventually("a sweep for "+what, func() bool {
			m.passes(100 * time.Millisecond)
			return !m.has("credentials")
		})
		if took := m.clock().Boot - began; took > 30*time.Second {
			t.Errorf("%s: the sweep came after %s, as one by the clock", what, took)
		}
	}
}

func TestAFolderThatIsOnlyBusyIsLookedAtLessAndLess(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	a := m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("a receipt", receipts(1))
	began := m.clock().Boot
	sweeps := func() int { m.mu.Lock(); defer m.mu.Unlock(); return m.runs }
	before := sweeps()
	m.eventually("five sweeps", func() bool {
		a.flow.Touched()
		m.passes(100 * time.Millisecond)
		return sweeps() >= before+6
	})
	if took := m.clock().Boot - began; took < 15*time.Second {
		t.Errorf("six sweeps that found nothing within %s", took)
	}
}

func TestWhatMayCutTheNetworkWaitsForTheReceiptToBeHandedOver(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.set(func() { m.later = true })
	m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("a receipt", receipts(1))
	ran := func(n int) func() bool { return func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.runs == n } }
	m.eventually("the rest, at once", ran(2))
}

func TestWithoutAServerWhatMayCutTheNetworkWaitsForABoundedTime(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.set(func() { m.later, m.hold = true, make(chan struct{}) })
	m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("the order received", func(s *seen) bool { return len(s.received) == 1 })
	s.grpc.Stop()
	m.set(func() { close(m.hold) })
	began := m.clock().Boot
	m.eventually("the rest", func() bool {
		m.passes(100 * time.Millisecond)
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.runs >= 2
	})
	if took := m.clock().Boot - began; took < 15*time.Second {
		t.Errorf("after %s, with no receipt handed over", took)
	}
}
