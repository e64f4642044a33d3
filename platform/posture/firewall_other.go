//go:build !linux && !windows

package posture

import (
	"errors"
	"fmt"
)

// firewallOn: macOS keeps it behind a tool that is not called yet.
func firewallOn() (bool, error) {
	return false, fmt.Errorf("firewall: %w", errors.ErrUnsupported)
}
