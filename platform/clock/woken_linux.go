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
// that clock jumps. A resume from suspend or hibernation is such a jump. Where
// there are no such timers, it looks.
func woken(ctx context.Context, seen func()) error {
	if err := jumps(ctx, seen); ctx.Err() != nil || err == nil {
		return ctx.Err()
	}
	return polled(ctx, Boot, seen)
}

func jumps(ctx context.Context, seen func()) error {
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
		// A descriptor that ctx has closed may be another's by now.
		if err := arm(file, never); err != nil {
			return fmt.Errorf("watch the clock: %w", err)
		}
		if _, err := file.Read(buffer); err != nil && !errors.Is(err, unix.ECANCELED) {
			return fmt.Errorf("watch the clock: %w", err)
		}
		seen()
	}
}

func arm(file *os.File, at *unix.ItimerSpec) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, at, nil)
	})
	if errors.Is(set, unix.ECANCELED) {
		set = nil // it jumped meanwhile, and is armed all the same
	}
	return errors.Join(err, set)
}
