package secrets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

const (
	service   = "org.freedesktop.secrets"
	root      = dbus.ObjectPath("/org/freedesktop/secrets")
	itemIface = "org.freedesktop.Secret.Item"
	noPrompt  = dbus.ObjectPath("/")
	// maxItems bounds a keyring that got out of hand.
	maxItems = 10_000
)

type keyring struct{ conn *dbus.Conn }

func open(ctx context.Context, bus net.Conn) (*Keyring, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := bus.SetDeadline(deadline); err != nil {
			return nil, errors.Join(fmt.Errorf("open bus: %w", err), bus.Close())
		}
	}
	conn, err := dbus.NewConn(bus, dbus.WithContext(ctx))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open bus: %w", err), bus.Close())
	}
	uid := strconv.Itoa(os.Getuid())
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(uid)}); err != nil {
		return nil, errors.Join(fmt.Errorf("open bus: %w", err), conn.Close())
	}
	if err := conn.Hello(); err != nil {
		return nil, errors.Join(fmt.Errorf("open bus: %w", err), conn.Close())
	}
	// A call to a name without owner would start a daemon, which may make a new
	// keyring and show a dialog.
	var owned bool
	if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, service).Store(&owned); err != nil {
		return nil, errors.Join(fmt.Errorf("ask bus: %w", err), conn.Close())
	}
	if !owned {
		return nil, errors.Join(ErrNone, conn.Close())
	}
	return &Keyring{keyring{conn}}, nil
}

// Close ends the conversation.
func (k keyring) Close() error { return k.conn.Close() }

// Items lists every item of every collection, by collection.
func (k keyring) Items(ctx context.Context) ([]Item, error) {
	collections, err := paths(k.get(ctx, root, "org.freedesktop.Secret.Service", "Collections"))
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	var out []Item
	for _, c := range collections {
		items, err := paths(k.get(ctx, c, "org.freedesktop.Secret.Collection", "Items"))
		if err != nil {
			continue // gone meanwhile
		}
		for _, ref := range items {
			if len(out) >= maxItems {
				return out, nil
			}
			if item, err := k.item(ctx, ref); err == nil {
				item.Collection = string(c[strings.LastIndexByte(string(c), '/')+1:])
				out = append(out, item)
			}
		}
	}
	return out, nil
}

func (k keyring) item(ctx context.Context, ref dbus.ObjectPath) (Item, error) {
	var all map[string]dbus.Variant
	err := k.conn.Object(service, ref).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", dbus.FlagNoAutoStart, itemIface).Store(&all)
	if err != nil {
		return Item{}, fmt.Errorf("read item: %w", err)
	}
	item := Item{Ref: string(ref)}
	item.Label, _ = all["Label"].Value().(string)
	item.Attributes, _ = all["Attributes"].Value().(map[string]string)
	item.Locked, _ = all["Locked"].Value().(bool)
	return item, nil
}

// Delete deletes one item and reads back that it is gone.
func (k keyring) Delete(ctx context.Context, item Item) error {
	if item.Locked {
		return ErrLocked
	}
	var prompt dbus.ObjectPath
	ref := dbus.ObjectPath(item.Ref)
	if err := k.conn.Object(service, ref).CallWithContext(ctx, itemIface+".Delete", dbus.FlagNoAutoStart).Store(&prompt); err != nil {
		return fmt.Errorf("delete item: %w", err)
	}
	if prompt != noPrompt {
		return ErrPrompt
	}
	if _, err := k.item(ctx, ref); err == nil {
		return fmt.Errorf("delete item: %w", os.ErrExist)
	}
	return nil
}

func (k keyring) get(ctx context.Context, at dbus.ObjectPath, iface, name string) (dbus.Variant, error) {
	var v dbus.Variant
	err := k.conn.Object(service, at).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, iface, name).Store(&v)
	return v, err
}

func paths(v dbus.Variant, err error) ([]dbus.ObjectPath, error) {
	if err != nil {
		return nil, err
	}
	out, ok := v.Value().([]dbus.ObjectPath)
	if !ok {
		return nil, errors.New("answer of another type")
	}
	return out, nil
}
