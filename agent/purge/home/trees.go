package home

import (
	"path"
	"slices"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// Bounds of a work tree: deeper than people nest projects, and what tools fill
// with other people's files.
const maxTreeDepth = 16

var notTheirs = map[string]bool{"node_modules": true, ".git": true, ".hg": true, ".svn": true, ".venv": true, "venv": true,
	"site-packages": true, "__pycache__": true, ".tox": true, ".gradle": true, ".cache": true, ".terraform.d": true}

// workTrees looks for files by name in the folders that the group names.
func (w *Worker) workTrees() error {
	var wanted []*catalogue.Credential
	for i := range w.job.Catalogue {
		if c := &w.job.Catalogue[i]; len(c.Trees) > 0 {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 && !w.job.Text {
		return nil
	}
	for _, tree := range w.job.Scope.WorkTrees {
		for _, at := range w.written(tree) {
			if in, ok := w.folderAt(at); ok && in.base == wire.InHome {
				if err := w.tree(wanted, in.name, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tree walks one folder. Links are not followed and mounts not crossed.
func (w *Worker) tree(wanted []*catalogue.Credential, folder string, depth int) error {
	w.enter(inHome(folder))
	names, err := w.home.Names(folder)
	if err != nil {
		return nil //nolint:nilerr // a folder that went away, or that is another's
	}
	for _, name := range names {
		if err := w.spend(1); err != nil {
			return err
		}
		at := inHome(path.Join(folder, name))
		for _, c := range wanted {
			if !inTrees(c, name) {
				continue
			}
			if err := w.treat(inForm(c, name), at); err != nil {
				return err
			}
		}
		if notTheirs[name] || depth >= maxTreeDepth {
			continue
		}
		info, err := w.home.Stat(at.name)
		switch {
		case err != nil || info.UID != w.job.UID:
		case info.Kind == files.Directory:
			if err := w.tree(wanted, at.name, depth+1); err != nil {
				return err
			}
		case info.Kind == files.Regular:
			if err := w.inText(at, info); err != nil {
				return err
			}
		}
	}
	return nil
}

// inTrees reports whether a file of that name is what the entry looks for.
func inTrees(c *catalogue.Credential, name string) bool {
	return anyOf(c.Trees, name) && !anyOf(c.Except, name)
}

func anyOf(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return p == name || fitsName(p, name) })
}
