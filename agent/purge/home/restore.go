package home

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"

	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// maxSealed bounds one sealed item's ciphertext.
const maxSealed = maxSeal + 8<<20

// restoreAll puts back what the parent sends.
func (w *Worker) restoreAll() error {
	for {
		kind, payload, err := wire.Read(w.in)
		if err != nil {
			return err
		}
		switch kind {
		case wire.KindDone:
			return nil
		case wire.KindRestore:
			var r wire.RestoreItem
			if err := wire.Unmarshal(payload, &r); err != nil {
				return err
			}
			sealed, err := w.receive()
			if err != nil {
				return err
			}
			i := wire.Item{ID: r.ID, Action: "left", Outcome: wire.Blocked, Sealed: true}
			i.Detail = w.putBack(&i, r, sealed)
			clear(r.Key)
			if err := w.report(i); err != nil {
				return err
			}
		default:
			return wire.ErrFrame
		}
	}
}

func (w *Worker) receive() ([]byte, error) {
	var all []byte
	for {
		kind, payload, err := wire.Read(w.in)
		switch {
		case err != nil:
			return nil, err
		case kind == wire.KindEnd:
			return all, nil
		case kind != wire.KindChunk || len(all)+len(payload) > maxSealed:
			return nil, wire.ErrFrame
		}
		all = append(all, payload...)
	}
}

// putBack puts one item back and returns the word for how that went.
func (w *Worker) putBack(i *wire.Item, r wire.RestoreItem, sealed []byte) string {
	if len(r.Key) == 0 {
		return "refused"
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), age.NewInjectedFileKeyIdentity(r.Key))
	if err != nil {
		return "unreadable"
	}
	m, err := readMeta(plain)
	if err != nil || m.ID != r.ID {
		return "unreadable"
	}
	if m.Kind == "keyring" {
		return w.restoreKeyring(i, m, plain)
	}
	i.Base, i.Name = m.Base, m.Name
	w.approach(place{base: m.Base, name: m.Name})
	if err := w.ancestors(m); err != nil {
		return notBack(i, err)
	}
	back := w.restoreFile
	switch m.Kind {
	case "dir":
		back = w.restoreFolder
	case "database":
		back = w.restoreDatabase
	}
	came, err := back(m, plain)
	switch {
	case errors.Is(err, errUnreadable):
		return "unreadable"
	case err != nil:
		return notBack(i, err)
	case came:
		return "came-back"
	}
	i.Action, i.Outcome, i.Sealed = map[string]string{"file": "delete", "edit": "edit", "dir": "delete-dir", "database": "edit"}[m.Kind], wire.Verified, false
	if m.Kind == "database" && m.After == nil {
		i.Action = "delete"
	}
	w.changed(place{m.Base, m.Name})
	return "restored"
}

// notBack is the word for what did not go back. Room can be made: it is tried
// again.
func notBack(i *wire.Item, err error) string {
	detail := detailOf(err)
	if detail == detailNoRoom {
		i.Outcome = wire.Retrying
	}
	return detail
}

// errUnreadable: the sealed copy is not what was sealed.
var errUnreadable = errors.New("sealed item cannot be read")

