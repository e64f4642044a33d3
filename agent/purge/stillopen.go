package purge

import (
	"context"
	"os"
	"path"
	"strings"

	"google.golang.org/protobuf/proto"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/process"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// detailStillOpen is the word for a file that is gone and that a process of its
// user still reads: unlinking takes a name away, not an open descriptor.
const detailStillOpen = "still-open"

// endReaders looks for processes that hold what this cut took away. On the
// machine itself they end; in a trial root nothing is signalled, and what is
// held is said. A process that ended since the last look holds nothing.
func (e *errand) endReaders(ctx context.Context, all []users.User) {
	taken := e.takenFiles(all)
	if len(taken) == 0 {
		return
	}
	found, err := process.Find(process.Query{All: true,
		Own:     func(uid uint32) bool { return taken[uid] != nil },
		Session: func(uid uint32, _ string) bool { return !person(uid) }})
	if err != nil {
		e.purger.config.Log.Warn("readers of removed files not looked for", "err", err)
	}
	var readers []*process.Process
	names := byUID(all)
	for _, p := range found {
		if len(e.reads(p, taken[p.UID])) > 0 {
			readers = append(readers, p)
		} else {
			p.Close()
		}
	}
	if e.mayStop() {
		grace := quitTime
		if e.mode == wire.Purge {
			grace = 0
		}
		stays := map[*process.Process]bool{}
		for _, p := range process.Stop(ctx, readers, grace, goneTime) {
			stays[p] = true
		}
		for _, p := range readers {
			if u, known := names[p.UID]; known {
				e.add(ended(u, p.Name, holder{Credential: catalogue.Credential{Product: "open-file", Confidence: "confirmed"}}, stays[p]))
			}
		}
	}
	held := map[string]bool{}
	for _, p := range readers {
		for _, item := range e.reads(p, taken[p.UID]) { // none of one that ended
			held[item.GetId()] = true
		}
		p.Close()
	}
	e.sayHeld(taken, held)
}

// takenFiles are the files and folders that are gone, by uid and path.
func (e *errand) takenFiles(all []users.User) map[uint32]map[string]*cutoffv1.Item {
	uids := map[string]uint32{}
	for _, u := range all {
		if os.Geteuid() == 0 || int64(u.UID) == int64(os.Geteuid()) {
			uids[u.Name] = u.UID
		}
	}
	out := map[uint32]map[string]*cutoffv1.Item{}
	keep := func(i *cutoffv1.Item) {
		uid, known := uids[i.GetUser()]
		if !known || !strings.HasPrefix(i.GetPath(), "/") || i.GetAction() == "left" || i.GetAction() == string(catalogue.End) {
			return
		}
		if i.GetOutcome() != cutoffv1.Outcome_OUTCOME_VERIFIED && i.GetDetail() != detailStillOpen {
			return
		}
		if out[uid] == nil {
			out[uid] = map[string]*cutoffv1.Item{}
		}
		out[uid][i.GetPath()] = i
	}
	for _, i := range e.earlier {
		if i.GetDetail() == detailStillOpen {
			keep(i)
		}
	}
	for _, i := range e.sorted() {
		keep(i)
	}
	return out
}

// reads are the items that a process holds open.
func (e *errand) reads(p *process.Process, taken map[string]*cutoffv1.Item) []*cutoffv1.Item {
	var out []*cutoffv1.Item
	for _, name := range p.Deleted() {
		name, below := strings.CutPrefix(name, strings.TrimSuffix(e.purger.config.Root, "/"))
		if !below {
			continue
		}
		if i := taken[name]; i != nil {
			out = append(out, i)
		}
		for at := path.Dir(name); at != "/" && at != "."; at = path.Dir(at) {
			if i := taken[at]; i != nil && i.GetAction() == string(catalogue.DeleteDir) {
				out = append(out, i)
			}
		}
	}
	return out
}

// sayHeld reports what is held, and what was and is not any more.
func (e *errand) sayHeld(taken map[uint32]map[string]*cutoffv1.Item, held map[string]bool) {
	for _, items := range taken {
		for _, known := range items {
			i := proto.CloneOf(known) // that one is being noted
			switch {
			case held[i.GetId()]:
				i.Outcome, i.Detail, i.ResidualUnbounded = cutoffv1.Outcome_OUTCOME_BLOCKED, detailStillOpen, true
			case i.GetDetail() == detailStillOpen:
				i.Outcome, i.Detail, i.ResidualUnbounded = cutoffv1.Outcome_OUTCOME_VERIFIED, "deleted", false
				if i.GetSealed() {
					i.Detail = "sealed"
				}
			default:
				continue
			}
			e.add(i)
		}
	}
}
