package flow_test

import (
	"crypto/rand"
	"syscall"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/flow"
)

// leaseFleet inserts a fleet whose leases all end in the same minute.
func (h *harness) leaseFleet(n int) []string {
	h.t.Helper()
	ids := h.fleet("default", n)
	g := device.Defaults("default")
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error {
		for i, id := range ids {
			s := device.Silence{}.Granted(&g, time.Time{}, h.Now().Add(time.Duration(i)*time.Minute/time.Duration(n)))
			if err := tx.SetSilence(h.t.Context(), id, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return ids
}

// Two thousand leases end in the same minute: all are cut, or held for a person,
// in one turn, and none is lost. Run with -bench MassExpiry; it reports how long
// the turn took, all cuts let through and all but the machine's few held.
func BenchmarkMassExpiry(b *testing.B) {
	const fleet = 2000
	for name, limits := range map[string]flow.BrakeLimits{
		"AllCut": {Machine: fleet, GroupPercent: 100}, "AllButFewHeld": {GroupPercent: 100},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				h := newHarnessWith(b, func(_ *harness, c *flow.Config) { c.Brake = limits })
				ids := h.leaseFleet(fleet)
				h.advance(73 * time.Hour)
				b.StartTimer()
				began := time.Now()
				h.watch()
				b.ReportMetric(time.Since(began).Seconds(), "s/2000")
				b.StopTimer()
				states := h.expired(ids)
				if states[cut.Open]+states[cut.Held] != fleet {
					b.Fatalf("handled %v of %d", states, fleet)
				}
				b.ReportMetric(float64(states[cut.Held]), "held")
				b.StartTimer()
			}
		})
	}
}

// expired counts the states of the devices' cuts.
func (h *harness) expired(ids []string) map[cut.State]int {
	h.t.Helper()
	all, err := h.Cuts(h.t.Context(), flow.CutFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	states, seen := map[cut.State]int{}, map[string]bool{}
	for _, c := range all {
		if c.Cause == cut.Expiry && !seen[c.DeviceID] {
			seen[c.DeviceID] = true
			states[c.State]++
		}
	}
	if len(seen) > len(ids) {
		h.t.Fatalf("%d devices cut of %d", len(seen), len(ids))
	}
	return states
}

// A small mass expiry for every run: nobody is lost between two batches.
func TestEveryLeaseThatEndsInTheSameMinuteIsHandled(t *testing.T) {
	h := newHarness(t)
	ids := h.leaseFleet(230)
	h.pass(73 * time.Hour)
	if states := h.expired(ids); states[cut.Open] != 11 || states[cut.Held] != 219 {
		t.Errorf("got %v, want 11 (5 %% of 230) open and 219 held", states)
	}
}

// What a fleet of 10,000 that renews every five minutes costs in processor time:
// 33.3 grants a second, signing included, as a share of one core.
func BenchmarkGrantShare(b *testing.B) {
	h := newHarness(b)
	ids := h.fleet("default", 1000)
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	held := make([]uint64, len(ids))
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	n := 0
	for b.Loop() {
		i := n % len(ids)
		if _, refused, err := h.GrantLease(b.Context(), flow.Peer{DeviceID: ids[i]}, nonce, &held[i]); err != nil || refused != "" {
			b.Fatal(refused, err)
		}
		held[i]++
		n++
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	each := used / time.Duration(n)
	b.ReportMetric(float64(each.Microseconds()), "cpu-µs/grant")
	b.ReportMetric(each.Seconds()*10_000/300*100, "%core/10000")
}
