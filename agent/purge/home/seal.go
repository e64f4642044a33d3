package home

import (
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// meta leads the plaintext of a sealed item and says how it goes back. It is
// inside the encryption: nobody but the server's key reads it.
type meta struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Kind: file (whole), edit (the original of a mixed file), dir (a tar),
	// database (a tar of it and what lay beside it), keyring (an item's secret).
	Kind string           `json:"kind"`
	Base string           `json:"base"`
	Name string           `json:"name"`
	As   files.Attributes `json:"attributes"`
	// Inode tells that two items were names of one file.
	Inode uint64 `json:"inode,omitempty"`
	// Folders are the attributes of the folders above it, the innermost first: one
	// that is gone by then is made again.
	Folders []files.Attributes `json:"folders,omitempty"`
	// After is SHA-256 of what was left of a mixed file: it goes back only over
	// exactly that.
	After []byte `json:"after,omitempty"`
	// Keyring is for kind keyring: Base and Name are its bus.
	Keyring *keyringItem `json:"keyring,omitempty"`
}

const (
	metaVersion = 1
	maxMeta     = 1 << 20
	chunk       = 256 << 10
)

// waiting is an item whose copy is on its way to being durable.
type waiting struct {
	copy *sealing
	of   *catalogue.Credential
	item wire.Item
	at   place
	info files.Info
	// then takes it away.
	then func(wire.Item) error
	// rest is what is left of a mixed file, when that is what becomes durable: it
	// is no copy, and takes the place of the file.
	rest *rewriting
}

