package purge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"cutoff/agent/journal"
	"cutoff/agent/purge/wire"
	"cutoff/platform/command"
	"cutoff/platform/files"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// detailRestored is the word of an item that is back.
const detailRestored = "restored"

// headersAtOnce is how many headers one call of Unseal carries.
const headersAtOnce = 200

// Restore puts back what was sealed under the warrant's cut, and destroys each
// sealed copy once its item is back. Run again, it goes on where it stopped.
func (p *Purger) Restore(ctx context.Context, w *journal.Warrant, unseal Unseal) (Result, error) {
	if !w.Valid() || w.Kind() != cutoffv1.OrderKind_ORDER_KIND_LIFT {
		return Result{}, ErrWarrant
	}
	e, err := p.errand(wire.Restore, w)
	if err != nil {
		return Result{}, err
	}
	defer e.close()
	p.endVigil()
	for id, item := range w.Noted() {
		if item.GetDetail() == detailRestored {
			e.items[id] = item
		}
	}
	err = e.restoreAll(ctx, unseal)
	e.stop()
	r := Result{Items: e.sorted(), FinishedBoot: p.config.Boot(), Complete: err == nil, CatalogueVersion: VersionWith(e.scope)}
	for _, i := range r.Items {
		r.Complete = r.Complete && i.GetOutcome() != cutoffv1.Outcome_OUTCOME_RETRYING
	}
	p.tellLocked(r.Locked()) // and when one is unlocked, the rest goes back
	return r, errors.Join(err, e.noted())
}

