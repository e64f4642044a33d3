package flow_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

func TestALeaseCarriesTheGroupsDeadlinesAndTheReservation(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("leased")
	lease, refused := h.lease(l.peer(t))
	if refused != "" {
		t.Fatal(refused)
	}
	v := h.view(l.DeviceID)
	want := &cutoffv1.Lease{
		DeviceId: l.DeviceID, Number: 1, Nonce: lease.GetNonce(), WarnMs: (48 * time.Hour).Milliseconds(),
		SealMs: (72 * time.Hour).Milliseconds(), RenewMs: (5 * time.Minute).Milliseconds(),
		AtExpiry: cutoffv1.AtExpiry_AT_EXPIRY_SEAL, CutId: v.ReservedCut, EscrowRecipient: v.Recipient, RosterVersion: 1,
		Checkpoint: lease.GetCheckpoint(), IssuedAt: lease.GetIssuedAt(), OnTamper: cutoffv1.OnTamper_ON_TAMPER_SEAL,
		Codes: lease.GetCodes(),
	}
	if lease.String() != want.String() {
		t.Fatalf("got  %v\nwant %v", lease, want)
	}
	if len(lease.GetCheckpoint()) == 0 {
		t.Fatal("no checkpoint of the evidence")
	}
	if !v.LeaseUntil.Equal(h.Now().Add(72*time.Hour)) || !v.LastContact.Equal(h.Now()) || v.LeaseNumber != 1 {
		t.Fatalf("device %+v", v.Device)
	}
}

func TestNoTwoLeasesShareANumber(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("busy")
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for range 20 {
		group.Go(func() {
			lease, refused := h.lease(l.peer(t))
			mu.Lock()
			defer mu.Unlock()
			if refused != "" || seen[lease.GetNumber()] {
				t.Errorf("lease %v, refused %q", lease, refused)
			}
			seen[lease.GetNumber()] = true
		})
	}
	group.Wait()
	if len(seen) != 20 {
		t.Fatalf("%d numbers, want 20", len(seen))
	}
}

func TestALeaseNeedsAWholeNonceAndAKnownDevice(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("nonce")
	for _, size := range []int{0, 31, 33} {
		_, _, err := h.GrantLease(t.Context(), l.peer(t), make([]byte, size), nil)
		mustFail(t, err, fault.Invalid, "nonce")
	}
	stranger := l.peer(t)
	stranger.DeviceID = "dev_nobody"
	_, _, err := h.GrantLease(t.Context(), stranger, make([]byte, 32), nil)
	mustFail(t, err, fault.NotFound, "device")
}

func TestARefusedLeaseStillCountsAsContact(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("late")
	peer := l.peer(t)
	peer.Expired = true
	if _, refused := h.lease(peer); refused != "certificate-expired" {
		t.Fatalf("refused %q", refused)
	}
	v := h.view(l.DeviceID)
	if !v.LastContact.Equal(h.Now()) || !v.LeaseUntil.IsZero() || v.LeaseNumber != 0 {
		t.Fatalf("device %+v", v.Device)
	}
}

// What an idle fleet costs: leases asked for by many at once share commits.
func BenchmarkGrantLease(b *testing.B) {
	h := newHarness(b)
	const fleet = 200
	laptops := make([]*laptop, fleet)
	for i := range laptops {
		laptops[i] = h.enrol("fleet")
	}
	nonce := make([]byte, 32)
	var next atomic.Uint64
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l := laptops[next.Add(1)%fleet]
			if _, refused, err := h.GrantLease(b.Context(), flow.Peer{DeviceID: l.DeviceID}, nonce, nil); err != nil || refused != "" {
				b.Error(err, refused)
			}
		}
	})
}
