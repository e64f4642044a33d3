//go:build !linux

package command

import (
	"context"
	"errors"
	"fmt"
)

// run: other systems get their children with their own purge.
func (c Child) run(context.Context, Talk) error {
	return fmt.Errorf("run as another user: %w", errors.ErrUnsupported)
}

func harden() error { return errors.ErrUnsupported }
