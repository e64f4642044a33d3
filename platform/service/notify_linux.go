package service

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/platform/command"
)

// notify speaks the protocol of sd_notify(3).
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Sendto(fd, []byte(state), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: name}); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

func watched() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

const systemctl = "/usr/bin/systemctl"

// whyEnding: systemctl speaks to systemd's own socket, so the bus may be gone.
// Its exit status says no more than its word.
func whyEnding(ctx context.Context, name string) Ending {
	if os.Getenv("INVOCATION_ID") == "" {
		return Unknown // not started by systemd
	}
	unit := name + ".service"
	system, _ := command.Run(ctx, systemctl, "is-system-running")
	jobs, err := command.Run(ctx, systemctl, "list-jobs", "--plain", "--no-legend", "--no-pager")
	if err != nil {
		return Unknown
	}
	enabled, _ := command.Run(ctx, systemctl, "is-enabled", unit)
	return endingOf(string(system), string(jobs), string(enabled), unit)
}
