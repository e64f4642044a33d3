package home

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// Bounds of one folder that goes as a whole.
const (
	maxDepth      = 256
	maxIdentified = 200 // files read for identifiers
)

// member is one name in a folder, relative to it.
type member struct {
	name string
	info files.Info
}

// errDepth: a tree deeper than anybody's credentials.
var errDepth = errors.New("nested too deep")

// members lists a folder, what holds others after them. Nothing is followed.
func (w *Worker) members(at place) ([]member, error) {
	var out []member
	var walk func(below string, depth int) error
	walk = func(below string, depth int) error {
		if depth > maxDepth {
			return errDepth
		}
		w.enter(place{base: at.base, name: path.Join(at.name, below)})
		names, err := w.dir(at.base).NamesUpTo(path.Join(at.name, below), maxMembers+1)
		if err != nil {
			return err
		}
		if len(out)+len(names) > maxMembers {
			return errMany
		}
		slices.Sort(names)
		for _, n := range names {
			if err := w.spend(1); err != nil {
				return err
			}
			name := path.Join(below, n)
			info, err := w.dir(at.base).Stat(path.Join(at.name, name))
			if errors.Is(err, files.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if info.Kind == files.Directory {
				if err := walk(name, depth+1); err != nil {
					return err
				}
			}
			out = append(out, member{name: name, info: info})
		}
		return nil
	}
	err := walk("", 0)
	return out, err
}

// folder takes a whole folder away. One without a file in it is nothing.
func (w *Worker) folder(c *catalogue.Credential, i wire.Item, at place, info files.Info) error {
	if !w.owns(c, info) {
		return w.left(i, wire.Blocked, "foreign-owner")
	}
	if w.job.Mode == wire.Plan && c.Identify == "" && len(c.Names) == 0 {
		if one, err := w.anyFile(at, 0); err == nil {
			return w.planFolder(c, i, one)
		}
	}
	all, err := w.members(at)
	if errors.Is(err, errMany) {
		return w.many(c, i, at, info)
	}
	if errors.Is(err, errBudget) {
		i.Unbounded = !c.Harmless
		return errors.Join(w.left(i, wire.Blocked, "budget"), err)
	}
	if err != nil {
		i.Unbounded = !c.Harmless
		detail := detailOf(err)
		if errors.Is(err, errDepth) {
			detail = "too-deep"
		}
		return w.left(i, wire.Blocked, detail)
	}
	i.Was = append(make([]uint64, 0, len(all)+1), wire.Print("", info))
	for _, m := range all {
		i.Was = append(i.Was, wire.Print(m.name, m.info))
	}
	if !slices.ContainsFunc(all, func(m member) bool { return m.info.Kind == files.Regular }) && !w.begun(i) {
		return nil
	}
	describe(&i, c, w.identifyAll(c, at, all))
	if !w.job.Scope.Allows(c) {
		return w.skipped(c, i)
	}
	if w.job.Mode == wire.Plan {
		i.Was = nil
		return w.report(i)
	}
	return w.sealFolder(c, i, at, info, all, func(i wire.Item) error { return w.report(w.empty(c, i, at, info, all)) })
}

// anyFile reports whether there is a file below a folder, and looks no further
// than the first: to plan the end of a browser's storage is not to count it.
func (w *Worker) anyFile(at place, depth int) (bool, error) {
	if depth > maxDepth {
		return false, errDepth
	}
	w.enter(at)
	names, err := w.dir(at.base).Names(at.name)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if err := w.spend(1); err != nil {
			return false, err
		}
		in := place{base: at.base, name: path.Join(at.name, name)}
		info, err := w.dir(in.base).Stat(in.name)
		switch {
		case errors.Is(err, files.ErrNotExist):
			continue
		case err != nil:
			return false, err
		case info.Kind == files.Regular:
			return true, nil
		case info.Kind == files.Directory:
			if one, err := w.anyFile(in, depth+1); one || err != nil {
				return one, err
			}
		}
	}
	return false, nil
}

// planFolder reports a folder that nothing in it names.
func (w *Worker) planFolder(c *catalogue.Credential, i wire.Item, one bool) error {
	if !one {
		return nil
	}
	describe(&i, c, identify.Finding{})
	if !w.job.Scope.Allows(c) {
		return w.skipped(c, i)
	}
	return w.report(i)
}

func (w *Worker) identifyAll(c *catalogue.Credential, at place, all []member) identify.Finding {
	var findings []identify.Finding
	for _, m := range all {
		if m.info.Kind != files.Regular || !w.owns(c, m.info) || c.Identify == "" && len(c.Names) == 0 || len(findings) >= maxIdentified {
			continue
		}
		p := place{base: at.base, name: path.Join(at.name, m.name)}
		data, _, err := w.read(p)
		if err != nil {
			continue
		}
		findings = append(findings, identify.Of(c, data, beside{w, p}))
		w.hold(c, at, data)
		clear(data)
	}
	return identify.Merge(findings)
}

