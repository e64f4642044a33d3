package secrets

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/godbus/dbus/v5"
)

// calm is how long a burst of signals is let pass before the locks are looked
// at: a keyring cannot make its watcher spin.
const calm = 100 * time.Millisecond

// glance is how often the locks are looked at without any signal: gnome-keyring
// sends none for a collection that it unlocks without asking, or at a login.
const glance = time.Second

func awaitUnlock(ctx context.Context, bus net.Conn) error {
	conn, err := dial(ctx, bus)
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 16) // a full channel drops: one of many is enough
	conn.Signal(signals)
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(service), dbus.WithMatchPathNamespace(root)},
		{dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, service)},
	} {
		if err := conn.AddMatchSignalContext(ctx, match...); err != nil {
			return fmt.Errorf("watch the keyring: %w", err)
		}
	}
	k := keyring{conn: conn}
	was, err := k.guard(ctx)
	if err != nil {
		return err
	}
	if was.owner != "" && len(was.locked) == 0 {
		return nil // it was unlocked before anybody listened
	}
	ticks := time.NewTicker(glance)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		case _, ok := <-signals:
			if !ok {
				return ErrNone // the bus is gone
			}
			if err := settle(ctx, signals); err != nil {
				return err
			}
		}
		now, err := k.guard(ctx)
		if err != nil {
			return err
		}
		if now.owner != was.owner {
			return nil
		}
		for ref := range was.locked {
			if !now.locked[ref] {
				return nil
			}
		}
	}
}

// guard is who keeps the keyring, and what is locked of it. Signals only say
// when to look: one that is dropped, or comes with others, changes nothing.
type guard struct {
	owner  string // empty: no keyring runs
	locked map[string]bool
}

// guard looks. A keyring that ends while it is asked is one that does not run.
func (k keyring) guard(ctx context.Context) (guard, error) {
	owned, err := k.owned(ctx)
	if err != nil || !owned {
		return guard{}, err
	}
	owner, err := k.owner(ctx, service)
	if err != nil {
		return guard{}, ctx.Err()
	}
	all, err := k.Collections(ctx)
	if err != nil {
		if still, asked := k.owner(ctx, service); asked != nil || still != owner {
			return guard{}, ctx.Err()
		}
		return guard{}, err
	}
	g := guard{owner: owner, locked: map[string]bool{}}
	for _, c := range all {
		if c.Locked {
			g.locked[c.Ref] = true
		}
	}
	return g, nil
}

// settle lets a burst of signals pass.
func settle(ctx context.Context, signals <-chan *dbus.Signal) error {
	timer := time.NewTimer(calm)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case _, ok := <-signals:
			if !ok {
				return ErrNone
			}
		}
	}
}
