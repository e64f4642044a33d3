package clock_test

import (
	"runtime"
	"testing"

	"cutoff/platform/clock"
)

func TestTheBootClockOnlyGoesForward(t *testing.T) {
	last := clock.Boot()
	if last <= 0 {
		t.Fatalf("boot clock reads %v", last)
	}
	for range 1000 {
		now := clock.Boot()
		if now < last {
			t.Fatalf("boot clock went from %v to %v", last, now)
		}
		last = now
	}
}

func TestTheBootIDStaysTheSame(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Wine keeps no boot counter")
	}
	first, err := clock.BootID()
	if err != nil {
		t.Fatal(err)
	}
	second, err := clock.BootID()
	if err != nil || first != second || len(first) != 36 {
		t.Fatalf("got %q then %q, %v", first, second, err)
	}
}