// sealFile seals a file, when the job is a seal; then, which takes it away, is
// called when the copy is durable, or none is needed.
func (w *Worker) sealFile(c *catalogue.Credential, i wire.Item, at place, info files.Info, data, rest []byte, then func(wire.Item) error) error {
	if w.job.Mode != wire.Seal || w.dropped(c) {
		return then(i)
	}
	i.Was = []uint64{wire.Print("", info)}
	wait := waiting{of: c, item: i, at: at, info: info, then: then}
	if w.kept(&wait.item) {
		return then(wait.item)
	}
	as, err := w.attributes(at)
	if err == nil && data == nil {
		var now files.Info
		if data, now, err = w.dir(at.base).Read(at.name, maxSeal); err == nil && !now.Same(info) {
			err = files.ErrChanged
		}
		defer clear(data)
	}
	if err != nil {
		return w.unsealable(wait, err)
	}
	m := meta{Kind: "file", Base: at.base, Name: at.name, As: as, Inode: info.Inode, Folders: w.above(at)}
	if rest != nil && info.Links == 1 {
		sum := sha256.Sum256(rest)
		m.Kind, m.After = "edit", sum[:]
	}
	wait.copy = w.pipe.seal(wait.item, m, int64(len(data)), func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
	return w.later(wait)
}

// sealFolder is sealFile for a folder.
func (w *Worker) sealFolder(c *catalogue.Credential, i wire.Item, at place, info files.Info, all []member, then func(wire.Item) error) error {
	if w.job.Mode != wire.Seal || w.dropped(c) {
		i.Was = nil
		return then(i)
	}
	size := int64(0)
	for _, m := range all {
		size += m.info.Size
	}
	wait := waiting{of: c, item: i, at: at, info: info, then: then}
	if w.kept(&wait.item) {
		return then(wait.item)
	}
	if size > maxSeal {
		return w.unsealable(wait, files.ErrTooLarge)
	}
	as, err := w.dir(at.base).AttributesOfDir(at.name)
	if err != nil {
		return w.unsealable(wait, err)
	}
	as = w.original(at, as)
	m := meta{Kind: "dir", Base: at.base, Name: at.name, As: as, Folders: w.above(at)}
	wait.copy = w.pipe.seal(wait.item, m, size, func(out io.Writer) error { return w.pack(out, at, as, all) })
	return w.later(wait)
}

// above reads the attributes of the folders above a place, up to the home.
func (w *Worker) above(at place) []files.Attributes {
	var out []files.Attributes
	for name := path.Dir(at.name); name != "." && name != "/"; name = path.Dir(name) {
		in := place{at.base, name}
		as, known := w.folders[in]
		if !known {
			var err error
			if as, err = w.dir(in.base).AttributesOfDir(in.name); err != nil {
				return out // nearer ones are what counts
			}
			as = w.original(in, as)
			w.folders[in] = as
		}
		out = append(out, as)
	}
	return out
}

// dropped: an expiry that removes outright what a sign-in regains.
func (w *Worker) dropped(c *catalogue.Credential) bool {
	return w.job.DropRegainable && c.Regain == catalogue.SignIn
}

// kept finds the copy that a killed predecessor made of what lies there still:
// the item gets its id, and needs no other. What came back after a seal gets an
// id of its own: it is sealed beside the first copy, never over it.
func (w *Worker) kept(i *wire.Item) bool {
	w.ids.Lock()
	defer w.ids.Unlock()
	for again := 0; ; again++ {
		i.ID = ID(i.Product, w.job.User, i.Path, again)
		was, unreported := w.job.Kept[i.ID]
		if unreported && covers(was, i.Was) {
			delete(w.job.Kept, i.ID)
			i.Sealed, i.Was = true, nil
			return true
		}
		if !w.taken[i.ID] {
			w.taken[i.ID] = true
			return false
		}
	}
}

// begun reports whether a killed predecessor sealed the item.
func (w *Worker) begun(i wire.Item) bool {
	w.ids.Lock()
	defer w.ids.Unlock()
	for again := 0; ; again++ {
		id := ID(i.Product, w.job.User, i.Path, again)
		if was, unreported := w.job.Kept[id]; unreported && covers(was, i.Was) {
			return true
		}
		if !w.taken[id] {
			return false
		}
	}
}

// forget gives an id back that got no copy.
func (w *Worker) forget(id string) {
	w.ids.Lock()
	defer w.ids.Unlock()
	delete(w.taken, id)
}

// covers reports whether a copy with the prints in was holds all of now: less
// may be there, where the predecessor had begun.
func covers(was, now []uint64) bool {
	was = slices.Sorted(slices.Values(was))
	return !slices.ContainsFunc(now, func(p uint64) bool {
		_, found := slices.BinarySearch(was, p)
		return !found
	})
}

// later puts an item in line, and takes away what is durable by now.
func (w *Worker) later(wait waiting) error {
	wait.item.Was = nil // told by now
	w.line = append(w.line, wait)
	return w.settle(false)
}

// settle takes away what has a durable copy, in the order in which it was
// sealed; all: it waits for every copy.
func (w *Worker) settle(all bool) error {
	var over error
	for len(w.line) > 0 && (all || w.line[0].copy.settled()) {
		next := w.line[0]
		w.line = w.line[1:]
		err := next.copy.wait()
		switch {
		case next.rest != nil:
			err = next.rest.place(err)
		case err == nil:
			next.item.Sealed = true
			err = next.then(next.item)
		case errors.Is(err, errBudget):
			over, err = err, nil
		case !errors.Is(err, errParent):
			err = w.unsealable(next, err)
		}
		if err != nil {
			return err
		}
	}
	return over
}

// unsealable: without a sealed copy only what a sign-in regains may go.
func (w *Worker) unsealable(wait waiting, why error) error {
	w.forget(wait.item.ID)
	if wait.of.Regain == catalogue.SignIn && !errors.Is(why, files.ErrChanged) {
		return wait.then(wait.item)
	}
	return w.left(wait.item, wire.Blocked, detailOf(why))
}

// overlaps reports whether an item in line is at the place, above or below it,
// or another name of what lies there.
func (w *Worker) overlaps(at place, info files.Info) bool {
	return slices.ContainsFunc(w.line, func(o waiting) bool {
		return o.info.Device == info.Device && o.info.Inode == info.Inode || o.at.base == at.base &&
			(strings.HasPrefix(o.at.name+"/", at.name+"/") || strings.HasPrefix(at.name+"/", o.at.name+"/"))
	})
}
