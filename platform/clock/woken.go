package clock

import (
	"context"
	"time"
)

// Woken calls seen after the machine slept and, where the system tells, whenever
// somebody set the wall clock, until ctx ends: timers stand still in sleep, so
// who waits for a moment of the boot clock must look at it then.
func Woken(ctx context.Context, seen func()) error { return woken(ctx, seen) }

// How often a system that does not tell is looked at, and by how much the boot
// clock must be ahead of a timer for the machine to have slept.
const (
	wokenEvery = 5 * time.Second
	wokenSlack = 2 * time.Second
)

// polled is Woken for systems that do not tell.
func polled(ctx context.Context, boot func() time.Duration, seen func()) error {
	ticks := time.NewTicker(wokenEvery)
	defer ticks.Stop()
	last := boot()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := boot()
		if now-last > wokenEvery+wokenSlack {
			seen()
		}
		last = now
	}
}
