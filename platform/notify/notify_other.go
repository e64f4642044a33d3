//go:build !linux

package notify

import (
	"context"
	"errors"
)

// show: not written for this system. The agent's log and status tell.
func show(context.Context, string, Notice) (int, error) { return 0, errors.ErrUnsupported }

func childMain() int { return 1 }
