package home

import (
	"path"
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// origin is one place of the catalogue in this home, by the components of its
// pattern: what a copy's original path is held against.
type origin struct {
	of    *catalogue.Credential
	parts []string
}

// copies treats what the trash and editors keep of credentials: items of the
// products whose files they were.
func (w *Worker) copies() error {
	var table []origin
	for i := range w.job.Catalogue {
		c := &w.job.Catalogue[i]
		if c.Copies == "" {
			continue
		}
		if table == nil {
			table = w.origins()
		}
		for _, expand := range []func(string) []place{w.usual, w.overridden} {
			for _, p := range slices.Concat(c.Paths, c.Elsewhere(w.sandbox)) {
				for _, at := range expand(p) {
					if err := w.copiesAt(c, at, table); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// origins lists every place of the home that holds a credential's file.
func (w *Worker) origins() []origin {
	var out []origin
	for i := range w.job.Catalogue {
		c := &w.job.Catalogue[i]
		if c.System || c.Action != catalogue.Delete && c.Action != catalogue.Edit && c.Action != catalogue.DeleteDir {
			continue
		}
		for _, expand := range []func(string) []place{w.usual, w.overridden} {
			for _, p := range slices.Concat(c.Paths, c.Elsewhere(w.sandbox)) {
				for _, at := range expand(p) {
					if at.base == wire.InHome && at.name != "." {
						out = append(out, origin{of: c, parts: strings.Split(at.name, "/")})
					}
				}
			}
		}
	}
	return out
}

// copiesAt reads the files that say what was copied.
func (w *Worker) copiesAt(c *catalogue.Credential, at place, table []origin) error {
	if at.base != wire.InHome || w.absent(at) {
		return nil
	}
	w.approach(at)
	for _, name := range w.glob(at) {
		if err := w.spend(1); err != nil {
			return err
		}
		info, err := w.home.Stat(name)
		if err != nil || info.Kind != files.Regular || info.UID != w.job.UID || w.seen["copies\x00"+name] {
			continue
		}
		w.seen["copies\x00"+name] = true
		var data []byte
		if identify.ReadsCopies(c.Copies) {
			if data, _, err = w.read(inHome(name)); err != nil {
				continue // what cannot be read names nothing
			}
		}
		for _, found := range identify.Copies(c.Copies, path.Base(name), data) {
			if err := w.copied(path.Join(path.Dir(name), found.File), found, table); err != nil {
				return err
			}
		}
	}
	return nil
}

// copied treats one copy if its original was a credential, held one, or lay in
// a folder that is one.
func (w *Worker) copied(name string, found identify.Copy, table []origin) error {
	for _, entry := range w.job.Catalogue {
		if len(entry.Trees) > 0 && inTrees(&entry, path.Base(found.Of)) {
			if err := w.copiedAs(&entry, inHome(name), found.Whole); err != nil {
				return err
			}
		}
	}
	original, ok := w.locate(path.Clean(found.Of))
	if !ok || original.base != wire.InHome || original.name == "." {
		return nil
	}
	parts := strings.Split(original.name, "/")
	for _, o := range table {
		n := min(len(parts), len(o.parts))
		if !samePlace(o.parts[:n], parts[:n]) {
			continue
		}
		var err error
		switch {
		case len(parts) == len(o.parts):
			err = w.copiedAs(o.of, inHome(name), found.Whole)
		case len(parts) < len(o.parts): // a folder above it
			err = w.copiedBelow(o.of, name, strings.Join(o.parts[n:], "/"))
		case o.of.Action == catalogue.DeleteDir: // a file in it
			err = w.copiedAs(asWhole(o.of), inHome(name), found.Whole)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) copiedAs(c *catalogue.Credential, at place, whole bool) error {
	if whole {
		c = asWhole(c)
	}
	if err := w.spend(1); err != nil {
		return err
	}
	w.approach(at)
	return w.treat(c, at)
}

// copiedBelow treats what a pattern matches below a folder whose name is the
// user's own, and so no pattern.
func (w *Worker) copiedBelow(c *catalogue.Credential, folder, pattern string) error {
	for _, name := range files.Glob(lister{w: w, base: wire.InHome, below: folder}, pattern) {
		if err := w.copiedAs(c, inHome(path.Join(folder, name)), false); err != nil {
			return err
		}
	}
	return nil
}

func samePlace(pattern, parts []string) bool {
	for i := range pattern {
		if pattern[i] != parts[i] && !fitsName(pattern[i], parts[i]) {
			return false
		}
	}
	return true
}
