package secrets

import (
	"context"
	"errors"
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
	signals := make(chan *dbus.Signal, 16) // settle takes a burst out of it
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
	ticks := time.NewTicker(glance)
	defer ticks.Stop()
	var was *guard
	for {
		now, err := k.guard(ctx)
		switch {
		case errors.Is(err, dbus.ErrClosed):
			return ErrNone // the bus is gone
		case err != nil: // it ended while it was asked: the next look says what came of it
		case was == nil && now.owner != "" && len(now.locked) == 0:
			return nil // it was unlocked before anybody listened
		case was == nil:
			was = &now
		case now.since(*was):
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		case _, ok := <-signals:
			if !ok {
				return ErrNone
			}
			if err := settle(ctx, signals); err != nil {
				return err
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

// since reports whether a keyring came up, ended or unlocked something.
func (g guard) since(was guard) bool {
	if g.owner != was.owner {
		return true
	}
	for ref := range was.locked {
		if !g.locked[ref] {
			return true
		}
	}
	return false
}

// guard looks.
func (k keyring) guard(ctx context.Context) (guard, error) {
	owner, err := k.owner(ctx, service)
	var said dbus.Error
	if errors.As(err, &said) && said.Name == "org.freedesktop.DBus.Error.NameHasNoOwner" {
		return guard{}, nil
	}
	if err != nil {
		return guard{}, err
	}
	all, err := k.Collections(ctx)
	if err != nil {
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
