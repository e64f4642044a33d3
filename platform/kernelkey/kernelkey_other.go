//go:build !linux

package kernelkey

import "errors"

// keys: only Linux keeps keys for its users this way.
func keys(bool) ([]Key, error) { return nil, errors.ErrUnsupported }

func take(Key) error { return errors.ErrUnsupported }
