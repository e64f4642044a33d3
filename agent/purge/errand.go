package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/journal"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/command"
	"cutoff/platform/files"
	"cutoff/platform/session"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Budgets and bounds of one child.
const (
	childEntries  = 100_000
	childGrace    = 10 * time.Second
	childItems    = 20_000
	childAttempts = 3
	// answerTime is how long a home may take to answer at all.
	answerTime = 5 * time.Second
	// together is how many homes are worked on at once.
	together = 32
)

// detailKilled is the word where a child was killed before it was done.
const detailKilled = "child-killed"

// detailSilent is the word for a home whose file system does not answer.
const detailSilent = "not-answering"

// errand is one run over all homes: what is collected on the way.
type errand struct {
	purger  *Purger
	mode    string
	warrant *journal.Warrant
	root    *files.Dir
	store   *store
	notes   *noter
	// scope is the group's word as it was when the errand began, and entries are
	// the catalogue with what was added to it.
	scope   catalogue.Scope
	entries []catalogue.Credential
	// encoded are the entries as the children get them, written once.
	encoded func() ([]byte, error)
	// earlier is what was noted for this cut before.
	earlier map[string]*cutoffv1.Item
	// sweep: what the warrant asks for has been done, this looks again; now what
	// may cut the network goes too. later: there is such a thing.
	sweep, later bool
	// stopping is the end of holders, and took what this run took away.
	stopping *halt
	took     took

	mu    sync.Mutex
	items map[string]*cutoffv1.Item
	first time.Duration
	// over: nothing is added any more. closed: nobody starts anything any more.
	over, closed bool
	// under is how many visits have not come back, those left to themselves too.
	under int
	// whole are the users whose scan came to its end.
	whole map[string]bool
	// keeper is the user whose child works on the machine's own stores: the
	// first that is root. None: this agent is not root.
	keeper string
	// listed are, by user, the beginnings of paths of things in memory below which
	// a scan reported all there is.
	listed map[string][]string
	// freed are the flags that were taken off, by user and name in his home.
	freed map[string]int
}

// flagsOf are the flags that this run took off what is sealed now.
func (e *errand) flagsOf(u users.User, i wire.Item) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i.Base != wire.InHome {
		return 0
	}
	return e.freed[u.Name+"\x00"+i.Name]
}

func (p *Purger) errand(mode string, w *journal.Warrant) (*errand, error) {
	e := &errand{purger: p, mode: mode, warrant: w, items: map[string]*cutoffv1.Item{}, whole: map[string]bool{},
		listed: map[string][]string{}, freed: map[string]int{}, scope: p.config.Scope()}
	e.sweep = w.Valid() && w.Finished()
	e.entries, e.encoded = p.catalogue, encodedCatalogue
	if len(e.scope.Added) > 0 || w != nil && !e.sweep {
		e.entries = slices.Concat(p.catalogue, e.scope.Added)
		if w != nil && !e.sweep {
			e.entries = slices.DeleteFunc(e.entries, func(c catalogue.Credential) bool {
				e.later = e.later || c.Last && e.scope.Allows(&c)
				return c.Last
			})
		}
		e.encoded = sync.OnceValues(func() ([]byte, error) { return wire.Encode(e.entries) })
	}
	root := p.config.Root
	if root == "" {
		root = "/"
	}
	var err error
	if e.root, err = files.Open(root); err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	if w != nil {
		if e.store, err = openStore(p.config.State, w.CutID()); err != nil {
			return nil, errors.Join(err, e.root.Close())
		}
		if mode == wire.Seal {
			e.store.start()
		}
		e.notes = startNoter(w)
		e.earlier = w.Noted()
	}
	return e, nil
}

// close ends the errand. A visit that was left to itself does nothing after it.
func (e *errand) close() {
	e.stop()
	e.mu.Lock()
	e.closed = true
	idle := e.under == 0
	e.mu.Unlock()
	// Not under a visit that hangs in it, which would find another file behind
	// its descriptor: the last of those closes it.
	if idle {
		_ = e.root.Close()
	}
	if e.store != nil {
		e.store.stop()
	}
}

func (e *errand) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
}

// come and leave are the two ends of a visit.
func (e *errand) come() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.under++
}

