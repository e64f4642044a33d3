package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// markSize is what a copy of the mark takes on the disk, in bytes: a sector or
// a few, all of them there before they are needed.
const markSize = 1024

// Marks returns the readable copies of the clocks' high-water mark, at most two.
// exist: there is a copy, readable or not.
func (d Dir) Marks() (all [][]byte, exist bool) {
	for _, name := range []string{fileMarkA, fileMarkB} {
		raw, err := d.ReadFile(name, markSize)
		if err == nil {
			all = append(all, raw)
		}
		if _, err := os.Lstat(d.path(name)); err == nil {
			exist = true
		}
	}
	return all, exist
}

// KeepMark replaces both copies, one after the other, each in its place: it
// works on a full disk, and a crash leaves one copy whole.
func (d Dir) KeepMark(mark []byte) error {
	if len(mark) > markSize {
		return fmt.Errorf("mark of %d bytes", len(mark))
	}
	block := append(bytes.Clone(mark), bytes.Repeat([]byte("\n"), markSize-len(mark))...)
	// Both are tried: one that cannot be written must not keep the other old.
	return errors.Join(d.overwrite(fileMarkA, block), d.overwrite(fileMarkB, block))
}

// overwrite writes a file of the block's size in its place, and makes one that
// is not there or of another size.
func (d Dir) overwrite(name string, block []byte) error {
	path := d.path(name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(block)) || private(path, info) != nil {
		return d.WriteFile(name, block)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.WriteAt(block, 0)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
