package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/godbus/dbus/v5"
)

const (
	userManager      = "org.freedesktop.systemd1"
	userManagerPath  = dbus.ObjectPath("/org/freedesktop/systemd1")
	userManagerIface = "org.freedesktop.systemd1.Manager"
	// maxVariables bounds what a manager may answer.
	maxVariables = 10_000
)

func managerVariables(ctx context.Context, conn net.Conn, names []string) (map[string][]string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(fmt.Errorf("ask service manager: %w", err), conn.Close())
		}
	}
	bus, err := dbus.NewConn(conn, dbus.WithContext(ctx))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask service manager: %w", err), conn.Close())
	}
	defer bus.Close()
	if err := bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return nil, fmt.Errorf("ask service manager: %w", err)
	}
	if err := running(ctx, bus); err != nil {
		return nil, err
	}
	var value dbus.Variant
	call := bus.Object(userManager, userManagerPath).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, userManagerIface, "Environment")
	if err := call.Store(&value); err != nil {
		return nil, fmt.Errorf("ask service manager: %w", err)
	}
	list, ok := value.Value().([]string)
	if !ok || len(list) > maxVariables {
		return nil, fmt.Errorf("ask service manager: %w", errors.ErrUnsupported)
	}
	return named(list, names), nil
}

// running reports an error unless a service manager is on the bus: a call to a
// name without owner would start one.
func running(ctx context.Context, bus *dbus.Conn) error {
	if err := bus.Hello(); err != nil {
		return fmt.Errorf("ask bus: %w", err)
	}
	var owned bool
	if err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, userManager).Store(&owned); err != nil {
		return fmt.Errorf("ask bus: %w", err)
	}
	if !owned {
		return fmt.Errorf("ask bus: %w", os.ErrNotExist)
	}
	return nil
}
