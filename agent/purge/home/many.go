package home

import (
	"context"
	"errors"
	"path"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// maxMembers bounds what a folder that goes as a whole may hold to be sealed, or
// to be taken away in one go. Whoever fills it with more hides nothing: at a
// purge it goes a part at a time, for a part of the time there is.
const (
	maxMembers   = 25_000
	manyShare    = 4 // of the job's time, for one folder
	detailMany   = "too-many"
	membersAtOne = files.MaxNames
)

// errMany: a folder holds more than maxMembers.
var errMany = errors.New("too many names in a folder")

// many treats a folder with more in it than is listed at once.
func (w *Worker) many(c *catalogue.Credential, i wire.Item, at place, info files.Info) error {
	i.Unbounded = !c.Harmless
	switch {
	case !w.job.Scope.Allows(c):
		return w.skipped(c, i)
	case w.job.Mode == wire.Plan:
		return w.report(i)
	case w.job.Mode == wire.Seal && !w.dropped(c) && c.Regain != catalogue.SignIn:
		return w.left(i, wire.Blocked, detailMany)
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Duration(w.job.Seconds)*time.Second/manyShare)
	defer cancel()
	met := ""
	for ctx.Err() == nil {
		round := w.empty(c, i, at, info, w.some(at))
		if round.Outcome == wire.Blocked && round.Detail != "changed" {
			met = round.Detail
		}
		if round.Gone {
			round.Removed = true
			if met != "" {
				round.Outcome, round.Detail = wire.Blocked, met
			}
			return w.report(round)
		}
		if !round.Removed {
			break // nothing of it can go
		}
	}
	if met == "" {
		met = detailMany
	}
	return w.left(i, wire.Blocked, met)
}

// some lists a part of a folder, what holds others after them.
func (w *Worker) some(at place) []member {
	var out []member
	var walk func(below string, depth int)
	walk = func(below string, depth int) {
		if depth > maxDepth {
			return
		}
		w.enter(place{base: at.base, name: path.Join(at.name, below)})
		names, err := w.dir(at.base).Names(path.Join(at.name, below))
		if err != nil {
			return
		}
		for _, n := range names {
			if len(out) >= membersAtOne {
				return
			}
			name := path.Join(below, n)
			info, err := w.dir(at.base).Stat(path.Join(at.name, name))
			if err != nil {
				continue
			}
			if info.Kind == files.Directory {
				walk(name, depth+1)
			}
			out = append(out, member{name: name, info: info})
		}
	}
	walk("", 0)
	return out
}
