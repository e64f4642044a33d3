package service

import (
	"context"
	"strings"
	"time"
)

// Ready tells the service manager that what had to be done at the start is
// done: what is ordered after the service waits for it. Nothing where nobody
// asked.
func Ready() error { return notify("READY=1") }

// Stopping tells the service manager that the end has begun.
func Stopping() error { return notify("STOPPING=1") }

// Watched is how often the service manager wants a sign of life; 0: it does not.
func Watched() time.Duration { return watched() }

// Alive is the sign of life. A service that stays silent, because it hangs or
// because someone stopped its process, is killed and started again.
func Alive() error { return notify("WATCHDOG=1") }

// Ending is why the service manager ends a service.
type Ending int

// What an end may be.
const (
	// Unknown: no service manager, or it does not say.
	Unknown Ending = iota
	// Stopped by hand, while the machine goes on.
	Stopped
	// Disabled: stopped, and it will not start with the machine.
	Disabled
	// Shutdown of the machine.
	Shutdown
	// Restart: it starts again at once.
	Restart
)

// WhyEnding asks the service manager why this process was told to end.
func WhyEnding(ctx context.Context, name string) Ending { return whyEnding(ctx, name) }

// endingOf reads what systemd says of itself, of its jobs and of the unit's
// enablement.
func endingOf(system, jobs, enabled, unit string) Ending {
	if strings.TrimSpace(system) == "stopping" {
		return Shutdown
	}
	ending := Restart // the process alone was told to end: Restart=always
	for line := range strings.Lines(jobs) {
		// JOB UNIT TYPE STATE
		if f := strings.Fields(line); len(f) >= 3 && f[1] == unit && f[2] == "stop" {
			ending = Stopped
		}
	}
	if ending == Restart {
		return ending
	}
	switch strings.TrimSpace(enabled) {
	case "disabled", "masked", "masked-runtime", "not-found":
		return Disabled
	}
	return Stopped
}
