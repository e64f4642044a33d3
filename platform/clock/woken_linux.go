package clock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// woken arms a timer of the wall clock that never ends, but is cancelled when
// that clock jumps. A resume from suspend or hibernation is such a jump.
func woken(ctx context.Context, seen func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch the clock: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	defer stop()
	defer func() { _ = file.Close() }()
	never := &unix.ItimerSpec{Value: unix.Timespec{Sec: math.MaxInt64 / int64(time.Second)}}
	buffer := make([]byte, 8)
	for {
		if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, never, nil); err != nil && !errors.Is(err, unix.ECANCELED) {
			return errors.Join(ctx.Err(), fmt.Errorf("watch the clock: %w", err))
		}
		_, err := file.Read(buffer)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil, errors.Is(err, unix.ECANCELED):
			seen()
		default:
			return fmt.Errorf("watch the clock: %w", err)
		}
	}
}
