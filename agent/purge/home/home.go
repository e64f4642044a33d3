// Package home works in one user's home, in a process that has that user's
// rights and nothing more: it scans by the catalogue, and lists, seals, removes
// or restores. The home is hostile: every name is resolved by platform/files.
// It must not be run in the agent's own process.
package home

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
	"cutoff/platform/paths"
	"cutoff/platform/secrets"
)

// Bounds of one file.
const (
	maxRead = 8 << 20  // read for identifiers or edited
	maxSeal = 64 << 20 // sealed
)

// Worker is the child's state. It is not safe for concurrent use but for send.
type Worker struct {
	job        wire.Job
	home, root *files.Dir
	in         io.Reader
	env        environment

	mu  sync.Mutex // guards out
	out io.Writer

	ids   sync.Mutex      // guards taken and job.Kept
	taken map[string]bool // ids with a sealed copy

	seen    map[string]bool // places treated
	lists   *lists
	synced  map[place]bool             // folders to make durable at the end
	syncing errgroup.Group             // of those that are being made so
	folders map[place]files.Attributes // above what was sealed
	names   map[uint64]meta            // what is back, by inode
	pipe    *pipeline                  // in a seal
	line    []waiting                  // what is being sealed or rewritten, in order
	// rewriting is how many of the line are mixed files.
	rewriting int
	// modes are those that were loosened, as they were; restore puts the
	// folders' back.
	modes   map[place]uint32
	restore []func()
	entries int
	asks    errands
	// serving are the keyrings that answered, and complete the prefixes of paths
	// below which all was listed.
	serving []secrets.Provider
	// shown are wallets that are collections of a keyring too.
	shown    map[string]bool
	complete []string
	text     text
	ctx      context.Context //nolint:containedctx // one worker is one job; the deadline is the job's
}

