//go:build unix

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// private refuses what another user owns or can reach.
func private(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s: %w: mode %04o", path, ErrExposed, mode)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w: it has another owner", path, ErrExposed)
	}
	return nil
}

// shut closes a file to readers who are not its owner. One that others could
// have written is refused.
func shut(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular() || mode.Perm()&0o077 == 0:
		return nil // openRegular judges it
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("%s: %w: mode %04o", path, ErrExposed, mode.Perm())
	}
	return os.Chmod(path, 0o600)
}

// syncDir makes a rename in the directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
