package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Names in the data directory.
const (
	databaseFile  = "cutoff.db"
	queueFile     = "queue.db"
	keysFolder    = "keys"
	socketFile    = "admin.sock"
	lockFile      = "lock"
	setupCodeFile = "setup-code"
	configFile    = "config.yaml"
	markFile      = "evidence.mark"
)

// dataDir is the server's directory, locked for this process.
type dataDir struct {
	path string
	lock *os.File
}

// path is a file's path in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// openDir makes the directory if it is not there, refuses one that others may
// read, and locks it.
func openDir(path string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := private(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := exclusive(lock); err != nil {
		_ = lock.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("another server runs on %s; stop it first, or use another --data", path)
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return &dataDir{path: path, lock: lock}, nil
}

// close gives the lock up. The file stays: removing it would let two servers
// lock two files of one name.
func (d *dataDir) close() { _ = d.lock.Close() }

// whole refuses a directory whose database was lost: begun anew beside the old
// keys, it would know no device and no cut that stands. A database that is
// there but empty is a first start that was interrupted.
func (d *dataDir) whole() error {
	if _, err := os.Lstat(d.file(keysFolder)); err != nil {
		return nil // ca says what is wrong with the keys, or makes them
	}
	_, err := os.Lstat(d.file(databaseFile))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("data directory %s has keys but no %s; restore it from its backup (or remove %s, if no device was ever enrolled)",
			d.path, databaseFile, d.file(keysFolder))
	}
	return nil
}

// private makes sure that path is a directory that only its owner may enter.
// An empty one is closed to others; one with something in it is left as it is
// and refused, for it may be a directory named by mistake.
func private(path string) error {
	err := os.MkdirAll(path, 0o700)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	empty, err := isEmpty(path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if !empty {
		return fmt.Errorf("data directory %s has mode %#o, so others may read its keys (chmod 700 %s)",
			path, info.Mode().Perm(), path)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

func isEmpty(path string) (bool, error) {
	d, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = d.Close() }()
	_, err = d.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked by another process")
