package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	strict = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	// tempPrefix begins the name of a file that is being written.
	tempPrefix = ".cutoff-"
)

// Dir is an open folder below which all names are resolved.
type Dir struct {
	file    *os.File
	resolve uint64
}

// Open opens the folder at name as it is, following links in it: the caller
// vouches for name.
func Open(name string) (*Dir, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	return FromFile(os.NewFile(uintptr(fd), name)), nil
}

// FromFile takes over an open folder. Mounts below it are not crossed.
func FromFile(f *os.File) *Dir {
	return &Dir{file: f, resolve: strict | unix.RESOLVE_NO_XDEV}
}

// AcrossMounts is the same folder, with mounts below it crossed. It shares the
// descriptor.
func (d *Dir) AcrossMounts() *Dir { return &Dir{file: d.file, resolve: strict} }

// File is the descriptor, to be handed to a child.
func (d *Dir) File() *os.File { return d.file }

// Again is the same folder with a descriptor of its own, for whoever may go on
// with it when the other is closed.
func (d *Dir) Again() (*Dir, error) {
	fd, err := unix.FcntlInt(d.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, wrap("open again", ".", err)
	}
	return &Dir{file: os.NewFile(uintptr(fd), d.file.Name()), resolve: d.resolve}, nil
}

// Close closes the folder.
func (d *Dir) Close() error { return d.file.Close() }

// Below opens the folder name as if d were the root of the file system: links
// are followed inside it. For homes, whose names an administrator vouches for.
func (d *Dir) Below(name string) (*Dir, error) {
	fd, err := openat2(d.fd(), relative(name), unix.O_PATH|unix.O_DIRECTORY, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	return FromFile(os.NewFile(uintptr(fd), name)), nil
}

// Self describes the folder itself.
func (d *Dir) Self() (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return Info{}, wrap("stat", ".", err)
	}
	return info(&st), nil
}

// Stat describes name itself: a link is a link.
func (d *Dir) Stat(name string) (Info, error) {
	fd, err := d.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return Info{}, wrap("stat", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Info{}, wrap("stat", name, err)
	}
	return info(&st), nil
}

// OpenRegular opens the regular file name for reading; it never blocks on a
// FIFO and leaves the access time alone where the system allows.
func (d *Dir) OpenRegular(name string) (*os.File, Info, error) {
	if i, err := d.Stat(name); err != nil {
		return nil, Info{}, err
	} else if i.Kind != Regular {
		return nil, i, fmt.Errorf("open %s: %w", name, ErrNotRegular)
	}
	flags := uint64(unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_NOCTTY)
	fd, err := d.open(name, flags|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		fd, err = d.open(name, flags)
	}
	if err != nil {
		return nil, Info{}, wrap("open", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, Info{}, errors.Join(wrap("stat", name, err), file.Close())
	}
	i := info(&st)
	if i.Kind != Regular {
		return nil, i, errors.Join(fmt.Errorf("open %s: %w", name, ErrNotRegular), file.Close())
	}
	return file, i, nil
}

// Read reads the regular file name, of at most limit bytes.
func (d *Dir) Read(name string, limit int64) ([]byte, Info, error) {
	file, i, err := d.OpenRegular(name)
	if err != nil {
		return nil, i, err
	}
	defer file.Close()
	if i.Size > limit {
		return nil, i, fmt.Errorf("read %s: %w", name, ErrTooLarge)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, i, wrap("read", name, err)
	}
	if int64(len(data)) > limit {
		return nil, i, fmt.Errorf("read %s: %w", name, ErrTooLarge)
	}
	return data, i, nil
}

// Names lists the folder name, at most MaxNames, in the system's order.
func (d *Dir) Names(name string) ([]string, error) { return d.NamesUpTo(name, MaxNames) }

// NamesUpTo is Names with a bound of the caller's.
func (d *Dir) NamesUpTo(name string, most int) ([]string, error) {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, wrap("list", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	names, err := file.Readdirnames(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, wrap("list", name, err)
	}
	return names, nil
}

// Target reads the link name.
func (d *Dir) Target(name string) (string, error) {
	parent, base, err := d.parent(name)
	if err != nil {
		return "", wrap("read link", name, err)
	}
	defer unix.Close(parent)
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(parent, base, buf)
	if err != nil {
		return "", wrap("read link", name, err)
	}
	return string(buf[:n]), nil
}

// Remove unlinks name, which must still be what was described; a folder must
// be empty.
func (d *Dir) Remove(name string, was Info) error {
	parent, base, err := d.parent(name)
	if err != nil {
		return wrap("remove", name, err)
	}
	defer unix.Close(parent)
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return wrap("remove", name, err)
	}
	if now := info(&st); now.Kind == Regular && !now.Same(was) || now.Inode != was.Inode || now.Device != was.Device {
		return fmt.Errorf("remove %s: %w", name, ErrChanged)
	}
	flags := 0
	if was.Kind == Directory {
		flags = unix.AT_REMOVEDIR
	}
	defer keepTimes(parent)()
	err = unix.Unlinkat(parent, base, flags)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		if immutable(parent, base) {
			return fmt.Errorf("remove %s: %w", name, ErrImmutable)
		}
	}
	return wrap("remove", name, err)
}