func (e *errand) leave() {
	e.mu.Lock()
	e.under--
	last := e.closed && e.under == 0
	e.mu.Unlock()
	if last {
		_ = e.root.Close()
	}
}

// listUsers lists every home for root, and its own for anybody else.
func listUsers(root string) ([]users.User, error) {
	list := users.List
	if os.Geteuid() != 0 {
		list = users.Current
	}
	all, err := list(root)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return all, nil
}

// visitAll works in all homes at once: first those that belong to their users,
// then the system folders that service accounts call home.
func (e *errand) visitAll(ctx context.Context) error {
	all, err := e.purger.users()
	if err != nil {
		return err
	}
	e.keeper = keeper(all)
	e.reportSnapshots()
	e.stopping = e.halt(ctx, all)
	locking := e.lock(ctx, e.stopping.users)
	err = e.visitEach(ctx, all)
	_ = e.stopping.work.Wait() // what became of each is in its item
	_ = locking.Wait()
	if err != nil {
		return err
	}
	again := e.after(ctx, e.stopping.users)
	again = append(again, e.closeSessions(ctx, e.stopping.users)...)
	if err := e.visitEach(ctx, again); err != nil { // what was written while they ended
		return err
	}
	if e.mode != wire.Plan {
		e.endReaders(ctx, all)
	}
	return nil
}

func (e *errand) visitEach(ctx context.Context, all []users.User) error {
	for _, owns := range []bool{true, false} {
		var group errgroup.Group
		group.SetLimit(together)
		for _, u := range all {
			if u.OwnsHome == owns {
				group.Go(func() error { return e.reach(ctx, u) })
			}
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// keeper picks root, the one name of it when there are several.
func keeper(all []users.User) string {
	for _, u := range all {
		if u.UID == 0 && os.Geteuid() == 0 {
			return u.Name
		}
	}
	return ""
}

// reach visits a home that answers. One on a file system that hangs holds up
// nobody: its visit is left to itself, and reported.
func (e *errand) reach(ctx context.Context, u users.User) error {
	done := make(chan error, 1)
	answers := make(chan struct{})
	e.come()
	go func() {
		err := e.visit(ctx, u, answers)
		e.leave()
		done <- err
	}()
	silent := time.NewTimer(answerTime)
	defer silent.Stop()
	select {
	case err := <-done:
		return err
	case <-answers:
	case <-silent.C:
		e.add(e.homeItem(u, detailSilent))
		return nil
	}
	// Twice the time of all children, for the looks of this side.
	late := time.NewTimer(2 * childAttempts * (e.purger.config.Budget + childGrace))
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		e.add(e.homeItem(u, detailSilent))
		return nil
	}
}

// visit works in one home until its child has come to an end, or was stopped
// too often; then, on the machine itself, the user's session ends first.
func (e *errand) visit(ctx context.Context, u users.User, answers chan<- struct{}) error {
	if u.Away {
		if e.mode != wire.Plan {
			e.add(e.homeItem(u, "not-mounted"))
		}
		return nil
	}
	base, err := e.root.Below(u.Home)
	if err != nil {
		if u.OwnsHome && !errors.Is(err, files.ErrNotExist) { // else it went away: nothing is in it
			e.log("home not opened", u, err)
			e.add(e.homeItem(u, detailSilent))
		}
		return nil //nolint:nilerr // it is in the item
	}
	defer base.Close()
	if _, err := base.Self(); err != nil {
		e.add(e.homeItem(u, detailSilent))
		return nil
	}
	close(answers)
	if !u.OwnsHome && !e.promising(base) {
		return nil
	}
	freed := false
	for attempt := 1; ; attempt++ {
		guarded, err := e.attempt(ctx, u, base)
		switch {
		case err == nil && !freed && e.free(u, base, guarded):
			freed = true // once: whoever guards them again is reported
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errStore):
			return err
		case errors.Is(err, command.ErrStuck):
			e.log("child does not end", u, err)
			e.add(e.homeItem(u, detailSilent))
			return nil
		case attempt == childAttempts && e.mayEndSession(u):
			if err := session.End(ctx, u.UID); err != nil {
				e.log("session not ended", u, err)
			}
		case attempt >= childAttempts:
			e.log("child stopped too often", u, err)
			e.add(e.homeItem(u, detailKilled))
			return nil
		default:
			e.log("child stopped", u, err)
		}
	}
}

func (e *errand) log(message string, u users.User, err error) {
	e.purger.config.Log.Warn(message, "uid", u.UID, "err", err)
}

// mayEndSession: only on the machine itself, for a real cut, and as root.
func (e *errand) mayEndSession(u users.User) bool {
	return e.purger.config.Root == "" && e.mode != wire.Plan && u.UID != 0 && os.Geteuid() == 0
}

// promising looks into a home that belongs to the system, not to its user: is
// any name there that the catalogue begins with?
func (e *errand) promising(base *files.Dir) bool {
	first := map[string]bool{".config": true, ".local": true, ".cache": true}
	for _, c := range e.entries {
		for _, p := range c.Paths {
			if rest, ok := strings.CutPrefix(p, "~/"); ok {
				name, _, _ := strings.Cut(rest, "/")
				first[name] = true
			}
		}
	}
	for name := range first {
		if i, err := base.Stat(name); err == nil && i.Kind != files.None {
			return true
		}
	}
	return false
}

// free takes the immutable flag off the credentials that a user of his own
// machine guarded with it. It reports whether there is anything to do again.
func (e *errand) free(u users.User, base *files.Dir, guarded []string) bool {
	if os.Geteuid() != 0 || e.mode == wire.Plan {
		return false
	}
	any := false
	for _, name := range guarded {
		flags, err := base.ClearImmutable(name, u.UID)
		if err != nil {
			e.log("flag not cleared", u, err)
			continue
		}
		e.mu.Lock()
		e.freed[u.Name+"\x00"+name] = flags
		e.mu.Unlock()
		any = true
	}
	return any
}

// attempt starts one child and talks with it to the end. It returns the
// credentials of the home that are guarded by a flag.
func (e *errand) attempt(ctx context.Context, u users.User, base *files.Dir) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.purger.config.Budget+childGrace)
	defer cancel()
	t := &talk{errand: e, user: u, home: base, kept: map[string]bool{}}
	for _, s := range e.unreported(u) {
		t.kept[s.item.GetId()] = true
	}
	err := e.child(u, base).Run(ctx, func(in io.WriteCloser, out io.Reader) error {
		// The child is up. What holds tokens ends before the files go; whoever
		// wants a token read for its own revocation asks for it before this.
		e.stopping.wait(ctx, u.UID)
		return t.run(in, out)
	})
	return t.guarded, err
}

