//go:build !linux

package host

import (
	"context"
	"errors"
	"fmt"
)

// serial: Windows keeps it in WMI and macOS in IOKit; neither is read here yet.
func serial(context.Context) (string, error) {
	return "", fmt.Errorf("serial number on this system: %w", errors.ErrUnsupported)
}