func readMeta(plain io.Reader) (meta, error) {
	var size [4]byte
	if _, err := io.ReadFull(plain, size[:]); err != nil {
		return meta{}, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxMeta {
		return meta{}, errUnreadable
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(plain, head); err != nil {
		return meta{}, err
	}
	var m meta
	if err := json.Unmarshal(head, &m); err != nil || m.Version != metaVersion ||
		!slices.Contains([]string{wire.InHome, wire.InRoot}, m.Base) || !slices.Contains([]string{"file", "edit", "dir", "database", "keyring"}, m.Kind) ||
		(m.Kind == "keyring") != (m.Keyring != nil) {
		return meta{}, errUnreadable
	}
	return m, nil
}

// restoreFile puts a file back. came says that another is there meanwhile.
func (w *Worker) restoreFile(m meta, plain io.Reader) (came bool, err error) {
	data, err := io.ReadAll(io.LimitReader(plain, maxSeal+1))
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	defer clear(data)
	d := w.dir(m.Base)
	if info, err := d.Stat(m.Name); err == nil {
		defer w.readable(place{base: m.Base, name: m.Name}, info)()
	}
	now, info, err := d.Read(m.Name, maxSeal)
	switch {
	case errors.Is(err, files.ErrNotExist):
		if err := w.rejoin(m, data); err == nil {
			return false, nil
		}
		err := d.Write(m.Name, data, m.As, nil)
		return errors.Is(err, files.ErrExist), ignoring(err, files.ErrExist)
	case errors.Is(err, files.ErrNotRegular), errors.Is(err, files.ErrTooLarge):
		return true, nil
	case err != nil:
		return false, err
	case bytes.Equal(now, data):
		if m.Kind == "file" {
			w.names[m.Inode] = m
		}
		return false, nil // back already
	}
	sum := sha256.Sum256(now)
	if m.Kind != "edit" || !bytes.Equal(sum[:], m.After) || info.Links > 1 {
		return true, nil
	}
	return false, d.Write(m.Name, data, m.As, &info)
}

// rejoin makes an item another name of a file that is back already, if it was
// one before: one inode, one content, one time.
func (w *Worker) rejoin(m meta, data []byte) error {
	other, back := w.names[m.Inode]
	if !back || other.Base != m.Base || !other.As.ModTime.Equal(m.As.ModTime) {
		w.names[m.Inode] = m
		return files.ErrNotExist
	}
	now, _, err := w.dir(m.Base).Read(other.Name, maxSeal)
	if err != nil || !bytes.Equal(now, data) {
		return files.ErrChanged
	}
	return w.dir(m.Base).Link(other.Name, m.Name)
}

func ignoring(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// restoreFolder unpacks a folder. What is there already stays as it is.
func (w *Worker) restoreFolder(m meta, plain io.Reader) (came bool, err error) {
	d := w.dir(m.Base)
	type made struct {
		name string
		as   files.Attributes
	}
	var folders []made
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		name := path.Join(m.Name, path.Clean("/"+h.Name))
		as := attributesFrom(h)
		switch h.Typeflag {
		case tar.TypeDir:
			var ours bool
			if ours, err = w.makeFolder(place{m.Base, name}, as); ours {
				folders = append(folders, made{name, as})
			}
		case tar.TypeSymlink:
			err = ignoring(d.MakeLink(name, h.Linkname), files.ErrExist)
		case tar.TypeLink:
			err = ignoring(d.Link(path.Join(m.Name, path.Clean("/"+h.Linkname)), name), files.ErrExist)
		case tar.TypeReg:
			var there bool
			there, err = w.restoreMember(d, name, as, tr)
			came = came || there
		}
		if err != nil {
			return came, err
		}
	}
	slices.Reverse(folders) // times of a folder after what is in it
	for _, f := range folders {
		if err := d.ApplyToDir(f.name, f.as); err != nil {
			return came, err
		}
	}
	return came, nil
}

func (w *Worker) restoreMember(d *files.Dir, name string, as files.Attributes, content io.Reader) (came bool, err error) {
	data, err := io.ReadAll(io.LimitReader(content, maxSeal))
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	defer clear(data)
	err = d.Write(name, data, as, nil)
	if !errors.Is(err, files.ErrExist) {
		return false, err
	}
	now, _, err := d.Read(name, maxSeal)
	return err != nil || !bytes.Equal(now, data), nil
}

// ancestors makes the folders above an item that are gone, as they were.
func (w *Worker) ancestors(m meta) error {
	d, at := w.dir(m.Base), ""
	parts := strings.Split(path.Dir(m.Name), "/")
	for n, part := range parts {
		if at = path.Join(at, part); at == "" || at == "." {
			continue
		}
		above := len(parts) - 1 - n
		if above >= len(m.Folders) { // nothing is known of it
			if err := ignoring(d.MakeDir(at, 0o700), files.ErrExist); err != nil {
				return err
			}
			continue
		}
		ours, err := w.makeFolder(place{m.Base, at}, m.Folders[above])
		if err == nil && ours {
			w.changed(place{m.Base, at})
			err = d.ApplyToDir(at, m.Folders[above])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unfinished marks a folder that was made and does not have its attributes yet;
// they come over it in one step. On a folder of the user's own it says nothing
// to anybody else.
const unfinished = 0o1000

// makeFolder makes a folder that is to get these attributes. ours: it was made
// now, or by a predecessor that was killed before it came to them. What its
// owner made meanwhile is his.
func (w *Worker) makeFolder(at place, as files.Attributes) (ours bool, err error) {
	d := w.dir(at.base)
	if err = d.MakeDir(at.name, unfinished|ownerAll); !errors.Is(err, files.ErrExist) {
		return err == nil, err
	}
	info, err := d.Stat(at.name)
	if err != nil || info.Kind != files.Directory || info.UID != w.job.UID || info.Mode&unfinished == 0 {
		return false, nil //nolint:nilerr // something is there, and not ours
	}
	return as.Mode&unfinished == 0 || info.Mode&0o777 == ownerAll, nil
}
