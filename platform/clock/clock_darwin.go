package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// boot reads CLOCK_MONOTONIC, which on macOS goes on during sleep.
func boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func bootID() (string, error) { return unix.Sysctl("kern.bootsessionuuid") }
