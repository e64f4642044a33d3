//go:build !linux

package files

import (
	"context"
	"errors"
	"net"
	"os"
	"path"
	"strings"
)

// Dir is an open folder; on this system it comes with its own purge.
type Dir struct{}

// Open is not here yet.
func Open(string) (*Dir, error) { return nil, errors.ErrUnsupported }

// FromFile is not here yet.
func FromFile(*os.File) *Dir { return &Dir{} }

// AcrossMounts is the same folder.
func (d *Dir) AcrossMounts() *Dir { return d }

// File is not here yet.
func (d *Dir) File() *os.File { return nil }

// Close does nothing.
func (d *Dir) Close() error { return nil }

// Below is not here yet.
func (d *Dir) Below(string) (*Dir, error) { return nil, errors.ErrUnsupported }

// Enter is for Linux only, as yet.
func (d *Dir) Enter(string) (*Dir, error) { return nil, errors.ErrUnsupported }

// Self is not here yet.
func (d *Dir) Self() (Info, error) { return Info{}, errors.ErrUnsupported }

// Stat is not here yet.
func (d *Dir) Stat(string) (Info, error) { return Info{}, errors.ErrUnsupported }

// OpenRegular is not here yet.
func (d *Dir) OpenRegular(string) (*os.File, Info, error) {
	return nil, Info{}, errors.ErrUnsupported
}

// Read is not here yet.
func (d *Dir) Read(string, int64) ([]byte, Info, error) { return nil, Info{}, errors.ErrUnsupported }

// Names is not here yet.
func (d *Dir) Names(string) ([]string, error) { return nil, errors.ErrUnsupported }

// NamesUpTo is not here yet.
func (d *Dir) NamesUpTo(string, int) ([]string, error) { return nil, errors.ErrUnsupported }

// Target is not here yet.
func (d *Dir) Target(string) (string, error) { return "", errors.ErrUnsupported }

// Remove is not here yet.
func (d *Dir) Remove(string, Info) error { return errors.ErrUnsupported }

// SyncParent is not here yet.
func (d *Dir) SyncParent(string) error { return errors.ErrUnsupported }

// MakeDir is not here yet.
func (d *Dir) MakeDir(string, uint32) error { return errors.ErrUnsupported }

// MakeLink is not here yet.
func (d *Dir) MakeLink(string, string) error { return errors.ErrUnsupported }

// Link is not here yet.
func (d *Dir) Link(string, string) error { return errors.ErrUnsupported }

// Write is not here yet.
func (d *Dir) Write(string, []byte, Attributes, *Info) error { return errors.ErrUnsupported }

// Prepared is a file without its name.
type Prepared struct{}

// Prepare is not here yet.
func (d *Dir) Prepare(string, []byte, Attributes) (*Prepared, error) {
	return nil, errors.ErrUnsupported
}

// Sync is not here yet.
func (p *Prepared) Sync() error { return errors.ErrUnsupported }

// Place is not here yet.
func (p *Prepared) Place(*Info) error { return errors.ErrUnsupported }

// Drop is not here yet.
func (p *Prepared) Drop() error { return errors.ErrUnsupported }

// ApplyToDir is not here yet.
func (d *Dir) ApplyToDir(string, Attributes) error { return errors.ErrUnsupported }

// AttributesOfDir is not here yet.
func (d *Dir) AttributesOfDir(string) (Attributes, error) {
	return Attributes{}, errors.ErrUnsupported
}

// ClearImmutable is not here yet.
func (d *Dir) ClearImmutable(string, uint32) (int, error) { return 0, errors.ErrUnsupported }

// Again is not here yet.
func (d *Dir) Again() (*Dir, error) { return nil, errors.ErrUnsupported }

// PutFlags is not here yet.
func (d *Dir) PutFlags(string, uint32, int) error { return errors.ErrUnsupported }

// Loosen is not here yet.
func (d *Dir) Loosen(string, uint32, uint32) (uint32, func(), error) {
	return 0, nil, errors.ErrUnsupported
}

// AttributesOf is not here yet.
func AttributesOf(*os.File, Info) (Attributes, error) { return Attributes{}, errors.ErrUnsupported }

func relative(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// Dial is not here yet.
func (d *Dir) Dial(context.Context, string, uint32) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
