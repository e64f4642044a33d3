package files

import (
	"os"

	"golang.org/x/sys/unix"
)

// Enter opens the folder name below d, following no link.
func (d *Dir) Enter(name string) (*Dir, error) {
	fd, err := d.open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	return &Dir{file: os.NewFile(uintptr(fd), name), resolve: d.resolve}, nil
}
