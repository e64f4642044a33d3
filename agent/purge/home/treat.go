package home

import (
	"errors"
	"path"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/format"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// treat handles what lies at one place. Its error ends the whole job; what
// goes wrong with one item is said in that item.
func (w *Worker) treat(c *catalogue.Credential, at place) error {
	found, err := w.resolve(at)
	if err == nil && w.overlaps(place{at.base, found.Name}, found.Info) {
		if err := w.settle(true); err != nil {
			return err
		}
		found, err = w.resolve(at)
	}
	switch {
	case errors.Is(err, files.ErrNotExist):
		return nil
	case errors.Is(err, files.ErrPermission):
		return w.denied(c, at)
	case err != nil:
		return w.once(c, at, func(i wire.Item) error { return w.left(i, wire.Blocked, detailOf(err)) })
	}
	at.name = found.Name
	if c.Added && !w.mayAdd(c, at) {
		return nil
	}
	switch {
	case found.Outside:
		return w.once(c, at, func(i wire.Item) error { return w.strayLink(c, i, found) })
	case found.Dangling:
		return w.once(c, at, func(i wire.Item) error { return w.left(i, wire.Verified, "dangling-link") })
	case c.Action == catalogue.Look:
		return w.look(c, at, found)
	case c.Action == catalogue.DeleteDir && found.Info.Kind == files.Directory && tooWide(at):
		return w.once(c, at, func(i wire.Item) error {
			i.Unbounded = !c.Harmless
			return w.left(i, wire.Blocked, "too-wide")
		})
	case c.Action == catalogue.DeleteDir && found.Info.Kind == files.Directory:
		return w.once(c, at, func(i wire.Item) error { return w.folder(c, i, at, found.Info) })
	case found.Info.Kind == files.Directory:
		return nil // a folder that has the name of a credential holds none
	case found.Info.Kind != files.Regular:
		return w.once(c, at, func(i wire.Item) error { return w.left(i, wire.Verified, found.Info.Kind.String()) })
	}
	return w.regular(c, at, found.Info)
}

// resolve follows links in the home. Outside it no link is followed at all.
func (w *Worker) resolve(at place) (files.Place, error) {
	if at.base == wire.InHome {
		return w.home.Resolve(at.name, w.inside)
	}
	i, err := w.root.Stat(at.name)
	if errors.Is(err, files.ErrLink) {
		return files.Place{Name: at.name, Outside: true, Linked: true}, nil
	}
	return files.Place{Name: at.name, Info: i, Outside: i.Kind == files.Link, Last: true}, err
}

// everybodys are folders that hold everything, which no credential is.
var everybodys = map[string]bool{".": true, ".config": true, ".local": true, ".local/share": true, ".local/state": true, ".local/bin": true,
	".cache": true, ".var": true, ".var/app": true, "snap": true, ".ssh": true, "Desktop": true, "Documents": true, "Downloads": true,
	"Music": true, "Pictures": true, "Videos": true, "Public": true, "Templates": true}

// tooWide: a variable may name the home itself as the folder of one tool.
func tooWide(at place) bool { return at.base == wire.InHome && everybodys[at.name] }

// owns reports whether what was found is the user's own: of the machine's
// stores some belong to the service that reads them.
func (w *Worker) owns(c *catalogue.Credential, info files.Info) bool {
	return info.UID == w.job.UID || c.System && w.job.System
}

// once reports a place a single time, whatever leads to it.
func (w *Worker) once(c *catalogue.Credential, at place, do func(wire.Item) error) error {
	key := at.base + "\x00" + at.name
	if w.seen[key] {
		return nil
	}
	w.seen[key] = true
	return do(w.item(c, at))
}

// denied reports the folder that may not be entered: what is in it is not
// known, and so lives on. Above a home of the system's own, others' folders are
// what is usual.
func (w *Worker) denied(c *catalogue.Credential, at place) error {
	self, err := w.home.Self()
	if err != nil {
		return nil //nolint:nilerr // there is no home
	}
	for name := path.Dir(at.name); name != "." && at.base == wire.InHome; name = path.Dir(name) {
		i, err := w.home.Stat(name)
		if err != nil {
			continue
		}
		detail := "no-permission"
		if i.UID != w.job.UID {
			detail = "foreign-owner"
			if self.UID != w.job.UID {
				return nil
			}
		}
		return w.once(c, place{base: at.base, name: name}, func(i wire.Item) error {
			i.Unbounded = !c.Harmless
			return w.left(i, wire.Blocked, detail)
		})
	}
	return nil
}

// strayLink: a link that leads out of the home. Its target is never touched; a
// purge unlinks it when it is the credential's own name.
func (w *Worker) strayLink(c *catalogue.Credential, i wire.Item, found files.Place) error {
	if w.dangles(i, found) {
		return w.left(i, wire.Verified, "dangling-link")
	}
	i.Unbounded = !c.Harmless
	if !w.job.Scope.Allows(c) {
		return w.skipped(c, i)
	}
	// An added entry's content test cannot be asked of what lies out there.
	if w.job.Mode != wire.Purge || !found.Last || found.Info.Kind != files.Link || c.Action == catalogue.Look || c.Added {
		return w.left(i, wire.Blocked, "link-outside")
	}
	if err := w.unlink(&i, found.Info); err != nil {
		return w.left(i, wire.Blocked, "link-outside")
	}
	i.Action, i.Outcome, i.Detail = string(catalogue.Delete), wire.Blocked, "link-outside"
	return w.report(i)
}

// dangles reports whether a link out of the home ends at nothing: seen from the
// root, without following any further link.
func (w *Worker) dangles(i wire.Item, found files.Place) bool {
	if found.Info.Kind != files.Link {
		return false
	}
	target, err := w.dir(i.Base).Target(i.Name)
	if err != nil {
		return false
	}
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(i.Path), target)
	}
	if below, ok := strings.CutPrefix(target, w.job.Root+"/"); ok && w.job.Root != "" {
		target = below
	}
	_, err = w.root.Stat(target)
	return errors.Is(err, files.ErrNotExist)
}

