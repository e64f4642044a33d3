package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkASealOfARealDevice seals and lifts a home of 200 items with the real
// programs; see times for what it reports. Run it with -benchtime 50x on a
// quiet machine.
func BenchmarkASealOfARealDevice(b *testing.B) {
	w := newWorld(b)
	w.fill(b)
	var all times
	for b.Loop() {
		id := all.cut(w, "seal")
		w.cli(nil, "lift", id, "--reason", "again", "--wait", "--timeout", "60s")
		w.until("trusted", func() bool { return w.device().State == "trusted" })
	}
	all.report(b)
}

// BenchmarkAPurgeOfARealDevice purges as many homes of 200 items as it runs.
func BenchmarkAPurgeOfARealDevice(b *testing.B) {
	var all times
	for b.Loop() {
		w := newWorld(b)
		w.fill(b)
		all.cut(w, "purge")
		w.stack.Close()
	}
	all.report(b)
}

// fill adds keys to the laptop until it has 200 items.
func (w *world) fill(b *testing.B) {
	b.Helper()
	ssh := filepath.Join(w.laptop.Users[0].Home, ".ssh")
	key, err := os.ReadFile(filepath.Join(ssh, "id_ed25519"))
	if err != nil {
		b.Fatal(err)
	}
	for i := range 160 {
		file := filepath.Join(ssh, fmt.Sprintf("key-%03d", i))
		if err := os.WriteFile(file, key, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Chown(file, w.laptop.Users[0].UID, w.laptop.Users[0].UID); err != nil {
			b.Fatal(err)
		}
	}
}

// times are, in milliseconds since the server opened a cut: until it heard that
// the agent has the order, the first file was gone (its child started cold) and
// the receipt was stored.
type times struct {
	items                     int
	delivered, first, receipt []float64
}

func (x *times) cut(w *world, level string) string {
	id := w.open(level)
	var c timed
	w.until("settled", func() bool {
		w.cli(&c, "cut", "show", id)
		return c.State == "settled"
	})
	since := func(at *time.Time) float64 { return float64(at.Sub(*c.Opened).Microseconds()) / 1000 }
	x.delivered = append(x.delivered, since(c.Delivered))
	// The agent counts from the order's arrival, in whole milliseconds.
	x.first = append(x.first, since(c.Delivered)+float64(c.First))
	x.receipt = append(x.receipt, since(c.Receipt))
	x.items = len(c.Items)
	return id
}

func (x *times) report(b *testing.B) {
	b.ReportMetric(float64(x.items), "items")
	b.ReportMetric(0, "ns/op")
	for name, all := range map[string][]float64{"order": x.delivered, "first-removed": x.first, "receipt": x.receipt} {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name+"-p50-ms")
		b.ReportMetric(all[min(len(all)-1, len(all)*99/100)], name+"-p99-ms")
	}
}

// timed is a cut with its times.
type timed struct {
	State     string     `json:"state"`
	Opened    *time.Time `json:"opened_at"`
	Delivered *time.Time `json:"order_delivered_at"`
	Receipt   *time.Time `json:"receipt_at"`
	First     int64      `json:"first_removed_ms"`
	Items     []struct{} `json:"items"`
}
