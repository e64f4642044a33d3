//go:build !unix

package daemon

import (
	"errors"
	"os"
)

// exclusive: the server is released for Linux only.
func exclusive(*os.File) error { return errors.ErrUnsupported }
