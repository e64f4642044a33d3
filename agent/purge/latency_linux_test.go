package purge_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"cutoff/agent/purge"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// BenchmarkPurge measures, with children started cold, from the journalled
// order to the first removal and to the last of a home of 200 items.
func BenchmarkPurge(b *testing.B) {
	var first, all []time.Duration
	for range b.N {
		b.StopTimer()
		bench := newBench(b, user("alice"))
		u := user("alice")
		furnish(bench.root, u)
		for n := range 170 {
			bench.root.File(u, fmt.Sprintf("%s/.ssh/key%d", u.Home, n), pemKey)
		}
		p, err := purge.New(bench.config)
		if err != nil {
			b.Fatal(err)
		}
		w := bench.warrant(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_1")
		b.StartTimer()
		began := boot()
		r, err := p.Run(context.Background(), w)
		if err != nil || len(r.Items) < 200 {
			b.Fatalf("%d items, %v", len(r.Items), err)
		}
		first = append(first, r.FirstRemovedBoot-began)
		all = append(all, r.FinishedBoot-began)
	}
	for name, d := range map[string][]time.Duration{"first-removal": first, "all": all} {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}
