package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Dir is a state directory.
type Dir string

// Files of a state directory.
const (
	fileConfig      = "agent.yaml"
	fileJournal     = "journal.db"
	fileKey         = "device.key"
	fileCertificate = "certificate.pem"
	fileRoster      = "roster"
	fileLease       = "lease"
	fileMarkA       = "mark.a"
	fileMarkB       = "mark.b"
	fileGrantA      = "grant.a"
	fileGrantB      = "grant.b"
	fileCatalogueA  = "catalogue.a"
	fileCatalogueB  = "catalogue.b"
	fileStatus      = "status.json"
	fileLiftAnswer  = "lift.answer"
	fileControl     = "agent.sock"
	fileReserve     = "reserve"
)

// reserveSize is kept free for sealing.
const reserveSize = 64 << 20

// Journal is the journal's path.
func (d Dir) Journal() string { return d.path(fileJournal) }

// Key is the device key's path.
func (d Dir) Key() string { return d.path(fileKey) }

// Control is the path of the socket that commands reach the agent by.
func (d Dir) Control() string { return d.path(fileControl) }

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

// Make makes the directory, for its owner only, and checks one that is there.
func (d Dir) Make() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	return d.Check()
}

// Check refuses a directory that another user owns or can reach.
func (d Dir) Check() error {
	info, err := os.Stat(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", d, ErrNotEnrolled)
	}
	if err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("state directory %s: %w: not a directory", d, ErrDamaged)
	}
	return private(string(d), info)
}

// Reserve takes the room that sealing may need, so that a full disk cannot
// prevent it.
func (d Dir) Reserve() error {
	path := d.path(fileReserve)
	info, err := os.Lstat(path)
	if err == nil && info.Size() == reserveSize {
		return nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("reserve room for sealing: %w", err)
	}
	err = errors.Join(allocate(file, reserveSize), file.Close())
	if err == nil {
		return nil
	}
	err = fmt.Errorf("reserve %d MiB for sealing: %w", reserveSize>>20, err)
	if info != nil {
		return err // what was reserved before stays so
	}
	return errors.Join(err, os.Remove(path))
}

// fill writes zeros where the system cannot allocate.
func fill(file *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for written := int64(0); written < size; written += int64(len(block)) {
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	return file.Sync()
}

// ReadFile returns a file of at most limit bytes that only the agent's user can
// have written.
func (d Dir) ReadFile(name string, limit int64) ([]byte, error) {
	path := d.path(name)
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrDamaged, limit)
	}
	return raw, nil
}

// WriteFile replaces a file durably: a crash leaves the old or the new one. On a
// full disk it takes a little of what is reserved for sealing: a device that is
// in contact must not seal itself because its lease found no room.
func (d Dir) WriteFile(name string, raw []byte) error {
	err := d.replace(name, raw, true)
	if full(err) && d.yield() == nil {
		err = d.replace(name, raw, true)
	}
	return err
}

// yielded is what a write on a full disk takes of the reserve, in bytes. Who
// keeps filling the disk wins as much every few minutes, and the whole in days.
const yielded = 64 << 10

func (d Dir) yield() error {
	info, err := os.Lstat(d.path(fileReserve))
	if err != nil {
		return err
	}
	return os.Truncate(d.path(fileReserve), max(0, info.Size()-yielded))
}

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// replace writes beside the file and renames; durable waits for the disk.
func (d Dir) replace(name string, raw []byte, durable bool) error {
	path := d.path(name)
	if err := replaceFile(path, raw, durable); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func replaceFile(path string, raw []byte, durable bool) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone after the rename
	_, err = file.Write(raw)
	if durable {
		err = errors.Join(err, file.Sync())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil || !durable {
		return err
	}
	return syncDir(filepath.Dir(path))
}