// restoreAll asks for the keys of a batch at a time, in the order in which
// copies go back, and gives each user's to a child of his.
func (e *errand) restoreAll(ctx context.Context, unseal Unseal) error {
	all := e.store.all()
	if len(all) == 0 {
		return nil
	}
	now, err := listUsers(e.purger.config.Root)
	if err != nil {
		return err
	}
	for len(all) > 0 {
		batch := all[:min(len(all), headersAtOnce)]
		all = all[len(batch):]
		keys, err := e.keys(ctx, batch, unseal)
		if err != nil {
			return err
		}
		for _, part := range byUser(batch) {
			if err := e.restoreFor(ctx, now, part, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

// byUser groups items by user, in order.
func byUser(all []sealedItem) [][]sealedItem {
	at := map[string]int{}
	var out [][]sealedItem
	for _, s := range all {
		n, ok := at[s.User.Name]
		if !ok {
			n = len(out)
			at[s.User.Name] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], s)
	}
	return out
}

// keys asks the server to open the headers; only file keys come back.
func (e *errand) keys(ctx context.Context, batch []sealedItem, unseal Unseal) (map[string]*cutoffv1.FileKey, error) {
	var headers []*cutoffv1.SealedHeader
	for _, s := range batch {
		header, err := e.header(s.item.GetId())
		if err != nil {
			e.putBack(s, "left", cutoffv1.Outcome_OUTCOME_BLOCKED, "unreadable", true)
			continue
		}
		headers = append(headers, &cutoffv1.SealedHeader{ItemId: s.item.GetId(), Header: header})
	}
	out := map[string]*cutoffv1.FileKey{}
	if len(headers) == 0 {
		return out, nil
	}
	keys, err := unseal(ctx, headers)
	if err != nil {
		return nil, fmt.Errorf("ask for file keys: %w", err)
	}
	for _, k := range keys {
		out[k.GetItemId()] = k
	}
	return out, nil
}

func (e *errand) header(id string) ([]byte, error) {
	file, _, err := e.store.openSealed(id)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return age.ExtractHeader(io.LimitReader(file, 1<<20))
}

// restoreFor runs a child for one user's items until it has done them all.
func (e *errand) restoreFor(ctx context.Context, now []users.User, items []sealedItem, keys map[string]*cutoffv1.FileKey) error {
	var due []sealedItem
	for _, s := range items {
		switch key := keys[s.item.GetId()]; {
		case key == nil && e.items[s.item.GetId()] != nil: // reported already
		case key == nil || len(key.GetKey()) == 0:
			e.putBack(s, "left", cutoffv1.Outcome_OUTCOME_RETRYING, "refused", true)
		default:
			due = append(due, s)
		}
	}
	if len(due) == 0 {
		return nil
	}
	u, base, err := e.findSoon(now, due[0].User)
	if errors.Is(err, errSilent) {
		for _, s := range due {
			e.putBack(s, "left", cutoffv1.Outcome_OUTCOME_RETRYING, detailSilent, true)
		}
		return nil
	}
	if err != nil {
		for _, s := range due {
			e.putBack(s, "left", cutoffv1.Outcome_OUTCOME_BLOCKED, "user-gone", true)
		}
		return nil //nolint:nilerr // said in the items
	}
	defer base.Close()
	r := &restorer{errand: e, user: u, home: base, due: due, keys: keys}
	for attempt := 0; attempt < childAttempts && len(r.due) > 0; attempt++ {
		err := r.attempt(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errStore) {
			return err
		}
		if err != nil {
			e.log("child stopped", u, err)
		}
		if errors.Is(err, command.ErrStuck) {
			r.abandon(cutoffv1.Outcome_OUTCOME_RETRYING, detailSilent)
			return nil
		}
	}
	r.abandon(cutoffv1.Outcome_OUTCOME_BLOCKED, detailKilled)
	return nil
}

// errSilent: a home does not answer.
var errSilent = errors.New("home does not answer")

// findSoon is find for a home that may lie on a file system that hangs.
func (e *errand) findSoon(now []users.User, was users.User) (users.User, *files.Dir, error) {
	type answer struct {
		user users.User
		home *files.Dir
		err  error
	}
	root, err := e.root.Again() // the look may outlast this errand
	if err != nil {
		return users.User{}, nil, err
	}
	answers := make(chan answer)
	late := make(chan struct{})
	defer close(late)
	go func() {
		defer root.Close()
		var a answer
		if a.user, a.home, a.err = find(root, now, was); a.err == nil {
			if _, err := a.home.Self(); err != nil {
				a.err = errors.Join(errSilent, a.home.Close())
			}
		}
		select {
		case answers <- a:
		case <-late:
			if a.err == nil {
				_ = a.home.Close()
			}
		}
	}()
	silent := time.NewTimer(answerTime)
	defer silent.Stop()
	select {
	case a := <-answers:
		return a.user, a.home, a.err
	case <-silent.C:
		return users.User{}, nil, errSilent
	}
}

// find returns the user as he is now, if he is the one whose item was sealed.
func find(root *files.Dir, now []users.User, was users.User) (users.User, *files.Dir, error) {
	for _, u := range now {
		if u.Name == was.Name && u.UID == was.UID {
			base, err := root.Below(u.Home)
			return u, base, err
		}
	}
	return users.User{}, nil, os.ErrNotExist
}

// restorer hands one user's items to a child.
type restorer struct {
	errand *errand
	user   users.User
	home   *files.Dir
	keys   map[string]*cutoffv1.FileKey

	mu  sync.Mutex // a talk that was left to itself goes on beside us
	due []sealedItem
	// held are items that are back, and one file with another that is not: whoever
	// takes over from a killed child learns from their copies that they were.
	held, again []sealedItem
	over        bool
}

// errAbandoned: the talk was left to itself.
var errAbandoned = errors.New("lift goes on without this child")

// next is the item to go back now, if there is one.
func (r *restorer) next() (sealedItem, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || len(r.due) == 0 {
		return sealedItem{}, false
	}
	return r.due[0], true
}

// abandon reports what is not back, and ends the part of a talk that may still
// be waiting for a file system.
func (r *restorer) abandon(outcome cutoffv1.Outcome, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, s := range r.held {
		if err := r.errand.store.remove(s.item.GetId()); err != nil {
			r.errand.log("copy not removed", r.user, err) // the next lift finds its item back
		}
	}
	for _, s := range r.due {
		r.errand.putBack(s, "left", outcome, detail, true)
	}
}

// release lets go of the copies that were held.
func (r *restorer) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return errAbandoned
	}
	for _, s := range r.held {
		if err := r.errand.store.remove(s.item.GetId()); err != nil {
			return err
		}
	}
	r.held = nil
	return nil
}

func (r *restorer) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*r.errand.purger.config.Budget+childGrace)
	defer cancel()
	r.mu.Lock()
	r.again = r.held // for this child, which does not know them
	r.mu.Unlock()
	return r.errand.child(r.user, r.home).Run(ctx, r.talk)
}

func (r *restorer) talk(in io.WriteCloser, out io.Reader) error {
	job := r.errand.job(r.user)
	job.Taken, job.Recipient, job.Seconds = nil, "", 2*job.Seconds
	if err := wire.WriteJob(in, job, nil); err != nil {
		return err
	}
	for _, s := range r.again {
		if err := r.one(in, out, s, r.once); err != nil {
			return err
		}
	}
	for s, more := r.next(); more; s, more = r.next() {
		if err := r.one(in, out, s, r.take); err != nil {
			return err
		}
	}
	if err := r.release(); err != nil {
		return err
	}
	return wire.Write(in, wire.KindDone, nil)
}

