package purge_test

import (
	"fmt"
	"testing"
)

// BenchmarkASealOf200Items seals and lifts a home of 200 keys, without a server.
func BenchmarkASealOf200Items(b *testing.B) {
	const items = 200
	x := newBench(b, user("alice"))
	for n := range items {
		x.root.File(user("alice"), fmt.Sprintf("/home/alice/.ssh/key-%03d", n), pemKey)
	}
	for b.Loop() {
		r := x.seal()
		if len(r.Items) != items {
			b.Fatalf("%d items", len(r.Items))
		}
		b.StopTimer()
		x.lift()
		b.StartTimer()
	}
}
