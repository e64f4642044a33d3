package flow_test

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/server/cut"
	"cutoff/server/flow"
)

// BenchmarkDelivery is what one cut device costs the server besides the wire:
// its cut opened, its order signed and handed out, acknowledged, answered. At
// contact the order is signed when its device comes; of a connected device it is
// signed with the cut, so that its share is the difference of the two openings.
func BenchmarkDelivery(b *testing.B) {
	b.Run("AtContact", func(b *testing.B) { benchmarkDelivery(b, false) })
	b.Run("Connected", func(b *testing.B) { benchmarkDelivery(b, true) })
}

func benchmarkDelivery(b *testing.B, online bool) {
	h := newConnected(b, func(c *flow.Config) { c.Brake = flow.BrakeLimits{People: 1_000_000} })
	laptops := make([]*laptop, b.N)
	for i := range laptops {
		laptops[i] = newLaptop(b, "")
	}
	h.bulk(laptops)
	peer := func(l *laptop) flow.Peer { return flow.Peer{DeviceID: l.DeviceID, Key: [32]byte(l.public())} }
	challenge := make([]byte, 32)
	orders := make([][]byte, b.N)
	spent, total := map[string]float64{}, 0.0
	// Many at once, as a fleet is: they share commits.
	part := func(name string, fn func(i int, l *laptop)) {
		b.ResetTimer()
		before := cpu(b)
		var group errgroup.Group
		group.SetLimit(64)
		for i, l := range laptops {
			group.Go(func() error { fn(i, l); return nil })
		}
		_ = group.Wait()
		spent[name] = float64((cpu(b) - before).Microseconds()) / float64(b.N)
		total += spent[name]
	}
	// One case over all: cutting them one by one, the brake would count them all
	// again and again.
	whose := h.belongs("all@example.com")
	err := h.store.Update(b.Context(), func(tx flow.Tx) error {
		for _, l := range laptops {
			if err := tx.SetAssignment(b.Context(), l.DeviceID, whose.ID, "default"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if online {
		for _, l := range laptops {
			h.arrive(l)
		}
	}
	part("open", func(i int, _ *laptop) {
		if i > 0 {
			return
		}
		request := flow.OpenRequest{Person: whose.ID, Level: cut.Seal, Cause: cut.Operator, Reason: "benchmark", Actor: admin}
		if _, _, err := h.Open(b.Context(), request); err != nil {
			b.Error(err)
		}
	})
	if online {
		for i, l := range laptops {
			orders[i] = h.take(l)
		}
	} else {
		part("sign", func(i int, l *laptop) {
			var err error
			if orders[i], err = h.PendingOrder(b.Context(), peer(l), challenge); err != nil || orders[i] == nil {
				b.Error(err)
			}
		})
	}
	receipts := make([][]byte, b.N)
	ids := make([]string, b.N)
	for i, l := range laptops {
		o := openOrder(h.harness, orders[i])
		ids[i], receipts[i] = o.GetOrderId(), l.sign(b, answerTo(o))
	}
	part("receipt", func(i int, l *laptop) {
		h.OnOrderReceived(peer(l), ids[i])
		if ack, err := h.OnReceipt(b.Context(), peer(l), receipts[i]); err != nil || ack.GetRefused() != "" {
			b.Error(ack, err)
		}
	})
	for name, each := range spent {
		b.ReportMetric(each, name+"-cpu-µs")
	}
	b.ReportMetric(total, "all-cpu-µs")
}

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
