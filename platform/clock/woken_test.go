package clock

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestASystemThatDoesNotTellIsSeenToHaveSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var asleep, seen atomic.Int64
		begun := time.Now()
		ended := make(chan error)
		go func() {
			ended <- polled(ctx, func() time.Duration { return time.Since(begun) + time.Duration(asleep.Load()) }, func() { seen.Add(1) })
		}()
		time.Sleep(time.Hour)
		if n := seen.Load(); n != 0 {
			t.Errorf("awake, it was seen to wake %d times", n)
		}
		asleep.Store(int64(time.Minute))
		time.Sleep(wokenEvery)
		synctest.Wait()
		if n := seen.Load(); n != 1 {
			t.Errorf("seen %d times, want once", n)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
