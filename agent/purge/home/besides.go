package home

import (
	"path"
	"regexp"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// Copies that programs put beside a file: editors' backups and swap files,
// package managers' old versions, and the logs of a database.
var (
	suffixed = regexp.MustCompile(`^(.+?)(~|\.~[0-9]+~|[.-](?:bak|backup|orig|old|save|sav|copy)[.-]?[0-9]*~?|\.(?:dpkg-(?:old|dist|bak|new|tmp)|ucf-(?:old|dist)|rpm(?:save|orig|new)|pac(?:save|new|orig)))$`)
	// vim, and nano: .NAME.swp, or NAME.swp when the name begins with a dot.
	swapped  = regexp.MustCompile(`^\.(.+)\.(?:sw[a-px]|un~)$`)
	autosave = regexp.MustCompile(`^#(.+)#$`)
	logged   = regexp.MustCompile(`^(.+)-(?:wal|shm|journal)$`)
)

// originals are the names whose copy a name may be. whole: the copy is in a
// form of its own, from which nothing can be cut.
func originals(name string) (of []string, whole bool) {
	if m := swapped.FindStringSubmatch(name); m != nil {
		return []string{m[1], "." + m[1]}, true
	}
	if m := logged.FindStringSubmatch(name); m != nil {
		return []string{m[1]}, true
	}
	if m := autosave.FindStringSubmatch(name); m != nil {
		return []string{m[1]}, false
	}
	if m := suffixed.FindStringSubmatch(name); m != nil {
		return []string{m[1]}, false
	}
	return nil, false
}

// besides treats the copies that lie beside a file of this place: each is an
// item of the same product.
func (w *Worker) besides(c *catalogue.Credential, at place) error {
	if c.Action != catalogue.Delete && c.Action != catalogue.Edit || at.base == wire.InRoot && !c.System {
		return nil
	}
	last := path.Base(at.name)
	for _, folder := range w.glob(place{base: at.base, name: path.Dir(at.name)}) {
		in, ok := w.folderAt(place{base: at.base, name: folder})
		if !ok {
			continue
		}
		copied := w.copiesIn(in)
		for original, names := range copied {
			if original != last && !fitsName(last, original) {
				continue
			}
			for _, name := range names {
				if err := w.spend(1); err != nil {
					return err
				}
				if err := w.copyOf(c, place{base: at.base, name: path.Join(in.name, name)}, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// folderAt follows the links on the way to a folder of the home.
func (w *Worker) folderAt(at place) (place, bool) {
	if at.base == wire.InRoot || at.name == "." {
		return at, true
	}
	if led, known := w.lists.led[at]; known {
		return led, led.name != ""
	}
	led := place{}
	found, err := w.home.Resolve(at.name, w.inside)
	if err == nil && !found.Outside && !found.Dangling && found.Info.Kind == files.Directory {
		led = inHome(found.Name)
	}
	if len(w.lists.led) < maxKnown {
		w.lists.led[at] = led
	}
	return led, led.name != ""
}

// copyOf treats one copy of a credential. The logs of a database that only loses
// rows belong to it.
func (w *Worker) copyOf(c *catalogue.Credential, at place, name string) error {
	if c.Action == catalogue.Edit && logged.MatchString(name) {
		return nil
	}
	if _, whole := originals(name); whole {
		c = asWhole(c)
	}
	return w.treat(c, at)
}

// inForm is the entry as it goes for a file of that name: an editor's swap file
// has a form of its own, also where a pattern (.env.*) names it like the others.
func inForm(c *catalogue.Credential, name string) *catalogue.Credential {
	if c.Action == catalogue.Edit && swapped.MatchString(name) {
		return asWhole(c)
	}
	return c
}

// asWhole is a credential's entry for a file that holds it in another form.
func asWhole(c *catalogue.Credential) *catalogue.Credential {
	whole := *c
	whole.Action, whole.Format, whole.Secrets, whole.Unreadable = catalogue.Delete, catalogue.Binary, nil, ""
	whole.Follow, whole.FollowAs = "", ""
	if whole.OnlyIf == "private-key" {
		whole.OnlyIf = "private-key-inside"
	}
	return &whole
}

// copiesIn lists a folder's copies by the names they may be copies of.
func (w *Worker) copiesIn(folder place) map[string][]string {
	if known, ok := w.lists.copied[folder]; ok {
		return known
	}
	names, err := lister{w: w, base: folder.base}.Names(folder.name)
	found := map[string][]string{}
	if err == nil {
		for _, name := range names {
			of, _ := originals(name)
			for _, o := range of {
				found[o] = append(found[o], name)
			}
		}
	}
	if len(w.lists.copied) < maxKnown {
		w.lists.copied[folder] = found
	}
	return found
}

func fitsName(pattern, name string) bool {
	if !strings.ContainsAny(pattern, "*?[") || strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
