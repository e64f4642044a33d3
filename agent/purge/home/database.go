package home

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/format"
	"cutoff/agent/purge/format/sqlite"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// suffixes are what SQLite keeps beside a database; what was committed may be in
// the log only.
var suffixes = []string{"-wal", "-shm", "-journal"}

// part is one file of a database.
type part struct {
	suffix string
	info   files.Info
	data   []byte
}

// database treats an SQLite database with what lies beside it as one item: the
// selected rows go, what is left is one file.
func (w *Worker) database(c *catalogue.Credential, at place) error {
	if !w.job.Scope.Allows(c) {
		return w.once(c, at, func(i wire.Item) error { return w.skipped(c, i) })
	}
	all, err := w.parts(c, at)
	if errors.Is(err, files.ErrNotExist) {
		return nil
	}
	if err != nil {
		return w.once(c, at, func(i wire.Item) error {
			i.Unbounded = !c.Harmless
			return w.left(i, wire.Blocked, detailOf(err))
		})
	}
	defer func() {
		for _, p := range all {
			clear(p.data)
		}
	}()
	if !holds(c, all[0].data) {
		return nil
	}
	f := filesOf(all)
	rest, n, err := format.CutDatabase(f, c.Secrets)
	if err == nil && n == 0 {
		return nil
	}
	return w.once(c, at, func(i wire.Item) error {
		describe(&i, c, identify.Of(c, all[0].data, beside{w, at}))
		linked := false
		for _, p := range all {
			linked = linked || p.info.Links > 1
		}
		switch {
		case err != nil && c.Unreadable == "leave":
			i.Unbounded = true
			return w.left(i, wire.Blocked, "parse-failed")
		case err != nil:
			i.Action, i.Detail = string(catalogue.Delete), "parse-failed-deleted"
		case linked: // an edit would be seen by the other names
			i.Action, i.Outcome, i.Detail, rest = string(catalogue.Delete), wire.Blocked, "other-hard-link", nil
		}
		if w.job.Mode == wire.Plan {
			return w.report(i)
		}
		return w.cutDatabase(c, i, at, all, f, rest)
	})
}

// parts reads a database and what lies beside it, all of it or nothing.
func (w *Worker) parts(c *catalogue.Credential, at place) ([]part, error) {
	var all []part
	room := int64(maxSeal)
	for _, suffix := range append([]string{""}, suffixes...) {
		data, info, err := w.dir(at.base).Read(at.name+suffix, room)
		switch {
		case errors.Is(err, files.ErrNotExist) && suffix != "":
			continue
		case err != nil:
			return nil, err
		case !w.owns(c, info):
			return nil, files.ErrPermission
		}
		room -= int64(len(data))
		all = append(all, part{suffix, info, data})
	}
	return all, nil
}

func filesOf(all []part) sqlite.Files {
	f := sqlite.Files{Main: all[0].data}
	for _, p := range all {
		switch p.suffix {
		case "-wal":
			f.Log = p.data
		case "-journal":
			f.Journal = p.data
		}
	}
	return f
}

// cutDatabase seals what there is, and puts rest in its place; nil: nothing.
func (w *Worker) cutDatabase(c *catalogue.Credential, i wire.Item, at place, all []part, f sqlite.Files, rest []byte) error {
	as, err := w.attributes(at)
	if err != nil {
		return w.left(i, wire.Blocked, detailOf(err))
	}
	var merged []byte
	if rest != nil && len(f.Log)+len(f.Journal) > 0 {
		if merged, err = sqlite.Merge(f); err != nil {
			return w.left(i, wire.Blocked, "parse-failed")
		}
		merged = bytes.Clone(merged) // what was read is emptied before it is needed
	}
	return w.sealDatabase(c, i, at, all, as, rest, func(i wire.Item) error {
		defer clear(merged)
		if err := w.replace(&i, at, all, as, merged, rest); err != nil {
			i.Sealed = false
			return w.left(i, wire.Blocked, detailOf(err))
		}
		if i.Outcome == "" {
			i.Outcome = wire.Verified
		}
		if i.Sealed && i.Outcome == wire.Verified {
			i.Detail = "sealed"
		} else if i.Detail == "" {
			i.Detail = "edited"
		}
		return w.report(i)
	})
}