// Serve reads the job from in, does it and answers on out. home and root are
// the folders the child was given.
func Serve(ctx context.Context, in io.Reader, out io.Writer, home, root *files.Dir) error {
	in = bufio.NewReaderSize(in, 64<<10)
	job, err := wire.ReadJob(in)
	if err != nil {
		return err
	}
	w := &Worker{job: job, home: home, root: root.AcrossMounts(), in: in, out: out,
		seen: map[string]bool{}, shown: map[string]bool{}, taken: map[string]bool{}, synced: map[place]bool{},
		modes: map[place]uint32{}, folders: map[place]files.Attributes{}, names: map[uint64]meta{}, lists: newLists()}
	defer w.close()
	if w.job.Mode == wire.Await {
		return w.awaitUnlock(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(w.job.Seconds)*time.Second)
	defer cancel()
	w.ctx = ctx
	for _, id := range w.job.Taken {
		w.taken[id] = true
	}
	switch w.job.Mode {
	case wire.Restore:
		err = w.restoreAll()
	case wire.Seal:
		if err = w.startPipeline(); err == nil {
			err = w.workAndSettle(ctx)
		}
	default:
		err = w.workAndSettle(ctx)
	}
	exhausted := errors.Is(err, errBudget)
	if err != nil && !exhausted {
		w.abandon()
		return err
	}
	w.sync()
	w.close()
	if err := wire.WriteJSON(w.out, wire.KindDone, wire.Done{Exhausted: exhausted, Listed: w.complete}); err != nil || w.pipe == nil {
		return err
	}
	w.pipe.stop() // the parent's last word is the end of the pipe
	return nil
}

// workAndSettle works, and leaves nothing half done that was begun.
func (w *Worker) workAndSettle(ctx context.Context) error {
	err := w.work(ctx)
	if err == nil || errors.Is(err, errBudget) {
		err = firstOf(w.settle(true), err)
	}
	return err
}

// errBudget ends a scan whose time or number of entries is used up.
var errBudget = errors.New("budget is used up")

// work scans the home; the keyring is worked on beside it, and its files when no
// program is known to have them open.
func (w *Worker) work(ctx context.Context) error {
	var beside errgroup.Group
	beside.Go(func() error { return w.keyring(ctx) })
	defer w.asks.finish()
	if w.job.Ask {
		w.env = w.readEnvironment() // a provider's address may stand in it
	}
	err := w.scan(ctx)
	if err == nil || errors.Is(err, errBudget) {
		w.agents(ctx)
	}
	if err = firstOf(beside.Wait(), err); err != nil && !errors.Is(err, errBudget) {
		return err
	}
	// Who fills his home with files does not save his keys by that.
	for _, then := range []func(context.Context) error{w.otherBuses, w.kernelKeys, w.kerberos, w.keyringFiles} {
		if e := then(ctx); e != nil && !errors.Is(e, errBudget) {
			return e
		} else if err == nil {
			err = e
		}
	}
	return err
}

// scan looks through the home. The usual places come first, most dangerous
// first: nothing a user wrote into his start-up files delays the first removal.
func (w *Worker) scan(ctx context.Context) error {
	own, added := divided(w.job.Catalogue)
	if err := w.all(own, w.usual); err != nil {
		return err
	}
	if w.env == nil {
		w.env = w.readEnvironment()
	}
	w.askProviders()
	if err := w.all(own, w.overridden); err != nil {
		return err
	}
	for i := range own {
		if err := w.sandboxed(&own[i]); err != nil {
			return err
		}
	}
	// What administrators added comes when the catalogue has had all its places:
	// who treats a place first decides what becomes of it.
	for _, expand := range []func(string) []place{w.usual, w.overridden} {
		if err := w.all(added, expand); err != nil {
			return err
		}
	}
	// What follows looks at whole folders, where nothing half done is to be found.
	if err := w.settle(true); err != nil {
		return err
	}
	w.syncMost()
	if err := w.workTrees(); err != nil {
		return err
	}
	if err := w.copies(); err != nil {
		return err
	}
	w.askProviders()
	return nil
}

// divided splits off what administrators added: the tail.
func divided(all []catalogue.Credential) (own, added []catalogue.Credential) {
	n := 0
	for n < len(all) && !all[n].Added {
		n++
	}
	return all[:n], all[n:]
}

// all treats what these entries name, in their order.
func (w *Worker) all(entries []catalogue.Credential, expand func(string) []place) error {
	for i := range entries {
		if err := w.places(&entries[i], expand); err != nil {
			return err
		}
	}
	return nil
}

// places treats what one catalogue entry names.
func (w *Worker) places(c *catalogue.Credential, expand func(string) []place) error {
	if c.Copies != "" {
		return nil // when all places are known
	}
	return w.expanded(c, c.Paths, expand)
}

// sandboxed is places for the roots of sandboxes.
func (w *Worker) sandboxed(c *catalogue.Credential) error {
	if c.Copies != "" || c.System {
		return nil
	}
	return w.expanded(c, c.Elsewhere(w.sandbox), w.usual)
}

// sandbox reports whether a sandbox's folder is there, or may be.
func (w *Worker) sandbox(root string) bool {
	rest, ok := paths.InHome(root)
	return ok && !w.absent(inHome(rest+"/."))
}

func (w *Worker) expanded(c *catalogue.Credential, list []string, expand func(string) []place) error {
	if err := w.settle(false); err != nil {
		return err
	}
	switch c.Action {
	case catalogue.AgentClear, catalogue.End, catalogue.KeyringDelete, catalogue.KeyringFile, catalogue.KernelKey:
		return nil // not by their places, or not yet
	}
	if c.System {
		return w.machine(c)
	}
	for _, p := range list {
		if w.job.UID == 0 && c.Added && strings.HasPrefix(p, "/") {
			continue // the machine is the built-in catalogue's to name
		}
		for _, at := range expand(p) {
			if err := w.spend(1); err != nil {
				return err
			}
			if err := w.each(c, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// each treats what a pattern matches, and the copies beside it.
func (w *Worker) each(c *catalogue.Credential, at place) error {
	if w.absent(at) {
		return nil
	}
	w.approach(at)
	if w.nothing(at) {
		return w.besides(c, at)
	}
	for _, name := range w.glob(at) {
		if err := w.spend(1); err != nil {
			return err
		}
		if anyOf(c.Except, path.Base(name)) {
			continue
		}
		if err := w.treat(inForm(c, path.Base(name)), place{base: at.base, name: name}); err != nil {
			return err
		}
	}
	return w.besides(c, at)
}

// spend counts entries and looks at the clock.
func (w *Worker) spend(n int) error {
	if w.entries += n; w.entries > w.job.Entries || w.ctx.Err() != nil {
		return errBudget
	}
	return nil
}

// place is a name below the home or below the root.
type place struct{ base, name string }

func (w *Worker) dir(base string) *files.Dir {
	if base == wire.InHome {
		return w.home
	}
	return w.root
}

// seenAs is the place's absolute path as the user sees it.
func (w *Worker) seenAs(p place) string {
	if p.base == wire.InRoot {
		return "/" + p.name
	}
	if p.name == "." || p.name == "" {
		return w.job.Home
	}
	return strings.TrimSuffix(w.job.Home, "/") + "/" + p.name
}

// locate turns an absolute path, as the user sees it, into a place. What lies
// outside root's own home is not root's to name: its places stay in the home.
func (w *Worker) locate(absolute string) (place, bool) {
	if w.job.Root != "" {
		if rest, ok := strings.CutPrefix(absolute, w.job.Root); ok && strings.HasPrefix(rest, "/") {
			absolute = rest
		}
	}
	if absolute == w.job.Home {
		return place{base: wire.InHome, name: "."}, true
	}
	home := strings.TrimSuffix(w.job.Home, "/") + "/"
	if rest, ok := strings.CutPrefix(absolute, home); ok {
		return place{base: wire.InHome, name: rest}, true
	}
	if w.job.UID == 0 {
		return place{}, false
	}
	return place{base: wire.InRoot, name: strings.TrimPrefix(absolute, "/")}, true
}

// inside is how links of the home are followed: absolute targets must lie in it.
func (w *Worker) inside(absolute string) (string, bool) {
	p, ok := w.locate(absolute)
	return p.name, ok && p.base == wire.InHome
}

// ID is stable for the same product, user and place; again counts what was
// sealed there before.
func ID(product, user, path string, again int) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{product, user, path, strconv.Itoa(again)}, "\x00")))
	return "itm_" + hex.EncodeToString(sum[:10])
}

// freeID is an id without a sealed copy: what came back after a seal is sealed
// beside the first copy, never over it.
func (w *Worker) freeID(product, path string) string {
	w.ids.Lock()
	defer w.ids.Unlock()
	for again := 0; ; again++ {
		if id := ID(product, w.job.User, path, again); !w.taken[id] {
			return id
		}
	}
}

// listed says that all that is below a prefix of paths has been reported: what
// is not among it is gone.
func (w *Worker) listed(prefix string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.complete = append(w.complete, prefix)
}

func (w *Worker) item(c *catalogue.Credential, p place) wire.Item {
	path := w.seenAs(p)
	return wire.Item{ID: w.freeID(c.Product, path), Product: c.Product, Path: path, Base: p.base, Name: p.name,
		Action: string(c.Action), Regain: string(c.Regain), Confidence: c.Confidence}
}

// describe adds what names a credential and until when it works by itself.
func describe(i *wire.Item, c *catalogue.Credential, f identify.Finding) {
	i.Identifiers = f.Allow(c.Identifiers).Identifiers
	if c.Harmless {
		return
	}
	if f.Until.IsZero() {
		i.Unbounded = true
		return
	}
	i.Until = f.Until.Unix()
}

func (w *Worker) send(kind wire.Kind, v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return wire.WriteJSON(w.out, kind, v)
}

func (w *Worker) report(i wire.Item) error { return w.send(wire.KindItem, i) }

// left reports an item that stays.
func (w *Worker) left(i wire.Item, outcome, detail string) error {
	i.Action, i.Outcome, i.Detail = "left", outcome, detail
	return w.report(i)
}

// changed notes that the folder of a name is to be made durable.
func (w *Worker) changed(at place) { w.synced[place{at.base, path.Dir(at.name)}] = true }

// syncMost begins to make the folders durable that were changed by now, beside
// what is left to do.
func (w *Worker) syncMost() {
	folders := w.synced
	w.synced = map[place]bool{}
	w.syncing.Go(func() error {
		w.syncAll(folders)
		return nil
	})
}

// sync makes the folders that were changed durable.
func (w *Worker) sync() {
	w.syncAll(w.synced)
	_ = w.syncing.Wait() // it does not fail
}

func (w *Worker) syncAll(folders map[place]bool) {
	var all errgroup.Group
	all.SetLimit(16) // flushes that wait together share the file system's commit
	for in := range folders {
		all.Go(func() error {
			_ = w.dir(in.base).SyncParent(path.Join(in.name, "x")) // a removal that a power cut undoes is found by the sweep
			return nil
		})
	}
	_ = all.Wait() // none fails
}

// detailNoRoom is the word for a full disk.
const detailNoRoom = "no-room"

// detailOf is the word for why something could not be done.
func detailOf(err error) string {
	switch {
	case errors.Is(err, files.ErrImmutable):
		return "immutable"
	case errors.Is(err, files.ErrPermission):
		return "no-permission"
	case errors.Is(err, files.ErrMount):
		return "other-filesystem"
	case errors.Is(err, files.ErrTooLarge):
		return "too-large"
	case errors.Is(err, files.ErrChanged), errors.Is(err, files.ErrExist):
		return "changed"
	case errors.Is(err, files.ErrLink):
		return "link-outside"
	case errors.Is(err, errNoRoom), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return detailNoRoom
	}
	return "error"
}
