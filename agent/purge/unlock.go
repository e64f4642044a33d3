package purge

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/purge/wire"
	"cutoff/platform/users"
)

// detailLocked is the word of what waits until its keyring is unlocked, and
// detailNoKeyring of what waits until there is one.
const (
	detailLocked    = "locked"
	detailNoKeyring = "no-keyring"
)

// Locked names the users whose keyrings keep something, or get nothing back,
// until they are unlocked.
func (r Result) Locked() []string {
	var names []string
	for _, i := range r.Items {
		if (i.GetDetail() == detailLocked || i.GetDetail() == detailNoKeyring) && strings.HasPrefix(i.GetPath(), "keyring:") {
			names = append(names, i.GetUser())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tellLocked replaces what the last run said.
func (p *Purger) tellLocked(names []string) {
	select {
	case <-p.locked:
	default:
	}
	p.locked <- names
}

// WatchLocks calls unlocked when a keyring that kept something from the last run
// is unlocked, until ctx ends.
func (p *Purger) WatchLocks(ctx context.Context, unlocked func()) error {
	var names []string
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		var listening sync.WaitGroup
		seen := make(chan struct{}, 1)
		if len(names) > 0 {
			listening.Go(func() {
				if p.AwaitUnlock(round, names...) == nil {
					seen <- struct{}{}
				}
			})
		}
		var next []string
		select {
		case <-ctx.Done():
		case next = <-p.locked:
		case <-seen:
			unlocked() // the sweep says what is locked still
		}
		cancel()
		listening.Wait()
		names = next
	}
	return ctx.Err()
}

// AwaitUnlock returns nil when the keyring of one of these users is unlocked,
// comes up or ends. It asks for nothing: a child of the user's listens on his
// bus. Where nobody has one, it waits for ctx: logins are others' to see.
func (p *Purger) AwaitUnlock(ctx context.Context, names ...string) error {
	all, err := p.users()
	if err != nil {
		return err
	}
	e, err := p.errand(wire.Await, nil)
	if err != nil {
		return err
	}
	defer e.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(together)
	unlocked := make(chan struct{}, len(all))
	for _, u := range all {
		if slices.Contains(names, u.Name) {
			group.Go(func() error {
				if e.await(ctx, u) == nil {
					unlocked <- struct{}{}
					cancel()
				}
				return nil
			})
		}
	}
	_ = group.Wait() // none returns an error
	select {
	case <-unlocked:
		return nil
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

// errNotUnlocked: the child ended without a word.
var errNotUnlocked = errors.New("no keyring was unlocked")

// await listens for one user.
func (e *errand) await(ctx context.Context, u users.User) error {
	base, err := e.root.Below(u.Home)
	if err != nil {
		return err
	}
	defer base.Close()
	return e.child(u, base).Run(ctx, func(in io.WriteCloser, out io.Reader) error {
		if err := wire.WriteJob(in, wire.Job{Mode: wire.Await, User: u.Name, Home: u.Home, Root: e.purger.config.Root, UID: u.UID}, nil); err != nil {
			return err
		}
		kind, _, err := wire.Read(out)
		if err == nil && kind != wire.KindDone {
			err = wire.ErrFrame
		}
		if err != nil {
			return errors.Join(errNotUnlocked, err)
		}
		return nil
	})
}