// replace writes rest and removes what lay beside the database. Killed at any
// point it leaves a database that reads: first what was merged of all files,
// which each of them may still be applied to, then that alone, then the rest.
func (w *Worker) replace(i *wire.Item, at place, all []part, as files.Attributes, merged, rest []byte) error {
	d, now := w.dir(at.base), all[0].info
	if merged != nil {
		if err := d.Write(at.name, merged, as, &now); err != nil {
			return err
		}
		var err error
		if now, err = d.Stat(at.name); err != nil {
			return err
		}
	}
	for _, p := range all[1:] {
		if err := d.Remove(at.name+p.suffix, p.info); err != nil && !errors.Is(err, files.ErrNotExist) {
			return err
		}
	}
	for _, suffix := range suffixes {
		i.Beside = append(i.Beside, at.name+suffix)
	}
	w.changed(at)
	if rest == nil {
		return w.unlink(i, now)
	}
	if err := d.Write(at.name, rest, as, &now); err != nil {
		return err
	}
	sum := sha256.Sum256(rest)
	i.Removed, i.Digest = true, sum[:]
	return nil
}

// sealDatabase is sealFile for a database with what lies beside it.
func (w *Worker) sealDatabase(c *catalogue.Credential, i wire.Item, at place, all []part, as files.Attributes, rest []byte, then func(wire.Item) error) error {
	if w.job.Mode != wire.Seal || w.dropped(c) {
		return then(i)
	}
	size := int64(0)
	for _, p := range all {
		size += p.info.Size
		i.Was = append(i.Was, wire.Print(p.suffix, p.info))
	}
	wait := waiting{of: c, item: i, at: at, info: all[0].info, then: then}
	if w.kept(&wait.item) {
		return then(wait.item)
	}
	m := meta{Kind: "database", Base: at.base, Name: at.name, As: as}
	if rest != nil {
		sum := sha256.Sum256(rest)
		m.After = sum[:]
	}
	wait.copy = w.pipe.seal(wait.item, m, size, func(out io.Writer) error {
		tw := tar.NewWriter(out)
		for _, p := range all {
			one := place{at.base, at.name + p.suffix}
			if err := w.packOne(tw, one, member{name: path.Base(one.name), info: p.info}); err != nil {
				return err
			}
		}
		return tw.Close()
	})
	return w.later(wait)
}

// restoreDatabase puts a database and what lay beside it back: only over exactly
// what was left of it, or where nothing is.
func (w *Worker) restoreDatabase(m meta, plain io.Reader) (came bool, err error) {
	d := w.dir(m.Base)
	was := map[string][]byte{}
	as := map[string]files.Attributes{}
	for tr := tar.NewReader(plain); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		suffix, ours := strings.CutPrefix(path.Base(path.Clean("/"+headerName(h))), path.Base(m.Name))
		if err != nil || !ours || suffix != "" && !isSuffix(suffix) {
			return false, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		data, err := io.ReadAll(io.LimitReader(tr, maxSeal))
		if err != nil {
			return false, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		defer clear(data)
		was[suffix], as[suffix] = data, attributesFrom(h)
	}
	if was[""] == nil {
		return false, errUnreadable
	}
	for _, suffix := range suffixes {
		now, _, err := d.Read(m.Name+suffix, maxSeal)
		if !errors.Is(err, files.ErrNotExist) && (err != nil || !bytes.Equal(now, was[suffix])) {
			return true, nil // something uses what is there now
		}
	}
	now, info, err := d.Read(m.Name, maxSeal)
	sum := sha256.Sum256(now)
	switch {
	case errors.Is(err, files.ErrNotExist):
		err = d.Write(m.Name, was[""], as[""], nil)
	case err == nil && bytes.Equal(now, was[""]):
	case err != nil && !errors.Is(err, files.ErrNotRegular) && !errors.Is(err, files.ErrTooLarge):
		return false, err
	case err != nil || m.After == nil || !bytes.Equal(sum[:], m.After) || info.Links > 1:
		return true, nil
	default:
		err = d.Write(m.Name, was[""], as[""], &info)
	}
	for _, suffix := range suffixes {
		if data, ok := was[suffix]; ok && err == nil {
			err = ignoring(d.Write(m.Name+suffix, data, as[suffix], nil), files.ErrExist) // equal, as was seen
		}
	}
	return errors.Is(err, files.ErrExist), ignoring(err, files.ErrExist)
}

func headerName(h *tar.Header) string {
	if h == nil {
		return ""
	}
	return h.Name
}

func isSuffix(s string) bool {
	for _, suffix := range suffixes {
		if s == suffix {
			return true
		}
	}
	return false
}
