package files

import (
	"errors"
	"path"
	"strings"
)

// maxLinks bounds the links followed for one name.
const maxLinks = 40

// Place is where a name leads after the links that stay inside the folder.
type Place struct {
	// Name has no link in it, except perhaps itself when Outside or Dangling.
	Name string
	Info Info
	// Linked: at least one link was followed.
	Linked bool
	// Outside: Name is a link that leads out of the folder, onto another file
	// system, or round in circles. Last: it is the last component.
	Outside bool
	Last    bool
	// Dangling: the links end at nothing; Name is the first link.
	Dangling bool
}

// looker is what resolving needs of a folder.
type looker interface {
	Stat(name string) (Info, error)
	Target(name string) (string, error)
}

// Resolve follows the links of name inside d. inside turns an absolute target
// into a name of this folder, or says that it lies outside. ErrNotExist: there
// is nothing, and no link either.
func (d *Dir) Resolve(name string, inside func(absolute string) (string, bool)) (Place, error) {
	name = relative(name)
	i, err := d.Stat(name)
	switch {
	case err == nil && i.Kind != Link:
		return Place{Name: name, Info: i}, nil
	case err == nil || errors.Is(err, ErrLink):
		return resolve(d, name, inside)
	case errors.Is(err, ErrMount):
		return resolve(d, name, inside)
	}
	return Place{}, err
}

func resolve(d looker, name string, inside func(string) (string, bool)) (Place, error) {
	var (
		at    = "" // resolved so far
		todo  = strings.Split(name, "/")
		first string
		links int
	)
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			if at == "" {
				return outside(d, first, true)
			}
			at = parentOf(at)
			continue
		}
		here := path.Join(at, part)
		i, err := d.Stat(here)
		switch {
		case errors.Is(err, ErrNotExist) && first != "":
			return dangling(d, first)
		case errors.Is(err, ErrMount):
			if first == "" {
				return Place{Name: here, Outside: true, Last: len(todo) == 0, Info: Info{Kind: Directory}}, nil
			}
			return outside(d, first, len(todo) == 0)
		case err != nil:
			return Place{}, err
		}
		if i.Kind != Link {
			if len(todo) == 0 {
				return Place{Name: here, Info: i, Linked: first != ""}, nil
			}
			at = here
			continue
		}
		if first == "" {
			first = here
		}
		last := len(todo) == 0
		if links++; links > maxLinks {
			return outside(d, first, last)
		}
		target, err := d.Target(here)
		if err != nil {
			return Place{}, err
		}
		if strings.HasPrefix(target, "/") {
			below, ok := inside(path.Clean(target))
			if !ok {
				return outside(d, here, last)
			}
			at, target = "", below
		}
		todo = append(strings.Split(target, "/"), todo...)
		if climbs(at, target) {
			return outside(d, here, last)
		}
	}
	i, err := d.Stat(at)
	if err != nil {
		return Place{}, err
	}
	return Place{Name: at, Info: i, Linked: first != ""}, nil
}

// climbs reports whether a relative target leaves the folder for good or for a
// moment; either way it is no link inside it.
func climbs(at, target string) bool {
	depth := 0
	if at != "" {
		depth = strings.Count(at, "/") + 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

func parentOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

func outside(d looker, link string, last bool) (Place, error) {
	i, err := d.Stat(link)
	return Place{Name: link, Info: i, Linked: true, Outside: true, Last: last}, err
}

func dangling(d looker, link string) (Place, error) {
	i, err := d.Stat(link)
	return Place{Name: link, Info: i, Linked: true, Dangling: true}, err
}
