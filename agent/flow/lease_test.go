package flow_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// leased is a machine that holds a lease and is off.
func leased(t *testing.T) (*server, *machine) {
	t.Helper()
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	a := m.boot()
	s.until("a connection", connected)
	m.eventually("the lease is kept", func() bool { _, err := m.state.Lease(); return err == nil })
	m.settled()
	a.stop()
	s.grpc.Stop()
	return s, m
}

// settled waits until the status says that a lease is held.
func (m *machine) settled() {
	m.t.Helper()
	m.eventually("the lease is in force", func() bool {
		raw, err := m.state.Status()
		_, none := m.state.Lease()
		return err == nil && none == nil && contains(raw, `"trust":"trusting"`)
	})
}

func contains(raw []byte, text string) bool { return bytes.Contains(raw, []byte(text)) }

func (m *machine) status() string { raw, _ := m.state.Status(); return string(raw) }

func TestADeviceSealsItselfWithoutANetworkWhenItsLeaseRunsOut(t *testing.T) {
	s, m := leased(t)
	m.boot()
	m.passes(time.Hour + time.Minute)
	m.eventually("the warning", func() bool { return contains([]byte(m.status()), `"trust":"warn"`) })
	if !m.has("credentials") {
		t.Fatal("sealed at the warning")
	}
	m.passes(time.Hour)
	m.eventually("the seal", func() bool { return !m.has("credentials") && m.has("credentials.sealed") })

	s.start(s.address, s.serverCertificate("/server"))
	s.until("its receipt", receipts(1))
	r := s.seen.receipts[0]
	if r.GetCause() != cutoffv1.Cause_CAUSE_EXPIRY || r.GetCutId() != "cut_reserved" || r.GetOrderId() != "" ||
		r.GetLeaseNumber() != 1 || len(r.GetFacts()) != 0 || len(r.GetItems()) != 2 {
		t.Errorf("receipt: %v", r)
	}
}

func TestTimeOverRestartsAndBootsCountsAgainstTheLease(t *testing.T) {
	cases := []struct {
		name  string
		away  func(m *machine)
		seals bool
	}{
		{"restarts of the agent do not set it back", func(m *machine) {
			for range 3 {
				a := m.boot()
				m.settled()
				m.passes(19 * time.Minute)
				a.stop()
			}
			m.passes(65 * time.Minute)
		}, true},
		{"time switched off counts by the wall clock", func(m *machine) { m.reboots("boot-2", 3*time.Hour) }, true},
		{"a short time switched off does not seal", func(m *machine) { m.reboots("boot-2", 30*time.Minute) }, false},
		{"a wall clock turned back over a boot gives no time back", func(m *machine) {
			a := m.boot()
			m.settled()
			m.passes(59 * time.Minute)
			a.stop()
			m.reboots("boot-2", -100*time.Hour)
			a = m.boot()
			m.passes(59 * time.Minute)
			a.stop()
			m.reboots("boot-3", -100*time.Hour)
			m.passes(3 * time.Minute)
		}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, m := leased(t)
			c.away(m)
			m.boot()
			if !c.seals {
				m.settled()
				m.passes(time.Second)
				if !m.has("credentials") {
					t.Error("sealed too early")
				}
				return
			}
			m.eventually("the seal", func() bool { return !m.has("credentials") })
		})
	}
}

func TestAnUnreadableLeaseSealsUnderTheStandingGrant(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"lease removed":   func(dir string) error { return os.Remove(filepath.Join(dir, "lease")) },
		"lease emptied":   func(dir string) error { return os.Truncate(filepath.Join(dir, "lease"), 0) },
		"lease scrambled": func(dir string) error { return scramble(filepath.Join(dir, "lease")) },
		"lease and one grant": func(dir string) error {
			return firstOf(os.Remove(filepath.Join(dir, "lease")), scramble(filepath.Join(dir, "grant.a")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, m := leased(t)
			if err := spoil(string(m.state)); err != nil {
				t.Fatal(err)
			}
			m.boot()
			m.eventually("the seal", func() bool { return m.has("credentials.sealed") && m.has("token.sealed") })
			s.start(s.address, s.serverCertificate("/server"))
			s.until("its receipt", receipts(1))
			if r := s.seen.receipts[0]; len(r.GetFacts()) != 1 || r.GetFacts()[0] != "standing-grant" || r.GetCutId() != "cut_reserved" {
				t.Errorf("receipt: %v", r)
			}
		})
	}
}

func TestAMarkThatCannotBeReadIsALeaseThatRanOut(t *testing.T) {
	_, m := leased(t)
	for _, name := range []string{"mark.a", "mark.b"} {
		if err := scramble(filepath.Join(string(m.state), name)); err != nil {
			t.Fatal(err)
		}
	}
	m.boot()
	m.eventually("the seal", func() bool { return m.has("credentials.sealed") })
}

func TestWithNeitherLeaseNorGrantNothingIsRemovedAndTamperIsReported(t *testing.T) {
	s, m := leased(t)
	for _, name := range []string{"lease", "grant.a", "grant.b"} {
		if err := scramble(filepath.Join(string(m.state), name)); err != nil {
			t.Fatal(err)
		}
	}
	s.set(func() { s.terms = &cutoffv1.Lease{WarnMs: 1} }) // a lease that cannot be taken
	s.start(s.address, s.serverCertificate("/server"))
	m.boot()
	s.until("the fact", func(s *seen) bool {
		for _, r := range s.reports {
			for _, f := range r.GetFacts() {
				if f.GetName() == "tamper" && f.GetFlag() {
					return true
				}
			}
		}
		return false
	})
	if !m.has("credentials") || !m.has("token") || m.runs != 0 {
		t.Error("something was removed without trust")
	}
}

func TestForgedReplayedLateAndForeignLeasesAreRefusedOverTheWire(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	m.settled()
	refused := 0
	offer := func(reason string, change func(*cutoffv1.Lease), forged bool) {
		t.Helper()
		asked := 0
		s.set(func() { asked = len(s.seen.nonces) })
		s.set(func() {
			s.terms.RenewMs = 1
		})
		m.passes(6 * time.Minute)
		s.until("another request", func(s *seen) bool { return len(s.nonces) > asked })
		s.mu.Lock()
		nonce := s.seen.nonces[len(s.seen.nonces)-1]
		l := &cutoffv1.Lease{
			DeviceId: s.deviceID, Number: s.number + 100, Nonce: nonce, WarnMs: 1000, SealMs: 2000, RenewMs: 1000,
			CutId: "cut_reserved", EscrowRecipient: s.escrow.Recipient().String(),
		}
		change(l)
		key := s.lease
		if forged {
			key = newKey(t)
		}
		envelope := s.seal(signed.TypeLease, l, key)
		s.mu.Unlock()
		s.push(leaseAnswer(nonce, envelope))
		refused++
		s.until("a refusal as "+reason, func(s *seen) bool {
			of := s.refusalsOf("lease")
			return len(of) >= refused && of[refused-1].GetReason() == reason
		})
	}
	offer("forged", func(*cutoffv1.Lease) {}, true)
	offer("foreign", func(l *cutoffv1.Lease) { l.DeviceId = "dev_other" }, false)
	offer("replayed", func(l *cutoffv1.Lease) { l.Number = 1 }, false)
	offer("stale", func(l *cutoffv1.Lease) { l.Nonce = make([]byte, 32) }, false)
	offer("malformed", func(l *cutoffv1.Lease) { l.SealMs = 1 }, false)
}

func scramble(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	raw[len(raw)/10] ^= 1
	return os.WriteFile(path, raw, 0o600)
}

func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
