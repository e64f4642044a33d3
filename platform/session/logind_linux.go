package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sync/errgroup"

	"cutoff/platform/watch"
)

// Names of logind on the system bus.
const (
	systemBus  = "/run/dbus/system_bus_socket"
	logind     = "org.freedesktop.login1"
	logindPath = "/org/freedesktop/login1"
	manager    = logind + ".Manager"
)

const runtimes = "/run/user"

// sitting is one session as logind lists it.
type sitting struct {
	ID   string
	UID  uint32
	User string
	Seat string
	Path dbus.ObjectPath
}

// bus connects to the system bus, by its own address and no variable's.
func bus(ctx context.Context) (*dbus.Conn, error) {
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "unix", systemBus)
	if err != nil {
		return nil, fmt.Errorf("connect to system bus: %w", err)
	}
	conn, err := dbus.NewConn(socket, dbus.WithContext(ctx))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to system bus: %w", err), socket.Close())
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("greet system bus: %w", err), conn.Close())
	}
	return conn, nil
}

func listed(ctx context.Context, conn *dbus.Conn) ([]sitting, error) {
	var all []sitting
	call := conn.Object(logind, logindPath).CallWithContext(ctx, manager+".ListSessions", dbus.FlagNoAutoStart)
	if err := call.Store(&all); err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return all, nil
}

// lockWait is how long a screen may take to say that it is locked.
const lockWait = time.Second

func lock(ctx context.Context, uid uint32) (Locked, error) {
	conn, err := bus(ctx)
	if err != nil {
		return Locked{}, err // nobody else can ask for one user's screens alone
	}
	defer conn.Close()
	all, err := listed(ctx, conn)
	if err != nil {
		return Locked{}, err
	}
	var asked []dbus.BusObject
	for _, s := range all {
		if s.UID != uid {
			continue
		}
		call := conn.Object(logind, logindPath).CallWithContext(ctx, manager+".LockSession", 0, s.ID)
		if call.Err == nil { // a terminal has no screen to lock
			asked = append(asked, conn.Object(logind, s.Path))
		}
	}
	l := Locked{Asked: len(asked)}
	for _, s := range asked {
		if sure(ctx, s) {
			l.Sure++
		}
	}
	return l, nil
}

// sure waits for a session's own word.
func sure(ctx context.Context, s dbus.BusObject) bool {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		var hint dbus.Variant
		call := s.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, logind+".Session", "LockedHint")
		if call.Store(&hint) != nil {
			return false
		}
		if locked, ok := hint.Value().(bool); ok && locked {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func sessions(ctx context.Context) (map[uint32]bool, error) {
	uids := map[uint32]bool{}
	entries, err := os.ReadDir(runtimes)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list runtime folders: %w", err)
	}
	for _, e := range entries {
		if uid, err := strconv.ParseUint(e.Name(), 10, 32); err == nil && e.IsDir() {
			uids[uint32(uid)] = true
		}
	}
	conn, err := bus(ctx)
	if err != nil {
		return uids, nil //nolint:nilerr // without logind the folders are what is known
	}
	defer conn.Close()
	all, err := listed(ctx, conn)
	if err != nil {
		return uids, nil //nolint:nilerr // as above
	}
	for _, s := range all {
		uids[s.UID] = true
	}
	return uids, nil
}

// reconnect is how long to wait before the bus is tried again.
const reconnect = 30 * time.Second

func logins(ctx context.Context, seen func()) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		for ctx.Err() == nil {
			if err := signals(ctx, seen); err != nil {
				select {
				case <-ctx.Done():
				case <-time.After(reconnect):
				}
			}
		}
		return ctx.Err()
	})
	work.Go(func() error { return appearing(ctx, seen) })
	return work.Wait()
}

// signals waits for logind's word of new sessions, until the bus goes away.
func signals(ctx context.Context, seen func()) error {
	conn, err := bus(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	heard := make(chan *dbus.Signal, 16)
	conn.Signal(heard)
	for _, member := range []string{"SessionNew", "UserNew"} {
		err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(logind), dbus.WithMatchInterface(manager),
			dbus.WithMatchObjectPath(logindPath), dbus.WithMatchMember(member))
		if err != nil {
			return fmt.Errorf("listen to logind: %w", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s, open := <-heard:
			if !open {
				return dbus.ErrClosed
			}
			if s.Name == manager+".SessionNew" || s.Name == manager+".UserNew" {
				seen()
			}
		}
	}
}

// appearing waits for runtime folders, as systems without logind make them too.
func appearing(ctx context.Context, seen func()) error {
	w, err := watch.New()
	if err != nil {
		<-ctx.Done()
		return ctx.Err()
	}
	defer w.Close()
	if folder, err := os.Open(runtimes); err == nil {
		_ = w.Add(folder) // without it logind and the timed sweep are left
		_ = folder.Close()
	}
	return w.Run(ctx, seen)
}
