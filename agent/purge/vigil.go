package purge

import (
	"context"
	"path"
	"slices"
	"strings"

	"cutoff/platform/files"
	"cutoff/platform/users"
	"cutoff/platform/watch"
)

// Watch calls touched when something is written where this cut took something
// away, until ctx ends. Where nothing can be watched, the sweeps by the clock
// are left.
func (p *Purger) Watch(ctx context.Context, touched func()) error {
	w, err := watch.New()
	if err != nil {
		p.config.Log.Warn("folders are not watched", "err", err)
		<-ctx.Done()
		return ctx.Err()
	}
	defer w.Close()
	p.vigil.Store(w)
	defer p.vigil.Store(nil)
	err = w.Run(ctx, touched)
	if ctx.Err() == nil {
		p.config.Log.Warn("folders are no longer watched", "err", err)
		<-ctx.Done()
	}
	return ctx.Err()
}

// keepVigil watches the folders of what was taken away, and nothing else.
func (e *errand) keepVigil() {
	w := e.purger.vigil.Load()
	if w == nil {
		return
	}
	w.Clear()
	homes := map[string]users.User{}
	all, err := e.purger.users()
	if err != nil {
		return // a sweep by the clock says so
	}
	for _, u := range all {
		homes[u.Name] = u
	}
	for _, i := range e.sorted() {
		if i.GetAction() == "left" || !strings.HasPrefix(i.GetPath(), "/") {
			continue
		}
		if !e.watchPlace(w, homes[i.GetUser()], i.GetPath()) {
			return
		}
	}
}

// watchPlace watches the folder of one place, or the nearest above it that is
// there. It reports whether there is room for more.
func (e *errand) watchPlace(w *watch.Watcher, u users.User, place string) bool {
	base, name := e.root.AcrossMounts(), strings.TrimPrefix(place, "/")
	inHome := false
	if rest, ok := strings.CutPrefix(place, strings.TrimSuffix(u.Home, "/")+"/"); ok && u.Home != "" {
		home, err := e.root.Below(u.Home)
		if err != nil {
			return true
		}
		defer home.Close()
		base, name, inHome = home, rest, true
	}
	for name != "." && name != "" {
		at := path.Dir(name)
		folder, err := base.Enter(at)
		if err != nil {
			name = at
			continue
		}
		err = watchFolder(w, folder, at, path.Base(name), inHome)
		_ = folder.Close()
		return err == nil
	}
	return true
}

// watchFolder: in a folder that many share only the name counts; in a tool's
// own, whatever is written there.
func watchFolder(w *watch.Watcher, folder *files.Dir, at, name string, inHome bool) error {
	if !inHome || slices.Contains(shared, at) {
		return w.Add(folder.File(), name)
	}
	return w.Add(folder.File())
}

// shared are folders of a home that no tool has for itself.
var shared = []string{".", ".config", ".local", ".local/share", ".local/state", ".cache", ".var", ".var/app", "snap"}

// endVigil: what is written after a lift is the user's own business.
func (p *Purger) endVigil() {
	if w := p.vigil.Load(); w != nil {
		w.Clear()
	}
}
