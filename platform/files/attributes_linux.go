package files

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// The lists of POSIX ACLs.
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// maxXattrs bounds the extended attributes of one file, in bytes.
const maxXattrs = 64 << 10

// AttributesOf reads what a rewritten file keeps.
func AttributesOf(file *os.File, i Info) (Attributes, error) {
	as := Attributes{UID: i.UID, GID: i.GID, Mode: i.Mode, ModTime: i.ModTime, AccessTime: i.AccessTime}
	fd := int(file.Fd())
	list := make([]byte, 512) // most files have none, or few
	n, err := unix.Flistxattr(fd, list)
	if errors.Is(err, unix.ERANGE) {
		list = make([]byte, maxXattrs)
		n, err = unix.Flistxattr(fd, list)
	}
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return as, nil
	}
	if err != nil {
		return as, wrap("list attributes of", file.Name(), err)
	}
	as.Xattrs = map[string][]byte{}
	value := make([]byte, maxXattrs)
	for name := range bytes.SplitSeq(bytes.TrimRight(list[:n], "\x00"), []byte{0}) {
		size, err := unix.Fgetxattr(fd, string(name), value)
		if err != nil {
			continue // gone meanwhile, or not for this user's eyes
		}
		as.Xattrs[string(name)] = bytes.Clone(value[:size])
	}
	return as, nil
}

// apply gives an open file the attributes. What belongs to the system (its
// security labels) is tried, and left to the system where it says no.
func apply(fd int, as Attributes) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid != as.UID || st.Gid != as.GID {
		err := unix.Fchown(fd, int(as.UID), int(as.GID))
		if errors.Is(err, unix.EPERM) && st.Uid == as.UID {
			as.Mode &^= 0o070 // a group the user is not in: nobody gains by the one he is in
		} else if err != nil {
			return err
		}
	}
	for _, name := range []string{accessACL, defaultACL} {
		if _, had := as.Xattrs[name]; !had {
			_ = unix.Fremovexattr(fd, name) // what the folder around it gives to new files
		}
	}
	for name, value := range as.Xattrs {
		err := unix.Fsetxattr(fd, name, value, 0)
		if err != nil && strings.HasPrefix(name, "user.") {
			return err
		}
		if err != nil && name == accessACL {
			as.Mode &^= 0o070 // they were the list's bound, not the group's rights
		}
	}
	if err := setTimes(fd, as); err != nil {
		return err
	}
	// Last: a read-only file would not take the attributes, and whoever finds the
	// mode finds all of them.
	return unix.Fchmod(fd, as.Mode)
}

func setTimes(fd int, as Attributes) error {
	atime, err := unix.TimeToTimespec(as.AccessTime)
	if err != nil {
		return err
	}
	mtime, err := unix.TimeToTimespec(as.ModTime)
	if err != nil {
		return err
	}
	// AT_EMPTY_PATH: the descriptor itself.
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{atime, mtime}, unix.AT_EMPTY_PATH)
}

// keepTimes returns what gives a folder the times it has now: what is done in
// it meanwhile is ours, and not for its owner to see. Another owner's folder
// keeps what the system gives it.
func keepTimes(folder int) func() {
	var st unix.Stat_t
	if err := unix.Fstat(folder, &st); err != nil {
		return func() {}
	}
	return func() {
		_ = unix.UtimesNanoAt(folder, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
	}
}

// ApplyToDir gives the folder name the attributes: after what is in it is back.
func (d *Dir) ApplyToDir(name string, as Attributes) error {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return wrap("restore", name, err)
	}
	defer unix.Close(fd)
	return wrap("restore", name, apply(fd, as))
}

// AttributesOfDir reads the attributes of the folder name.
func (d *Dir) AttributesOfDir(name string) (Attributes, error) {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return Attributes{}, wrap("open", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Attributes{}, wrap("stat", name, err)
	}
	return AttributesOf(file, info(&st))
}

// immutable reports whether the flags of base or of its folder forbid changes.
func immutable(parent int, base string) bool {
	return flagged(parent, base) || flagged(parent, ".")
}

func flagged(parent int, name string) bool {
	var stx unix.Statx_t
	err := unix.Statx(parent, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &stx)
	return err == nil && stx.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}

// The flags that guard a file: FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h.
const guards = 0x10 | 0x20

// ClearImmutable takes the immutable and append-only flags off a regular file
// that belongs to owner, and returns those it had. Only root may.
func (d *Dir) ClearImmutable(name string, owner uint32) (had int, err error) {
	err = d.changeFlags(name, owner, func(flags int) int {
		had = flags & guards
		return flags &^ guards
	})
	return had, err
}

// PutFlags puts back what ClearImmutable took off.
func (d *Dir) PutFlags(name string, owner uint32, had int) error {
	return d.changeFlags(name, owner, func(flags int) int { return flags | had&guards })
}

func (d *Dir) changeFlags(name string, owner uint32, change func(int) int) error {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW)
	if err != nil {
		return wrap("open", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return wrap("stat", name, err)
	}
	if kind(st.Mode) != Regular || st.Uid != owner || st.Nlink > 1 {
		return wrap("change flags of", name, unix.EPERM)
	}
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return wrap("read flags of", name, err)
	}
	return wrap("change flags of", name, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, change(flags)))
}
