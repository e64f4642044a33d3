package flow_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"cutoff/agent/enroll"
	"cutoff/agent/journal"
	"cutoff/agent/lease"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

func (s *server) is(change func(*server)) *server { change(s); return s }

func TestADeviceThatAPersonHasYetToAdmitDoesNotSealItself(t *testing.T) {
	s, m := newServer(t).is(func(s *server) { s.untimed = true }), newMachine(t)
	m.enrol(s)
	s.grpc.Stop()
	m.boot()
	m.passes(100 * time.Hour)
	m.eventually("the status", func() bool { return contains([]byte(m.status()), `"trust":"none"`) })
	m.passes(100 * time.Hour)
	if !m.has("credentials") {
		t.Error("sealed without anything that could run out")
	}
}

func TestADeviceWhoseFirstLeaseNeverCameSealsItselfByItsGrant(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	s.grpc.Stop()
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
	if r.GetCause() != cutoffv1.Cause_CAUSE_EXPIRY || r.GetCutId() != "cut_reserved" || r.GetLeaseNumber() != 0 || len(r.GetFacts()) != 0 {
		t.Errorf("receipt: %v", r)
	}
}

func TestTheFirstLeaseTakesThePlaceOfTheGrant(t *testing.T) {
	_, m := leased(t)
	m.boot()
	m.settled()
	m.passes(115 * time.Minute)
	j := m.status()
	m.eventually("the warning", func() bool { j = m.status(); return contains([]byte(j), `"trust":"warn"`) })
	if !m.has("credentials") {
		t.Error("sealed before the lease ran out")
	}
}

// A machine whose clock was years behind when it enrolled, and was then set
// right, has not been silent for years.
func TestAClockSetRightAfterTheEnrolmentSealsNothing(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	_, err := enroll.Run(t.Context(), enroll.Input{
		State: m.state, Server: s.address, Token: s.token(), Version: "test", Now: time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := m.state.Read()
	if err != nil {
		t.Fatal(err)
	}
	m.enrolledAt = kept.EnrolledAt
	s.grpc.Stop()
	m.boot()
	m.eventually("trust", func() bool { return contains([]byte(m.status()), `"trust":"trusting"`) })
	if !m.has("credentials") {
		t.Errorf("sealed: enrolled at %s, %s", kept.EnrolledAt, m.status())
	}
}

// A crash between the writes of the first lease leaves its mark and no lease:
// nothing is missing, and nothing may be sealed for it.
func TestACrashWhileTheFirstLeaseIsKeptSealsNothing(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	s.grpc.Stop()
	a := m.boot()
	m.eventually("trust", func() bool { return contains([]byte(m.status()), `"trust":"trusting"`) })
	a.stop()
	raw, err := lease.Start(1, m.clock(), m.clock()).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.state.KeepMark(raw); err != nil {
		t.Fatal(err)
	}
	b := m.boot()
	if err := b.flow.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.has("credentials.sealed") || !contains([]byte(m.status()), `"trust":"trusting"`) {
		t.Errorf("sealed: %s", m.status())
	}
	m.passes(3 * time.Hour)
	m.eventually("the seal", func() bool { return m.has("credentials.sealed") })
}

// Still without a network after a lift by file: the grant that came with it is
// what the device seals itself by next time, under another cut and key.
func TestADeviceLiftedByFileSealsItselfAgainUnderItsNextCut(t *testing.T) {
	f := sealedFar(t)
	lift := func(cutID string) {
		t.Helper()
		r := f.askFor(cutID)
		if _, err := f.agent.flow.AnswerLift(context.Background(), f.answerTo(r, cutoffv1.OrderKind_ORDER_KIND_LIFT, nil)); err != nil {
			t.Fatal(err)
		}
		f.eventually("all back", func() bool { return f.has("credentials") && contains([]byte(f.status()), `"cuts":[]`) })
	}
	f.keysFor(secrets...)
	lift("cut_reserved")
	f.eventually("the next grant's time", func() bool { return contains([]byte(f.status()), `"trust":"trusting"`) })
	f.passes(time.Hour)
	f.restart() // neither that nor the spent lease put back gives time
	if err := f.state.KeepLease(f.spent); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.eventually("the warning", func() bool { return contains([]byte(f.status()), `"trust":"warn"`) })
	if !f.has("credentials") {
		t.Fatal("sealed before its time")
	}
	f.passes(time.Hour)
	f.eventually("the next seal", func() bool {
		return f.has("credentials.sealed") && contains([]byte(f.status()), `"cuts":["cut_next"]`)
	})
	f.server.start(f.server.address, f.server.serverCertificate("/server"))
	f.server.until("all receipts", receipts(3))
	f.server.set(func() {
		var about []string
		for _, r := range f.server.seen.receipts {
			about = append(about, r.GetKind().String()+" "+r.GetCutId())
		}
		want := []string{"ORDER_KIND_SEAL cut_reserved", "ORDER_KIND_LIFT cut_reserved", "ORDER_KIND_SEAL cut_next"}
		if !slices.Equal(about, want) {
			t.Errorf("told %v, want %v", about, want)
		}
	})
}

// A crash between dropping the spent lease and the lift's last entry leaves
// neither lease nor mark.
func TestACrashInTheMiddleOfALiftSealsNothing(t *testing.T) {
	f := sealedFar(t)
	f.keysFor(secrets...)
	r := f.askFor("cut_reserved")
	f.set(func() { f.holdLift = make(chan struct{}) })
	if _, err := f.agent.flow.AnswerLift(context.Background(), f.answerTo(r, cutoffv1.OrderKind_ORDER_KIND_LIFT, nil)); err != nil {
		t.Fatal(err)
	}
	f.agent.stop()
	if err := f.state.KeepGrant(f.server.grant("cut_next")); err != nil {
		t.Fatal(err)
	}
	if err := f.state.DropLease(); err != nil {
		t.Fatal(err)
	}
	f.set(func() { close(f.holdLift) })
	f.agent = f.boot()
	f.eventually("all back", func() bool { return f.has("credentials") && contains([]byte(f.status()), `"cuts":[]`) })
	f.agent.stop()
	j, err := journal.Open(f.state.Journal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if w, err := j.Resume(); err != nil || len(w) != 0 {
		t.Errorf("%d warrants are left, %v", len(w), err)
	}
}

// A lift may wait for somebody to unlock a keyring, and gives no lease until
// then: a device in contact must not seal itself meanwhile.
func TestInContactTheGrantDoesNotRunOutWhileALiftWaits(t *testing.T) {
	for _, tt := range []struct {
		refuses string
		seals   bool
	}{{"cut", false}, {"clone", true}} {
		t.Run(tt.refuses, func(t *testing.T) {
			s, m := newServer(t), newMachine(t)
			s.refuses = tt.refuses
			m.enrol(s)
			m.boot()
			s.until("a connection", connected)
			left := func() time.Duration {
				var said struct {
					Until time.Time `json:"lease_until"`
				}
				if json.Unmarshal([]byte(m.status()), &said) != nil {
					return 0
				}
				return said.Until.Sub(m.clock().Wall)
			}
			for range 5 {
				m.passes(50 * time.Minute)
				if !tt.seals {
					m.eventually("a new count", func() bool { return left() > 119*time.Minute })
				}
			}
			if tt.seals {
				m.eventually("the seal", func() bool { return m.has("credentials.sealed") })
			} else if m.has("credentials.sealed") {
				t.Error("sealed while in contact")
			}
		})
	}
}
