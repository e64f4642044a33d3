package clock_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/platform/clock"
)

// TestWhoeverWaitsIsToldWhenTheClockIsSet sets the clock to what it shows, which
// the kernel counts as setting it, and as it does at a resume.
func TestWhoeverWaitsIsToldWhenTheClockIsSet(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may set the clock")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	woken, ended := make(chan struct{}, 100), make(chan error)
	go func() { ended <- clock.Woken(ctx, func() { woken <- struct{}{} }) }()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for told := false; !told; {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Fatal(err)
		}
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Fatal(err)
		}
		select {
		case <-woken:
			told = true
		case <-ticks.C:
		case <-ctx.Done():
			t.Fatal("the clock was set and nobody was told")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