// SyncParent makes changes of the folder that holds name durable.
func (d *Dir) SyncParent(name string) error {
	fd, err := d.open(path.Dir(relative(name)), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return wrap("sync folder of", name, err)
	}
	defer unix.Close(fd)
	return wrap("sync folder of", name, unix.Fsync(fd))
}

// MakeDir makes the folder name with the attributes; ErrExist if it is there.
func (d *Dir) MakeDir(name string, mode uint32) error {
	parent, base, err := d.parent(name)
	if err != nil {
		return wrap("make folder", name, err)
	}
	defer unix.Close(parent)
	defer keepTimes(parent)()
	return wrap("make folder", name, unix.Mkdirat(parent, base, mode))
}

// MakeLink makes the symbolic link name.
func (d *Dir) MakeLink(name, target string) error {
	parent, base, err := d.parent(name)
	if err != nil {
		return wrap("make link", name, err)
	}
	defer unix.Close(parent)
	defer keepTimes(parent)()
	return wrap("make link", name, unix.Symlinkat(target, parent, base))
}

// Link makes name another name of the regular file existing.
func (d *Dir) Link(existing, name string) error {
	from, old, err := d.parent(existing)
	if err != nil {
		return wrap("link", existing, err)
	}
	defer unix.Close(from)
	parent, base, err := d.parent(name)
	if err != nil {
		return wrap("link", name, err)
	}
	defer unix.Close(parent)
	defer keepTimes(parent)()
	return wrap("link", name, unix.Linkat(from, old, parent, base, 0)) // no link is followed
}

func (d *Dir) fd() int { return int(d.file.Fd()) }

func (d *Dir) open(name string, flags uint64) (int, error) {
	return openat2(d.fd(), relative(name), flags, 0, d.resolve)
}

// parent opens the folder that holds name and returns the last component.
func (d *Dir) parent(name string) (int, string, error) {
	name = relative(name)
	base := path.Base(name)
	if base == "." || base == ".." {
		return -1, "", unix.EINVAL
	}
	fd, err := d.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	return fd, base, err
}

func openat2(dir int, name string, flags, mode, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: mode, Resolve: resolve}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// relative makes name relative to the folder; it never climbs out of it.
func relative(name string) string {
	if isRelative(name) {
		return name
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// isRelative reports whether relative would leave name as it is, which is what
// most names are.
func isRelative(name string) bool {
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if part := name[start:i]; part == "" || part == "." || part == ".." {
			return false
		}
		start = i + 1
	}
	return true
}

func info(st *unix.Stat_t) Info {
	return Info{
		Kind: kind(st.Mode), UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777,
		Links: uint64(st.Nlink), //nolint:unconvert // another width on other architectures
		Size:  st.Size, Device: st.Dev, Inode: st.Ino,
		ModTime: time.Unix(st.Mtim.Unix()), AccessTime: time.Unix(st.Atim.Unix()),
	}
}

func kind(mode uint32) Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return Regular
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFLNK:
		return Link
	case unix.S_IFIFO:
		return FIFO
	case unix.S_IFSOCK:
		return Socket
	default:
		return Device
	}
}

// wrap names the act and turns the kernel's refusals into this package's.
func wrap(act, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ELOOP):
		err = ErrLink
	case errors.Is(err, unix.EXDEV):
		err = ErrMount
	case errors.Is(err, unix.ENOTDIR):
		err = ErrNotExist
	}
	return fmt.Errorf("%s %s: %w", act, name, err)
}

// Dial connects to the socket name, which must belong to owner. Its path may be
// of any length: the descriptor is what is connected to.
func (d *Dir) Dial(ctx context.Context, name string, owner uint32) (net.Conn, error) {
	fd, err := d.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, wrap("connect to", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, wrap("connect to", name, err)
	}
	if kind(st.Mode) != Socket || st.Uid != owner {
		return nil, wrap("connect to", name, ErrPermission)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(fd))
	if err != nil {
		return nil, wrap("connect to", name, err)
	}
	return conn, nil
}
