package lease_test

import (
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/lease"
)

func TestALeaseIsWithheldByStateCutAndFact(t *testing.T) {
	const none = cut.State("")
	cuts := []cut.State{none, cut.Held, cut.Open, cut.Refused, cut.Lapsed, cut.Settled, cut.Lifting, cut.Lifted}
	stands := map[cut.State]bool{cut.Open: true, cut.Settled: true, cut.Lifting: true}
	byState := map[device.State]lease.Reason{
		"": lease.Pending, device.Pending: lease.Pending, device.Trusted: lease.Granted, device.Warned: lease.Granted,
		device.Sealed: lease.Granted, device.Purged: lease.Purged, device.Retired: lease.Retired,
	}
	for state, withoutCut := range byState {
		for _, standing := range cuts {
			for _, facts := range [][]string{nil, {lease.FactRollback}, {lease.FactClone}, {lease.FactTamper}, {lease.FactRollback, lease.FactTamper}} {
				for _, expired := range []bool{false, true} {
					want := withoutCut
					if stands[standing] {
						want = lease.Cut
					}
					if n := len(facts); n > 0 && facts[n-1] != lease.FactRollback {
						want = lease.Reason(facts[n-1])
					}
					if expired {
						want = lease.Expired
					}
					got := lease.Withheld(&device.Device{State: state, Facts: facts}, standing, expired)
					if got != want {
						t.Errorf("device %q, cut %q, facts %v, expired %v: %q, want %q", state, standing, facts, expired, got, want)
					}
				}
			}
		}
	}
}

func TestALeaseIsMadeForItsDevice(t *testing.T) {
	d := &device.Device{ID: "dev_a", ReservedCut: "cut_a", Recipient: "age1a"}
	g := device.Defaults("default")
	g.AtExpiry = device.ExpiryPurge
	got := lease.New(d, &g, 7, []byte("nonce"))
	want := &cutoffv1.Lease{
		DeviceId: "dev_a", Number: 7, Nonce: []byte("nonce"), WarnMs: 172_800_000, SealMs: 259_200_000, RenewMs: 300_000,
		AtExpiry: cutoffv1.AtExpiry_AT_EXPIRY_PURGE, CutId: "cut_a", EscrowRecipient: "age1a",
		OnTamper: cutoffv1.OnTamper_ON_TAMPER_SEAL,
	}
	if got.String() != want.String() {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestTheDefaultsAndTheShortestDeadlinesAreInOrder(t *testing.T) {
	g := device.Defaults("default")
	if err := lease.Check(&g); err != nil {
		t.Fatal(err)
	}
	g.Renew, g.Warn, g.Seal, g.Purge, g.Report = time.Second, time.Second+time.Millisecond, 2*time.Second, 3*time.Second, time.Second
	if err := lease.Check(&g); err != nil {
		t.Fatal(err)
	}
}
