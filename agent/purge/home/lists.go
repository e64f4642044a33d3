package home

import (
	"errors"
	"path"
	"strings"

	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// Bounds of what is remembered of folders.
const (
	maxListed = 100_000 // names
	maxKnown  = 50_000  // folders
)

// lists remembers the names in folders and which folders are not there: the
// catalogue asks for hundreds of places in few folders, most of which no user
// has. What appears meanwhile is a sweep's.
type lists struct {
	names map[place][]string
	total int
	gone  map[place]bool
	// entered are the folders, or patterns of folders, that were opened to their owner.
	entered map[place]bool
	copied  map[place]map[string][]string // by folder and original name
}

func newLists() *lists {
	return &lists{names: map[place][]string{}, gone: map[place]bool{}, entered: map[place]bool{}, copied: map[place]map[string][]string{}}
}

// absent reports whether a folder above the place, up to its first pattern, is
// not there at all.
func (l *lists) absent(d *files.Dir, at place) bool {
	literal := at.name
	if i := strings.IndexAny(literal, "*?["); i >= 0 {
		literal = literal[:i]
	}
	for i := range len(literal) {
		if literal[i] != '/' || i == 0 {
			continue
		}
		above := place{base: at.base, name: literal[:i]}
		gone, known := l.gone[above]
		if !known {
			_, err := d.Stat(above.name)
			gone = errors.Is(err, files.ErrNotExist)
			if len(l.gone) < maxKnown {
				l.gone[above] = gone
			}
		}
		if gone {
			return true
		}
	}
	return false
}

// lister lists folders below a place and remembers them.
type lister struct {
	w    *Worker
	base string
	// below is put before each name, and is never a pattern itself.
	below string
}

func (l lister) Names(name string) ([]string, error) {
	at := place{base: l.base, name: path.Join(l.below, name)}
	known, ok := l.w.lists.names[at]
	if ok {
		return append([]string(nil), known...), nil
	}
	names, err := l.w.dir(l.base).Names(at.name)
	if err != nil {
		return nil, err
	}
	if l.w.lists.total += len(names); l.w.lists.total <= maxListed {
		l.w.lists.names[at] = append([]string(nil), names...)
	}
	return names, nil
}

// glob returns the names that a place's pattern matches.
func (w *Worker) glob(at place) []string {
	return files.Glob(lister{w: w, base: at.base}, at.name)
}

// inHome makes a place of the home.
func inHome(name string) place { return place{base: wire.InHome, name: name} }
