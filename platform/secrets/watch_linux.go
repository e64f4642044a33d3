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
	was, err := k.locks(ctx)
	if err != nil {
		return err
	}
	if owned, err := k.owned(ctx); err == nil && owned && len(was) == 0 {
		return nil // it was unlocked before anybody listened
	}
	ticks := time.NewTicker(glance)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		case s, ok := <-signals:
			if !ok {
				return ErrNone // the bus is gone
			}
			if s.Name == "org.freedesktop.DBus.NameOwnerChanged" {
				return nil
			}
			if err := settle(ctx, signals); err != nil {
				return err
			}
		}
		now, err := k.locks(ctx)
		if err != nil {
			return err
		}
		for ref := range was {
			if !now[ref] {
				return nil
			}
		}
	}
}

// locks are the collections that are locked; of a keyring that does not run, none.
func (k keyring) locks(ctx context.Context) (map[string]bool, error) {
	owned, err := k.owned(ctx)
	if err != nil || !owned {
		return nil, err
	}
	all, err := k.Collections(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, c := range all {
		if c.Locked {
			out[c.Ref] = true
		}
	}
	return out, nil
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
