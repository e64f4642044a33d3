package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// boot reads CLOCK_MONOTONIC_RAW, which is mach_continuous_time: it goes on
// during sleep, and setting the wall clock does not move it.
func boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func bootID() (string, error) { return unix.Sysctl("kern.bootsessionuuid") }
