// Package files works in a folder whose owner may be hostile: every name is
// resolved below an open directory, component by component, without following
// a link, a magic link or a mount, and only regular files are ever opened. It
// must not know what a file means or follow a path handed to it any other way.
package files

import (
	"errors"
	"io/fs"
	"time"
)

// Kind is what a name stands for.
type Kind uint8

// Kinds. The zero value is none.
const (
	None Kind = iota
	Regular
	Directory
	Link
	FIFO
	Socket
	Device
)

// String is the word a receipt uses.
func (k Kind) String() string {
	return [...]string{"none", "file", "directory", "link", "fifo", "socket", "device"}[k]
}

// Errors.
var (
	// ErrLink: a component of the name is a link.
	ErrLink = errors.New("a link is in the way")
	// ErrMount: the name leads onto another file system.
	ErrMount = errors.New("on another file system")
	// ErrNotRegular: it is no regular file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge: it has more bytes than the caller wants to read.
	ErrTooLarge = errors.New("file is too large")
	// ErrChanged: it is not the file it was a moment ago.
	ErrChanged = errors.New("file changed meanwhile")
	// ErrImmutable: its flags forbid the change.
	ErrImmutable = errors.New("file is immutable")
	// ErrNotExist and ErrPermission are those of io/fs.
	ErrNotExist   = fs.ErrNotExist
	ErrPermission = fs.ErrPermission
	// ErrExist: something has that name already.
	ErrExist = fs.ErrExist
)

// Info is what lstat says.
type Info struct {
	Kind     Kind
	UID, GID uint32
	// Mode is the permission bits with setuid, setgid and sticky.
	Mode       uint32
	Links      uint64
	Size       int64
	ModTime    time.Time
	AccessTime time.Time
	Device     uint64
	Inode      uint64
}

// Same reports whether both are one file with unchanged content, as far as
// inode, size and modification time tell.
func (i Info) Same(o Info) bool {
	return i.Device == o.Device && i.Inode == o.Inode && i.Size == o.Size && i.ModTime.Equal(o.ModTime)
}

// Attributes are what a rewritten or restored file keeps.
type Attributes struct {
	UID        uint32            `json:"uid"`
	GID        uint32            `json:"gid"`
	Mode       uint32            `json:"mode"`
	ModTime    time.Time         `json:"mtime"`
	AccessTime time.Time         `json:"atime"`
	Xattrs     map[string][]byte `json:"xattrs,omitempty"`
}

// MaxNames bounds how many names of one folder are read.
const MaxNames = 10_000
