// Package clock reads the machine's clocks: the boot clock, which goes on while
// the machine is suspended and which nobody can set, and the name of the boot
// it counts from. It must not judge what a reading means.
package clock

import (
	"fmt"
	"strings"
	"time"
)

// Boot is the time since this boot, suspended time included. It falls back on
// nothing: where the system has no such clock the reading is 0, which is the
// earliest there is.
func Boot() time.Duration { return boot() }

// BootID names this boot: two readings of Boot may be compared if their ids are
// equal.
func BootID() (string, error) {
	id, err := bootID()
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(id), nil
}