// look reads a file only for the files it names.
func (w *Worker) look(c *catalogue.Credential, at place, found files.Place) error {
	key := c.ID + "\x00" + at.base + "\x00" + at.name
	if w.seen[key] || found.Info.Kind != files.Regular || found.Info.UID != w.job.UID {
		return nil
	}
	w.seen[key] = true
	data, _, err := w.read(at)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read names nothing
	}
	return w.follow(c, at, data)
}

// follow treats the files that a file names.
func (w *Worker) follow(c *catalogue.Credential, at place, data []byte) error {
	if c.Follow == "" {
		return nil
	}
	named := identify.Follow(c.Follow, data, path.Dir(w.seenAs(at)))
	for _, p := range named.More {
		if err := w.named(c, p); err != nil {
			return err
		}
	}
	for i := range w.job.Catalogue {
		if as := &w.job.Catalogue[i]; as.ID == c.FollowAs {
			for _, p := range named.Files {
				if err := w.named(as, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *Worker) named(c *catalogue.Credential, written string) error {
	if err := w.spend(1); err != nil {
		return err
	}
	for _, at := range w.written(written) {
		if err := w.each(c, at); err != nil {
			return err
		}
	}
	return nil
}

// regular handles a regular file.
func (w *Worker) regular(c *catalogue.Credential, at place, info files.Info) error {
	if w.seen[at.base+"\x00"+at.name] {
		return nil
	}
	if !w.owns(c, info) {
		return w.others(c, at, info)
	}
	defer w.readable(at, info)()
	if c.Action == catalogue.Edit && c.Format == format.SQLite {
		return w.database(c, at)
	}
	data, now, err := w.dir(at.base).Read(at.name, maxRead)
	switch {
	case errors.Is(err, files.ErrNotExist):
		return nil
	case errors.Is(err, files.ErrTooLarge) && c.Action == catalogue.Delete && !c.Tested():
		data, now = nil, info // whole, unread: a history of gigabytes
	case err != nil:
		return w.once(c, at, func(i wire.Item) error {
			i.Unbounded = !c.Harmless
			return w.unread(c, i, at, info, err)
		})
	}
	defer clear(data)
	if !holds(c, data) {
		return nil
	}
	if !w.job.Scope.Allows(c) {
		if harmless(c, data) {
			return nil
		}
		return w.once(c, at, func(i wire.Item) error {
			i.Identifiers = identify.Of(c, data, beside{w, at}).Allow(c.Identifiers).Identifiers
			return w.skipped(c, i)
		})
	}
	finding := identify.Of(c, data, beside{w, at})
	if c.Action == catalogue.KeyringFile {
		return w.keyringFile(c, at, now, data)
	}
	w.hold(c, at, data)
	called := w.enrich(c, at, data, now)
	follow := func() error { return w.follow(c, at, data) }
	if c.Action == catalogue.Edit {
		rest, cut, err := format.Cut(string(c.Format), data, c.Secrets)
		switch {
		case err == nil && cut == 0:
			return follow()
		case err == nil:
			if err := w.once(c, at, func(i wire.Item) error {
				describe(&i, c, finding)
				i.Identifiers = append(i.Identifiers, called...)
				return w.edit(c, i, at, now, data, rest)
			}); err != nil {
				return err
			}
			return follow()
		case c.Unreadable == "leave":
			return w.once(c, at, func(i wire.Item) error {
				i.Unbounded = true
				return w.left(i, wire.Blocked, "parse-failed")
			})
		}
	}
	if err := w.once(c, at, func(i wire.Item) error {
		describe(&i, c, finding)
		i.Identifiers = append(i.Identifiers, called...)
		if c.Action == catalogue.Edit {
			i.Detail = "parse-failed-deleted"
		}
		return w.remove(c, i, at, now, data)
	}); err != nil {
		return err
	}
	return follow()
}

// others: a file of another owner. Where only the content tells a credential
// and cannot be read, it may be one.
func (w *Worker) others(c *catalogue.Credential, at place, info files.Info) error {
	if c.Tested() {
		data, _, err := w.dir(at.base).Read(at.name, maxRead)
		defer clear(data)
		switch {
		case errors.Is(err, files.ErrNotExist):
			return nil
		case err != nil:
			return w.once(c, at, func(i wire.Item) error {
				i.Unbounded = !c.Harmless
				return w.left(i, wire.Blocked, "foreign-owner")
			})
		case !holds(c, data):
			return nil
		}
	}
	return w.once(c, at, func(i wire.Item) error { return w.foreign(c, i, info) })
}

// unread: a file that cannot be opened. A purge can still unlink a credential,
// if its name alone says that it is one.
func (w *Worker) unread(c *catalogue.Credential, i wire.Item, at place, info files.Info, why error) error {
	if !w.job.Scope.Allows(c) {
		return w.skipped(c, i)
	}
	if w.job.Mode == wire.Purge && c.Action == catalogue.Delete && !c.Tested() {
		return w.remove(c, i, at, info, nil)
	}
	return w.left(i, wire.Blocked, detailOf(why))
}

// foreign: a file of another owner in this home. A purge unlinks a whole
// credential; what the file holds for others is not known, so it is blocked.
func (w *Worker) foreign(c *catalogue.Credential, i wire.Item, info files.Info) error {
	i.Unbounded = !c.Harmless
	if !w.job.Scope.Allows(c) {
		return w.skipped(c, i)
	}
	if w.job.Mode != wire.Purge || c.Action == catalogue.Edit || i.Base != wire.InHome {
		return w.left(i, wire.Blocked, "foreign-owner")
	}
	if err := w.unlink(&i, info); err != nil {
		return w.left(i, wire.Blocked, "foreign-owner")
	}
	i.Action, i.Outcome, i.Detail = string(catalogue.Delete), wire.Blocked, "foreign-owner"
	return w.report(i)
}

// remove takes a whole file away.
func (w *Worker) remove(c *catalogue.Credential, i wire.Item, at place, info files.Info, data []byte) error {
	i.Action = string(catalogue.Delete)
	if w.job.Mode == wire.Plan {
		return w.report(i)
	}
	if info.Links > 1 {
		i.Outcome, i.Detail = wire.Blocked, "other-hard-link" // the sealed copy's label keeps it
	}
	return w.sealFile(c, i, at, info, data, nil, func(i wire.Item) error { return w.removed(i, info) })
}

// removed takes away a file that is sealed by now, or need not be.
func (w *Worker) removed(i wire.Item, info files.Info) error {
	if err := w.unlink(&i, info); err != nil {
		i.Sealed = false
		return w.left(i, wire.Blocked, detailOf(err))
	}
	if i.Outcome == wire.Blocked {
		return w.report(i)
	}
	i.Outcome = wire.Verified
	if i.Detail == "" {
		i.Detail = "deleted"
		if i.Sealed {
			i.Detail = "sealed"
		}
	}
	return w.report(i)
}

// edit cuts the secrets out of a mixed file.
func (w *Worker) edit(c *catalogue.Credential, i wire.Item, at place, info files.Info, data, rest []byte) error {
	if info.Links > 1 {
		return w.remove(c, i, at, info, data) // an edit would be seen by the other names
	}
	if w.job.Mode == wire.Plan {
		return w.report(i)
	}
	as, err := w.attributes(at)
	if err != nil {
		return w.left(i, wire.Blocked, detailOf(err))
	}
	return w.sealFile(c, i, at, info, data, rest, func(i wire.Item) error { return w.rewrite(i, at, info, as, rest) })
}

func (w *Worker) attributes(at place) (files.Attributes, error) {
	file, info, err := w.dir(at.base).OpenRegular(at.name)
	if err != nil {
		return files.Attributes{}, err
	}
	defer file.Close()
	as, err := files.AttributesOf(file, info)
	return w.original(at, as), err
}

// unlink removes the item's name.
func (w *Worker) unlink(i *wire.Item, info files.Info) error {
	if err := w.dir(i.Base).Remove(i.Name, info); err != nil && !errors.Is(err, files.ErrNotExist) {
		return err
	}
	w.changed(place{i.Base, i.Name})
	i.Removed, i.Gone = true, true
	return nil
}

// beside lets a reader look at a file's neighbours.
type beside struct {
	w  *Worker
	at place
}

func (b beside) Name() string { return path.Base(b.at.name) }

// Above is the name of a folder that the file lies in: 0 is its own.
func (b beside) Above(n int) string {
	folder := path.Dir(b.at.name)
	for range n {
		folder = path.Dir(folder)
	}
	return path.Base(folder)
}

func (b beside) Sibling(name string) []byte {
	name = path.Join(path.Dir(b.at.name), name)
	info, err := b.w.dir(b.at.base).Stat(name)
	if err != nil || info.UID != b.w.job.UID {
		return nil
	}
	data, _, err := b.w.read(place{base: b.at.base, name: name})
	if err != nil {
		return nil
	}
	return data
}
