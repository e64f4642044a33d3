package home

import (
	"context"
	"path"
	"strconv"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/keyfile"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
	"cutoff/platform/paths"
	"cutoff/platform/secrets"
)

// keyringFiles treats the files of keyrings that no program has open: a daemon
// would write its own copy over whatever was done to them.
func (w *Worker) keyringFiles(context.Context) error {
	for i := range w.job.Catalogue {
		c := &w.job.Catalogue[i]
		if c.Action != catalogue.KeyringFile || w.open(c) {
			continue
		}
		for _, p := range c.Paths {
			for _, at := range append(w.usual(p), w.overridden(p)...) {
				if err := w.spend(1); err != nil {
					return err
				}
				if err := w.each(c, at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// open reports whether the files of an entry are some running program's.
func (w *Worker) open(c *catalogue.Credential) bool {
	for _, p := range w.serving {
		if p == secrets.KWallet && c.Product == "kwallet" || p != secrets.KWallet && p != secrets.KeePassXC && c.Product == "gnome-keyring" {
			return true
		}
	}
	return false
}

// keyringFile treats one. What can be read goes item by item. What is encrypted
// can only go whole: a purge takes what is its owner's alone only where all of it
// is the company's; a seal takes it, since it comes back as it was.
func (w *Worker) keyringFile(c *catalogue.Credential, at place, info files.Info, data []byte) error {
	f, err := keyfile.Parse(data)
	if err != nil {
		return nil //nolint:nilerr // it has the name of a keyring, and is none
	}
	for n := range f.Items {
		f.Items[n].Collection = strings.TrimSuffix(path.Base(at.name), ".keyring")
	}
	if f.Plain {
		return w.plainKeyring(c, at, info, data, f)
	}
	found := 0
	for _, item := range f.Items {
		if w.mayBeWanted(item) {
			found++
		}
	}
	if found == 0 && !f.Opaque {
		return nil
	}
	return w.once(c, at, func(i wire.Item) error {
		i.Unbounded = true
		if found > 0 {
			i.Identifiers = []identify.Identifier{{Kind: "keyring-items", Value: strconv.Itoa(found)}}
		}
		if !w.job.Scope.Everything && w.job.Mode != wire.Seal {
			i.Base, i.Name = at.base, at.name
			return w.left(i, wire.Blocked, "locked")
		}
		return w.remove(c, i, at, info, data)
	})
}

// plainKeyring cuts the items out of a keyring without a password.
func (w *Worker) plainKeyring(c *catalogue.Credential, at place, info files.Info, data []byte, f keyfile.File) error {
	r := ring{wanted: w.keyringEntries()}
	var names []identify.Identifier
	chosen := map[string]bool{}
	for _, item := range f.Items {
		entry := w.entryOf(r, item)
		if entry == nil || !w.job.Scope.Allows(entry) {
			continue
		}
		chosen[item.Ref] = true
		names = append(names, identify.Keyring(entry.Product, item.Label, item.Attributes).Identifiers...)
	}
	if len(chosen) == 0 {
		return nil
	}
	rest, _ := keyfile.Cut(data, func(i secrets.Item) bool { return chosen[i.Ref] })
	return w.once(c, at, func(i wire.Item) error {
		i.Unbounded, i.Identifiers, i.Action = true, names, string(catalogue.Edit)
		return w.edit(c, i, at, info, data, rest)
	})
}

// mayBeWanted reports whether an item whose attributes are hidden may fall under
// the cut: only what is told apart by a hash of a whole value surely does not.
func (w *Worker) mayBeWanted(item secrets.Item) bool {
	if w.job.Scope.Everything || len(w.job.Scope.Accounts) > 0 || w.entryOf(ring{wanted: w.keyringEntries()}, item) != nil {
		return true
	}
	for _, c := range w.keyringEntries() {
		for _, m := range c.Keyring {
			if item.MayMatch(m) {
				return true
			}
		}
	}
	return false
}

// passwordless reports whether a collection's file can be read by anybody who
// can read files.
func (w *Worker) passwordless(collection string) bool {
	name, ok := fileOf(collection)
	if !ok {
		return false
	}
	base, _ := paths.Base("XDG_DATA_HOME")
	data, info, err := w.home.Read(base+"/keyrings/"+name+".keyring", maxRead)
	if err != nil || info.UID != w.job.UID {
		return false
	}
	defer clear(data)
	f, err := keyfile.Parse(data)
	return err == nil && f.Plain
}

// fileOf undoes what a keyring does to a name to make an object's path of it.
func fileOf(collection string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(collection); i++ {
		if collection[i] != '_' {
			out.WriteByte(collection[i])
			continue
		}
		if i+3 > len(collection) {
			return "", false
		}
		n, err := strconv.ParseUint(collection[i+1:i+3], 16, 8)
		if err != nil || n == '/' || n == 0 {
			return "", false
		}
		out.WriteByte(byte(n))
		i += 2
	}
	return out.String(), out.Len() > 0
}
