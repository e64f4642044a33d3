package config

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate takes size bytes of the disk.
func allocate(file *os.File, size int64) error {
	err := unix.Fallocate(int(file.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return fill(file, size)
	}
	return err
}
