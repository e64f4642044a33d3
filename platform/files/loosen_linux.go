package files

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Loosen adds the permission bits to the file or folder name, which must belong
// to owner, and returns what takes them back, wherever the name leads by then.
// It returns ErrPermission if it is another's, and no function if nothing was
// missing. A link is never followed: the mode is changed through a descriptor.
func (d *Dir) Loosen(name string, owner, bits uint32) (mode uint32, restore func(), err error) {
	fd, err := d.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return 0, nil, wrap("open up", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = file.Close()
		return 0, nil, wrap("stat", name, err)
	}
	i := info(&st)
	if i.Kind != Regular && i.Kind != Directory || i.UID != owner {
		_ = file.Close()
		return 0, nil, wrap("open up", name, ErrPermission)
	}
	if i.Mode&bits == bits {
		_ = file.Close()
		return i.Mode, nil, nil
	}
	through := "/proc/self/fd/" + strconv.Itoa(fd)
	if err := unix.Chmod(through, i.Mode|bits); err != nil {
		_ = file.Close()
		return 0, nil, wrap("open up", name, err)
	}
	return i.Mode, func() {
		_ = unix.Chmod(through, i.Mode) // gone by now: nothing to take back
		_ = file.Close()
	}, nil
}
