package flow_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// FuzzStoredState holds that an agent starts over whatever its files hold, that
// nothing is removed unless a lease or grant of the server's is among them, and
// that a good lease with a good mark is not taken for an expired one.
func FuzzStoredState(f *testing.F) {
	const lease, mark, copied, grant = 1, 2, 4, 8 // what is left as it was
	f.Add([]byte("x"), []byte("y"), []byte("z"), uint8(0))
	f.Add([]byte{}, []byte{}, []byte{}, uint8(lease|mark))
	f.Add([]byte{}, []byte("00000000 {}\n"), []byte{}, uint8(lease|copied))
	f.Add([]byte{10, 1, 2}, []byte{}, []byte{}, uint8(mark|copied|grant))
	f.Add([]byte{}, []byte("\n"), []byte{255}, uint8(lease))
	var (
		once sync.Once
		good *stage
	)
	f.Fuzz(func(t *testing.T, leaseRaw, markRaw, grantRaw []byte, keep uint8) {
		once.Do(func() { good = originals(t)[""] })
		s := good.on(t)
		for name, c := range map[string]struct {
			bit uint8
			raw []byte
		}{"lease": {lease, leaseRaw}, "mark.a": {mark, markRaw}, "mark.b": {copied, markRaw}, "grant.a": {grant, grantRaw}, "grant.b": {grant, grantRaw}} {
			if keep&c.bit != 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(string(s.state), name), c.raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.start()
		switch {
		case keep&lease != 0 && keep&(mark|copied) != 0:
			s.expect("intact")
		case keep&(lease|grant) == 0:
			s.passes(100 * time.Hour)
			s.looks()
			s.expect("tamper")
		default:
			s.expect("sealed")
		}
		s.stop()
	})
}

func TestAGrantThatIsHeldUpForAMinuteGivesNothing(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	m.settled()
	asked := func() (n int) { s.set(func() { n = len(s.seen.nonces) }); return n }
	s.set(func() { s.terms = &cutoffv1.Lease{WarnMs: 1} }) // what the server says itself is not taken
	before := asked()
	m.passes(6 * time.Minute)
	s.until("a request", func(s *seen) bool { return len(s.nonces) > before })
	s.mu.Lock()
	nonce := s.seen.nonces[len(s.seen.nonces)-1]
	late := s.seal(signed.TypeLease, &cutoffv1.Lease{
		DeviceId: s.deviceID, Number: s.number + 100, Nonce: nonce, WarnMs: 1000_000, SealMs: 2000_000, RenewMs: 1000,
		CutId: "cut_reserved", EscrowRecipient: s.escrow.Recipient().String(),
	}, s.lease)
	s.mu.Unlock()
	before = asked()
	m.passes(61 * time.Second)
	s.until("the next request", func(s *seen) bool { return len(s.nonces) > before })
	s.push(leaseAnswer(nonce, late))
	s.until("a refusal", func(s *seen) bool {
		for _, r := range s.refusalsOf("lease") {
			if r.GetReason() == "stale" {
				return true
			}
		}
		return false
	})
	if kept, err := m.state.Lease(); err != nil || bytes.Equal(kept, late) {
		t.Errorf("the late grant was kept: %v", err)
	}
}

// A device that was away while the server's lease key changed has a lease under
// the old one, which its own roster still holds, until it hears of the new.
func TestARosterThatChangedWhileTheDeviceWasAwayEndsNoLease(t *testing.T) {
	s, m := leased(t)
	a := m.boot()
	m.passes(30 * time.Minute)
	m.settled()
	a.stop()
	asked := 0
	s.set(func() { s.lease, s.version, asked = newKey(t), s.version+1, len(s.seen.nonces) })
	s.start(s.address, s.serverCertificate("/server"))
	m.boot()
	s.until("its request", func(s *seen) bool { return len(s.nonces) > asked })
	s.push(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Roster{Roster: s.rosterOf(s.version)}})
	m.passes(2 * time.Minute) // its first request came before
	keys, err := signed.NewKeys(raw(s.lease))
	if err != nil {
		t.Fatal(err)
	}
	m.eventually("a lease under the new key", func() bool {
		kept, err := m.state.Lease()
		if err != nil {
			return false
		}
		_, err = signed.Open(kept, signed.TypeLease, keys, &cutoffv1.Lease{})
		return err == nil
	})
	if !m.has("credentials") || m.runs != 0 {
		t.Error("a change of keys cost the device its secrets")
	}
}
