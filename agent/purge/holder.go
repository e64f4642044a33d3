package purge

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/home"
	"cutoff/agent/purge/wire"
	"cutoff/platform/process"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// How long holders may take to quit when a seal asks them to, and to be gone
// once they are killed.
const (
	quitTime = 5 * time.Second
	goneTime = 2 * time.Second
)

// stillRunning is said of what could not be ended.
const stillRunning = "still-running"

// holder is a process name that the catalogue says keeps something in memory.
type holder struct {
	catalogue.Credential
	// harmless: all it keeps gives no access, so that only a purge ends it. late:
	// an agent, which first says what it holds.
	harmless, late bool
}

// holdersOf collects the process names of what the group lets be treated.
func (e *errand) holdersOf() map[string]holder {
	all := map[string]holder{}
	for i := range e.entries {
		c := &e.entries[i]
		if !e.scope.Allows(c) {
			continue
		}
		for _, name := range c.Holders {
			late := c.Action == catalogue.AgentClear
			h, known := all[name]
			if !known {
				h = holder{Credential: *c, harmless: c.Harmless, late: late}
			}
			h.harmless, h.late = h.harmless && c.Harmless, h.late && late
			all[name] = h
		}
	}
	return all
}

// mayStop: nothing is signalled for a plan or a lift, or in a trial root.
func (e *errand) mayStop() bool {
	return e.purger.config.Root == "" && (e.mode == wire.Seal || e.mode == wire.Purge)
}

// halt is the stop of the holders of all users, under way.
type halt struct {
	users map[uint32]users.User
	// ready is closed, by uid, when the user's files may go: at a purge as soon
	// as the holders are signalled, at a seal when they have ended.
	ready map[uint32]chan struct{}
	work  errgroup.Group
}

// halt begins to end the holders, beside the start of the children. A sweep
// ends those of what it found, and that is not known yet.
func (e *errand) halt(ctx context.Context, all []users.User) *halt {
	h := &halt{users: byUID(all), ready: map[uint32]chan struct{}{}}
	if !e.mayStop() || e.sweep {
		return h
	}
	for uid := range h.users {
		h.ready[uid] = make(chan struct{})
	}
	h.work.Go(func() error {
		found := e.running(h.users, func(_ string, o holder) bool { return !o.late && (e.mode == wire.Purge || !o.harmless) })
		if e.mode == wire.Purge {
			process.KillAll(slices.Concat(slices.Collect(maps.Values(found))...)) // looked after below
			for _, ready := range h.ready {
				close(ready)
			}
		}
		for uid, ready := range h.ready {
			h.work.Go(func() error {
				e.end(ctx, h.users[uid], found[uid])
				if e.mode == wire.Seal {
					close(ready)
				}
				return nil
			})
		}
		return nil
	})
	return h
}

// wait waits until the files of uid may go.
func (h *halt) wait(ctx context.Context, uid uint32) {
	if ready, ok := h.ready[uid]; ok {
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
}

// byUID is one user for each uid: the one a person would name.
func byUID(all []users.User) map[uint32]users.User {
	own := map[uint32]users.User{}
	for _, u := range all {
		_, known := own[u.UID]
		if !known && !u.Away && (os.Geteuid() == 0 || int64(u.UID) == int64(os.Geteuid())) {
			own[u.UID] = u
		}
	}
	return own
}

// person reports whether everything that runs as uid is its own. What runs as
// root or as a service account is mostly the system's, and only what is in a
// login session counts.
func person(uid uint32) bool { return uid >= 1000 && uid <= 60_513 }

// running lists the running holders that choose takes, by uid.
func (e *errand) running(own map[uint32]users.User, choose func(string, holder) bool) map[uint32][]*process.Process {
	var names []string
	all := e.holdersOf()
	for name, h := range all {
		if choose(name, h) {
			names = append(names, name)
		}
	}
	found, err := process.Find(process.Query{Names: names,
		Own: func(uid uint32) bool { _, ok := own[uid]; return ok },
		// A tunnel of the whole machine is nobody's session.
		Session: func(uid uint32, name string) bool { return !person(uid) && !all[name].Last }})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		e.purger.config.Log.Warn("holders not looked for", "err", err)
		for _, u := range own {
			e.add(e.unseen(u))
		}
	}
	out := map[uint32][]*process.Process{}
	for _, p := range found {
		out[p.UID] = append(out[p.UID], p)
	}
	return out
}