// one sends one sealed item and takes the child's answer.
func (r *restorer) one(in io.Writer, out io.Reader, s sealedItem, take func(sealedItem, wire.Item) error) error {
	id := s.item.GetId()
	file, _, err := r.errand.store.openSealed(id)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := wire.WriteJSON(in, wire.KindRestore, wire.RestoreItem{ID: id, Key: r.keys[id].GetKey()}); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := file.Read(buf)
		if n > 0 {
			if err := wire.Write(in, wire.KindChunk, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errStore, err)
		}
	}
	if err := wire.Write(in, wire.KindEnd, nil); err != nil {
		return err
	}
	kind, payload, err := wire.Read(out)
	if err != nil {
		return err
	}
	var i wire.Item
	if kind != wire.KindItem {
		return wire.ErrFrame
	}
	if err := wire.Unmarshal(payload, &i); err != nil {
		return err
	}
	return take(s, i)
}

// once takes the answer about an item that was back before this child.
func (r *restorer) once(s sealedItem, i wire.Item) error {
	if i.ID != s.item.GetId() {
		return wire.ErrFrame
	}
	return nil
}

// take holds the child's word against the file system, and lets the sealed
// copy go only when the item is seen.
func (r *restorer) take(s sealedItem, i wire.Item) error {
	if i.ID != s.item.GetId() {
		return wire.ErrFrame
	}
	shown := r.shown(s, i) // which a file system that hangs may hold up
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return errAbandoned
	}
	if err := r.settle(s, i, shown); err != nil {
		return err
	}
	r.due = r.due[1:]
	return nil
}

// shown reports whether what the child says is back is there.
func (r *restorer) shown(s sealedItem, i wire.Item) bool {
	if i.Outcome != wire.Verified || !onDisk(s.item.GetAction()) {
		return true
	}
	dir := r.home
	if i.Base == wire.InRoot {
		dir = r.errand.root.AcrossMounts()
	}
	found, err := dir.Stat(i.Name)
	return err == nil && (found.Kind == files.Regular || found.Kind == files.Directory)
}

func (r *restorer) settle(s sealedItem, i wire.Item, shown bool) error {
	inMemory := !onDisk(s.item.GetAction())
	switch {
	case i.Outcome == wire.Retrying && (inMemory || i.Detail == "no-room"):
		r.errand.putBack(s, "left", cutoffv1.Outcome_OUTCOME_RETRYING, text(i.Detail), true)
		return nil
	case i.Outcome != wire.Verified || i.Sealed:
		r.errand.putBack(s, "left", cutoffv1.Outcome_OUTCOME_BLOCKED, text(i.Detail), true)
		return nil
	}
	if !shown {
		r.errand.putBack(s, "left", cutoffv1.Outcome_OUTCOME_BLOCKED, "not-shown", true)
		return nil
	}
	if s.Flags != 0 && i.Base == wire.InHome {
		if err := r.home.PutFlags(i.Name, r.user.UID, s.Flags); err != nil {
			r.errand.log("flag not put back", r.user, err)
		}
	}
	r.errand.putBack(s, s.item.GetAction(), cutoffv1.Outcome_OUTCOME_VERIFIED, detailRestored, false)
	if err := r.errand.warrant.Note(r.errand.items[i.ID]); err != nil { // before the copy goes
		return fmt.Errorf("%w: %w", errStore, err)
	}
	if slices.ContainsFunc(r.due[1:], func(o sealedItem) bool { return len(s.Was) > 0 && slices.Equal(s.Was, o.Was) }) {
		r.held = append(r.held, s)
		return nil
	}
	return r.errand.store.remove(i.ID)
}

// putBack reports one item of a lift.
func (e *errand) putBack(s sealedItem, action string, outcome cutoffv1.Outcome, detail string, sealed bool) {
	item := proto.CloneOf(s.item)
	item.Action, item.Outcome, item.Detail, item.Sealed, item.RemovedBootMs = action, outcome, detail, sealed, 0
	e.add(item)
}

// destroySealed ends what an earlier seal of this cut kept: a purge is final.
// That a copy is gone improves nothing that another name still holds.
func (e *errand) destroySealed() error {
	noted := e.warrant.Noted()
	for _, s := range e.store.all() {
		if err := e.store.remove(s.item.GetId()); err != nil {
			return err
		}
		item := proto.CloneOf(s.item)
		item.Sealed, item.Outcome, item.Detail = false, cutoffv1.Outcome_OUTCOME_VERIFIED, "sealed-copy-destroyed"
		for _, was := range []*cutoffv1.Item{s.item, noted[s.item.GetId()]} {
			if was.GetOutcome() == cutoffv1.Outcome_OUTCOME_BLOCKED && was.GetAction() != "left" {
				item.Outcome, item.Detail = was.GetOutcome(), was.GetDetail()
			}
		}
		e.add(item)
	}
	return nil
}
