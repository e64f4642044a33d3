//go:build !linux && !darwin && !windows

package clock

import (
	"errors"
	"time"
)

// boot and bootID: not written for this system.
func boot() time.Duration { return 0 }

func bootID() (string, error) { return "", errors.ErrUnsupported }
