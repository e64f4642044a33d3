package files

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Write puts data at name, whole or not at all, with the attributes. was nil:
// nothing may have that name (ErrExist); else what has it must still be what
// was described (ErrChanged). The bytes are durable before they get the name.
func (d *Dir) Write(name string, data []byte, as Attributes, was *Info) error {
	p, err := d.Prepare(name, data, as)
	if err != nil {
		return err
	}
	if err := p.Sync(); err != nil {
		return errors.Join(err, p.Drop())
	}
	parent, err := unix.FcntlInt(uintptr(p.parent), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return errors.Join(wrap("write", name, err), p.Drop())
	}
	defer unix.Close(parent)
	if err := p.Place(was); err != nil {
		return err
	}
	return wrap("write", name, fsyncFolder(parent))
}

// Prepared is a file that has all its bytes and attributes, and not its name
// yet. Place or Drop ends it. It is not safe for concurrent use, but Sync may
// run beside anything that is done to other files.
type Prepared struct {
	name       string
	parent     int
	temp, base string
	file       *os.File
}

// Prepare writes data beside name, with the attributes, for Place to put there.
func (d *Dir) Prepare(name string, data []byte, as Attributes) (*Prepared, error) {
	parent, base, err := d.parent(name)
	if err != nil {
		return nil, wrap("write", name, err)
	}
	defer keepTimes(parent)()
	p := &Prepared{name: name, parent: parent, base: base}
	if p.file, p.temp, err = writeTemp(parent, base, data, as); err != nil {
		return nil, errors.Join(wrap("write", name, err), unix.Close(parent))
	}
	return p, nil
}

// Sync makes the bytes durable. It changes no time and no name.
func (p *Prepared) Sync() error { return wrap("write", p.name, p.file.Sync()) }

// Place gives the file its name: see Write. The bytes must be durable (Sync);
// that the name is, is for SyncParent.
func (p *Prepared) Place(was *Info) error {
	times := keepTimes(p.parent)
	err := place(p.parent, p.temp, p.base, was)
	times()
	if err != nil {
		return errors.Join(wrap("write", p.name, err), p.Drop())
	}
	return p.close()
}

// Drop takes the file away again.
func (p *Prepared) Drop() error {
	times := keepTimes(p.parent)
	err := unix.Unlinkat(p.parent, p.temp, 0)
	times()
	return errors.Join(wrap("remove temporary file of", p.name, err), p.close())
}

func (p *Prepared) close() error {
	return wrap("write", p.name, errors.Join(p.file.Close(), unix.Close(p.parent)))
}

func place(parent int, temp, base string, was *Info) error {
	if was == nil {
		return unix.Renameat2(parent, temp, parent, base, unix.RENAME_NOREPLACE)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if now := info(&st); !now.Same(*was) || now.Kind != Regular || now.Links > 1 {
		return ErrChanged
	}
	err := unix.Renameat(parent, temp, parent, base)
	if (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) && immutable(parent, base) {
		return ErrImmutable
	}
	return err
}

// writeTemp writes data beside base. The name follows from base, so that what a
// killed predecessor left there, which may be a secret being restored, is
// replaced and not forgotten.
func writeTemp(parent int, base string, data []byte, as Attributes) (*os.File, string, error) {
	sum := sha256.Sum256([]byte(base))
	temp := tempPrefix + hex.EncodeToString(sum[:8])
	fd, err := createTemp(parent, temp)
	if err != nil {
		return nil, "", err
	}
	if fd < 0 {
		// Somebody planted what cannot be unlinked; he cannot guess this one.
		temp = tempPrefix + rand.Text()
		if fd, err = createTemp(parent, temp); err != nil {
			return nil, "", err
		}
	}
	if fd < 0 {
		return nil, "", unix.EEXIST
	}
	file := os.NewFile(uintptr(fd), temp)
	_, err = file.Write(data)
	if err == nil {
		err = apply(fd, as)
	}
	if err != nil {
		return nil, "", errors.Join(err, file.Close(), unix.Unlinkat(parent, temp, 0))
	}
	return file, temp, nil
}

// createTemp makes a new file, in place of one that is there already. It
// answers -1 if what is there cannot be unlinked.
func createTemp(parent int, temp string) (int, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, temp, flags, 0o600)
	if !errors.Is(err, unix.EEXIST) {
		return fd, err
	}
	if err := unix.Unlinkat(parent, temp, 0); err != nil {
		return -1, nil
	}
	fd, err = unix.Openat(parent, temp, flags, 0o600)
	if errors.Is(err, unix.EEXIST) {
		return -1, nil
	}
	return fd, err
}

// fsyncFolder syncs a folder that is open by O_PATH only.
func fsyncFolder(parent int) error {
	fd, err := unix.Openat(parent, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}