func (e *errand) child(u users.User, base *files.Dir) command.Child {
	return command.Child{Self: e.purger.config.Self, Args: []string{ChildArg}, UID: u.UID, GID: u.GID, Groups: u.Groups,
		Files: []*os.File{base.File(), e.root.File()}}
}

func (e *errand) job(u users.User) wire.Job {
	job := wire.Job{Mode: e.mode, User: u.Name, Home: u.Home, Root: e.purger.config.Root, UID: u.UID, System: u.Name == e.keeper,
		Seconds: int(e.purger.config.Budget / time.Second), Entries: childEntries, Scope: e.scope}
	// A cut's answer does not wait for a search of all code; its sweep has time.
	job.Text = len(e.scope.WorkTrees) > 0 && (e.mode == wire.Plan || e.sweep)
	if names := e.purger.config.Names; e.mode == wire.Plan && names != nil {
		job.Ask, job.Known = true, names.of(u.Name)
		job.Text = job.Text && names.textDue(u.Name, e.purger.config.Boot())
	}
	if e.warrant != nil {
		job.Recipient, job.DropRegainable = e.warrant.Recipient(), e.warrant.DropRegainable()
		job.Taken = e.store.ids()
		job.Kept = map[string][]uint64{}
		for _, s := range e.unreported(u) {
			job.Kept[s.item.GetId()] = s.Was
		}
	}
	return job
}