// empty removes the members and then the folder, and says what it met.
func (w *Worker) empty(c *catalogue.Credential, i wire.Item, at place, info files.Info, all []member) wire.Item {
	i.Outcome, i.Detail = wire.Verified, "deleted"
	if i.Sealed {
		i.Detail = "sealed"
	}
	for _, m := range all {
		name := path.Join(at.name, m.name)
		err := w.dir(at.base).Remove(name, m.info)
		switch {
		case err != nil && !errors.Is(err, files.ErrNotExist):
			if i.Outcome != wire.Blocked {
				i.Outcome, i.Detail = wire.Blocked, detailOf(err)
			}
			continue
		case m.info.Kind == files.Regular && !w.owns(c, m.info):
			i.Outcome, i.Detail = wire.Blocked, "foreign-owner"
		case m.info.Kind == files.Regular && m.info.Links > 1:
			i.Outcome, i.Detail = wire.Blocked, "other-hard-link"
		}
		i.Removed = true
	}
	if err := w.dir(at.base).Remove(at.name, info); err != nil && !errors.Is(err, files.ErrNotExist) {
		if i.Outcome == wire.Verified {
			i.Outcome, i.Detail = wire.Blocked, detailOf(err)
		}
		return i
	}
	w.changed(at)
	i.Gone = true
	return i
}

// pack writes the folder as a tar stream, attributes and all.
func (w *Worker) pack(out io.Writer, at place, self files.Attributes, all []member) error {
	tw := tar.NewWriter(out)
	if err := tw.WriteHeader(header("./", tar.TypeDir, self)); err != nil {
		return err
	}
	// Folders before what is in them.
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b member) int { return strings.Compare(a.name, b.name) })
	packed := map[uint64]string{} // files with several names, by inode
	for _, m := range sorted {
		if m.info.Kind == files.Regular && m.info.Links > 1 {
			if first, again := packed[m.info.Inode]; again {
				if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: m.name, Linkname: first, Format: tar.FormatPAX}); err != nil {
					return err
				}
				continue
			}
			packed[m.info.Inode] = m.name
		}
		if err := w.packOne(tw, place{base: at.base, name: path.Join(at.name, m.name)}, m); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (w *Worker) packOne(tw *tar.Writer, at place, m member) error {
	plain := files.Attributes{UID: m.info.UID, GID: m.info.GID, Mode: m.info.Mode, ModTime: m.info.ModTime, AccessTime: m.info.AccessTime}
	switch m.info.Kind {
	case files.Directory:
		as, err := w.dir(at.base).AttributesOfDir(at.name)
		if err != nil {
			return err
		}
		return tw.WriteHeader(header(m.name+"/", tar.TypeDir, w.original(at, as)))
	case files.Link:
		target, err := w.dir(at.base).Target(at.name)
		if err != nil {
			return err
		}
		h := header(m.name, tar.TypeSymlink, plain)
		h.Linkname = target
		return tw.WriteHeader(h)
	case files.Regular:
	default:
		return nil // sockets, FIFOs: their makers make them anew
	}
	defer w.readable(at, m.info)()
	file, info, err := w.dir(at.base).OpenRegular(at.name)
	if err != nil {
		return err
	}
	defer file.Close()
	if !info.Same(m.info) {
		return fmt.Errorf("pack: %w", files.ErrChanged)
	}
	as, err := files.AttributesOf(file, info)
	if err != nil {
		return err
	}
	h := header(m.name, tar.TypeReg, w.original(at, as))
	h.Size = info.Size
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(tw, file, info.Size)
	return err
}

// xattrRecord is what tar programs put before the name of an attribute.
const xattrRecord = "SCHILY.xattr."

func header(name string, kind byte, as files.Attributes) *tar.Header {
	h := &tar.Header{Typeflag: kind, Name: name, Mode: int64(as.Mode), Uid: int(as.UID), Gid: int(as.GID),
		ModTime: as.ModTime, AccessTime: as.AccessTime, Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	for k, v := range as.Xattrs {
		h.PAXRecords[xattrRecord+k] = string(v)
	}
	return h
}

func attributesFrom(h *tar.Header) files.Attributes {
	as := files.Attributes{UID: uint32(h.Uid), GID: uint32(h.Gid), Mode: uint32(h.Mode) & 0o7777, ModTime: h.ModTime, AccessTime: h.AccessTime}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrRecord); ok {
			if as.Xattrs == nil {
				as.Xattrs = map[string][]byte{}
			}
			as.Xattrs[name] = []byte(v)
		}
	}
	return as
}
