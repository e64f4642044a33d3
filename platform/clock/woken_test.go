package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestASystemThatDoesNotTellIsSeenToHaveSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun, asleep, seen := time.Now(), time.Duration(0), 0
		ended := make(chan error)
		go func() {
			ended <- polled(ctx, func() time.Duration { return time.Since(begun) + asleep }, func() { seen++ })
		}()
		time.Sleep(time.Hour)
		if seen != 0 {
			t.Errorf("awake, it was seen to wake %d times", seen)
		}
		asleep = time.Minute
		time.Sleep(wokenEvery)
		synctest.Wait()
		if seen != 1 {
			t.Errorf("seen %d times, want once", seen)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
