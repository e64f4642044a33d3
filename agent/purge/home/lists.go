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
	// here are the names of folders that were listed as a whole, in lower case:
	// some file systems do not tell cases apart. nil: not to be told by a list.
	here map[place]map[string]bool
	// entered are the folders, or patterns of folders, that were opened to their owner.
	entered map[place]bool
	copied  map[place]map[string][]string // by folder and original name
	// led is where a folder's name leads, or no place.
	led map[place]place
}

func newLists() *lists {
	return &lists{names: map[place][]string{}, gone: map[place]bool{}, here: map[place]map[string]bool{}, entered: map[place]bool{}, copied: map[place]map[string][]string{},
		led: map[place]place{}}
}

// absent reports whether a folder above the place, up to its first pattern, is
// not there at all.
func (w *Worker) absent(at place) bool {
	literal := at.name
	if i := strings.IndexAny(literal, "*?["); i >= 0 {
		literal = literal[:i]
	}
	for i := range len(literal) {
		if literal[i] == '/' && i > 0 && w.gone(place{base: at.base, name: literal[:i]}) {
			return true
		}
	}
	return false
}

// nothing reports whether there is nothing at a place that is no pattern.
func (w *Worker) nothing(at place) bool {
	return !strings.ContainsAny(at.name, "*?[") && w.gone(at)
}

// gone reports whether a name is not there, by the list of its folder where
// there is one: the catalogue asks for hundreds of names in few folders.
func (w *Worker) gone(at place) bool {
	gone, known := w.lists.gone[at]
	if known {
		return gone
	}
	base := path.Base(at.name)
	if base == "." || base == ".." || base == "/" {
		return false // the folder itself, which no list names
	}
	if here := w.namesIn(place{base: at.base, name: path.Dir(at.name)}); here != nil {
		gone = !here[strings.ToLower(base)]
	} else {
		_, err := w.dir(at.base).Stat(at.name)
		gone = errors.Is(err, files.ErrNotExist)
	}
	if len(w.lists.gone) < maxKnown {
		w.lists.gone[at] = gone
	}
	return gone
}

// namesIn is what a folder has in it; nil where its list may lack something.
func (w *Worker) namesIn(folder place) map[string]bool {
	here, known := w.lists.here[folder]
	if known || len(w.lists.here) >= maxKnown || w.lists.total > maxListed {
		return here
	}
	if names, err := (lister{w: w, base: folder.base}).Names(folder.name); err == nil && len(names) < files.MaxNames {
		here = make(map[string]bool, len(names))
		for _, name := range names {
			here[strings.ToLower(name)] = true
		}
	}
	w.lists.here[folder] = here
	return here
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