// unseen says that not all of a user's processes could be looked at: one of them
// may hold in memory what went from the disk.
func (e *errand) unseen(u users.User) *cutoffv1.Item {
	item := e.homeItem(u, "processes-not-seen")
	item.Id, item.Product, item.Path = home.ID("processes", u.Name, u.Home, 0), "processes", "processes of "+u.Name
	return item
}

// end ends one user's processes and reports each name.
func (e *errand) end(ctx context.Context, u users.User, all []*process.Process) {
	if len(all) == 0 {
		return
	}
	grace := quitTime
	if e.mode == wire.Purge {
		grace = 0
	}
	stays := map[string]bool{}
	for _, p := range process.Stop(ctx, all, grace, goneTime) {
		stays[p.Name] = true
	}
	known := e.holdersOf()
	for _, p := range all {
		e.add(ended(u, p.Name, known[p.Name], stays[p.Name]))
		p.Close()
	}
}

// ended is the item of a process name.
func ended(u users.User, name string, h holder, stays bool) *cutoffv1.Item {
	path := "process:" + name
	item := &cutoffv1.Item{Id: home.ID(h.Product, u.Name, path, 0), Product: h.Product, User: u.Name, Path: path,
		Action: string(catalogue.End), Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: "ended",
		Regain: string(catalogue.SignIn), Confidence: h.Confidence}
	if stays {
		item.Outcome, item.Detail, item.ResidualUnbounded = cutoffv1.Outcome_OUTCOME_BLOCKED, stillRunning, !h.harmless
	}
	return item
}

// took is what a run took away, by user and product.
type took struct {
	mu  sync.Mutex
	all map[string]map[string]bool
}

func (t *took) add(user, product string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[string]map[string]bool{}
	}
	if t.all[user] == nil {
		t.all[user] = map[string]bool{}
	}
	t.all[user][product] = true
}

func (t *took) has(user, product string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[user][product]
}

// after ends what may only end now: agents, which have said what they held, and
// in a sweep the holders of what came back. It returns the users who had some.
func (e *errand) after(ctx context.Context, own map[uint32]users.User) []users.User {
	if !e.mayStop() {
		return nil
	}
	if !e.sweep {
		for uid, all := range e.running(own, func(_ string, h holder) bool { return h.late }) {
			e.end(ctx, own[uid], all)
		}
		return nil
	}
	known, stayed := e.holdersOf(), e.stayed()
	var again []users.User
	for uid, all := range e.running(own, func(string, holder) bool { return true }) {
		u := own[uid]
		var mine []*process.Process
		for _, p := range all {
			h := known[p.Name]
			came := !h.harmless && e.took.has(u.Name, h.Product)
			if came || stayed[u.Name+"\x00"+p.Name] || h.Last && h.Action == catalogue.End {
				mine = append(mine, p)
			} else {
				p.Close()
			}
		}
		if len(mine) > 0 {
			e.end(ctx, u, mine)
			again = append(again, u)
		}
	}
	return again
}

// stayed are the processes, by user and name, that an earlier run could not end.
// Those that are found no more have ended.
func (e *errand) stayed() map[string]bool {
	all := map[string]bool{}
	for _, item := range e.warrant.Noted() {
		name, process := strings.CutPrefix(item.GetPath(), "process:")
		if !process || item.GetDetail() != stillRunning {
			continue
		}
		all[item.GetUser()+"\x00"+name] = true
		item.Outcome, item.Detail, item.ResidualUnbounded = cutoffv1.Outcome_OUTCOME_VERIFIED, "ended", false
		e.add(item) // said anew below if it is still there
	}
	return all
}
