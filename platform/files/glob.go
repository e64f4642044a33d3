package files

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// Lister is what globbing needs of a folder.
type Lister interface {
	Names(name string) ([]string, error)
}

// Glob is Dir.Glob for any lister: one that remembers what it listed.
func Glob(d Lister, pattern string) []string { return glob(d, relative(pattern)) }

// Glob returns the names that match pattern, in which * and ? stand for parts
// of one component, sorted. Nothing is followed. A pattern without * is
// returned as it is, there or not.
func (d *Dir) Glob(pattern string) []string { return glob(d, relative(pattern)) }

func glob(d Lister, pattern string) []string {
	if !strings.ContainsAny(pattern, "*?[") {
		return []string{pattern}
	}
	found := []string{""}
	for part := range strings.SplitSeq(pattern, "/") {
		var next []string
		for _, at := range found {
			next = append(next, children(d, at, part)...)
			if len(next) > MaxNames {
				return next[:MaxNames]
			}
		}
		found = next
	}
	return found
}

func children(d Lister, at, part string) []string {
	if !strings.ContainsAny(part, "*?[") {
		return []string{path.Join(at, part)}
	}
	where := at
	if where == "" {
		where = "."
	}
	names, err := d.Names(where)
	if err != nil && !errors.Is(err, ErrNotExist) {
		return nil // unreadable: the literal names of the catalogue are tried all the same
	}
	slices.Sort(names)
	var out []string
	for _, name := range names {
		// As a shell does: a leading dot must be asked for.
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(part, ".") {
			continue
		}
		if ok, err := path.Match(part, name); err == nil && ok {
			out = append(out, path.Join(at, name))
		}
	}
	return out
}