// unreported are the copies of the user's items that a killed child, or the
// killed agent, made and said nothing of: they may still be in their places.
func (e *errand) unreported(u users.User) []sealedItem {
	if e.mode != wire.Seal {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []sealedItem
	for _, s := range e.store.all() {
		item, now := e.items[s.item.GetId()]
		if !now {
			item = e.earlier[s.item.GetId()]
		}
		if reported := item.GetSealed() && item.GetAction() != "left"; !reported && s.User.UID == u.UID && s.User.Name == u.Name {
			out = append(out, s)
		}
	}
	return out
}

// add keeps an item and notes it, durably but not at once.
func (e *errand) add(item *cutoffv1.Item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return // from a visit that was left to itself: the next run finds it
	}
	e.items[item.GetId()] = item
	if e.notes != nil {
		e.notes.note(item)
	}
}

// removed keeps when the first item was gone.
func (e *errand) removed(at time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == 0 || at < e.first {
		e.first = at
	}
}

// belongs reports whether id may be user's: no other user has it.
func (e *errand) belongs(id, user string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	item, ok := e.items[id]
	return !ok || item.GetUser() == user
}

func (e *errand) finished(user string, listed []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.whole[user], e.listed[user] = true, listed
}

// inMemory are the beginnings of paths that are no file's.
var inMemory = []string{"keyring:", "kwallet:", "kernel:", "kcm:", "ssh-agent:"}

// gone reports whether an item that was left, and is not reported anew, is not
// there any more. What is in memory is gone only when its keeper was asked: one
// that does not run keeps it in a file.
func (e *errand) gone(item *cutoffv1.Item) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(item.GetPath(), prefix) }
	if !e.whole[item.GetUser()] || item.GetAction() != "left" {
		return false
	}
	return !slices.ContainsFunc(inMemory, begins) || slices.ContainsFunc(e.listed[item.GetUser()], begins)
}

// noted waits until every item is durable.
func (e *errand) noted() error {
	if e.notes == nil {
		return nil
	}
	return e.notes.stop()
}

// sorted returns the items in the order a person reads them.
func (e *errand) sorted() []*cutoffv1.Item {
	return slices.SortedFunc(maps.Values(e.items), func(a, b *cutoffv1.Item) int {
		return cmp.Or(strings.Compare(a.GetUser(), b.GetUser()), strings.Compare(a.GetPath(), b.GetPath()), strings.Compare(a.GetId(), b.GetId()))
	})
}

// result joins what was done now with what was noted before.
func (e *errand) result() Result {
	e.adopt()
	r := Result{Items: e.sorted(), Later: e.later, FirstRemovedBoot: e.first, FinishedBoot: e.purger.config.Boot(), Complete: true, CatalogueVersion: VersionWith(e.scope)}
	for _, i := range r.Items {
		if i.GetOutcome() == cutoffv1.Outcome_OUTCOME_RETRYING {
			r.Complete = false
		}
	}
	return r
}

// adopt adds what an earlier run of the same cut did, and sealed copies whose
// item was lost with a child.
func (e *errand) adopt() {
	for id, item := range e.earlier {
		if _, anew := e.items[id]; anew {
			continue
		}
		e.items[id] = item
		restored := item.GetDetail() == detailRestored && e.whole[item.GetUser()]
		if (e.gone(item) || restored) && !item.GetSealed() {
			item.Outcome, item.Detail = cutoffv1.Outcome_OUTCOME_VERIFIED, "absent"
			e.notes.note(item)
		}
	}
	for _, s := range e.store.all() {
		known := e.items[s.item.GetId()]
		if known != nil && known.GetDetail() != detailKilled || e.mode != wire.Seal {
			continue
		}
		item := s.item
		item.Sealed = true
		if item.GetOutcome() != cutoffv1.Outcome_OUTCOME_BLOCKED {
			item.Outcome, item.Detail = cutoffv1.Outcome_OUTCOME_VERIFIED, "sealed"
		}
		if e.inPlace(s) {
			item.Action, item.Outcome, item.Detail = "left", cutoffv1.Outcome_OUTCOME_BLOCKED, detailKilled
		}
		e.items[item.GetId()] = item
		e.notes.note(item)
	}
}

// inPlace reports whether what a copy was made of still lies where it did.
func (e *errand) inPlace(s sealedItem) bool {
	dir := e.across(s.Name)
	if s.Base == wire.InHome {
		home, err := e.root.Below(s.User.Home)
		if err != nil {
			return false
		}
		defer home.Close()
		dir = home
	}
	info, err := dir.Stat(s.Name)
	return err == nil && slices.Contains(s.Was, wire.Print("", info))
}
