//go:build !linux

package posture

import (
	"errors"
	"fmt"
)

// diskEncrypted: BitLocker's state is in WMI and FileVault's behind a tool;
// neither is read yet.
func diskEncrypted() (bool, error) {
	return false, fmt.Errorf("disk encryption: %w", errors.ErrUnsupported)
}
