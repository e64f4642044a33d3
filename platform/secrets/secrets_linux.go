package secrets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

const (
	service         = "org.freedesktop.secrets"
	root            = dbus.ObjectPath("/org/freedesktop/secrets")
	serviceIface    = "org.freedesktop.Secret.Service"
	collectionIface = "org.freedesktop.Secret.Collection"
	itemIface       = "org.freedesktop.Secret.Item"
	promptIface     = "org.freedesktop.Secret.Prompt"
	properties      = "org.freedesktop.DBus.Properties"
	nothing         = dbus.ObjectPath("/")
	// maxItems bounds a keyring that got out of hand.
	maxItems = 10_000
)

type keyring struct {
	conn    *dbus.Conn
	session *session
}

// dial makes a connection to the bus out of its socket.
func dial(ctx context.Context, bus net.Conn) (*dbus.Conn, error) {
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
	return conn, nil
}

func open(ctx context.Context, bus net.Conn) (*Keyring, error) {
	conn, err := dial(ctx, bus)
	if err != nil {
		return nil, err
	}
	k := keyring{conn: conn}
	// A call to a name without owner would start a daemon, which may make a new
	// keyring and show a dialog.
	owned, err := k.owned(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask bus: %w", err), conn.Close())
	}
	if !owned {
		return nil, errors.Join(ErrNone, conn.Close())
	}
	return &Keyring{k}, nil
}

func (k keyring) owned(ctx context.Context) (owned bool, err error) {
	err = k.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, service).Store(&owned)
	return owned, err
}

// Close ends the conversation.
func (k keyring) Close() error { return k.conn.Close() }

// providers own these names beside the common one.
var providers = map[string]Provider{
	"org.gnome.keyring":                  GNOME,
	"org.kde.kwalletd5":                  KWallet,
	"org.kde.kwalletd6":                  KWallet,
	"org.kde.ksecretd":                   KWallet,
	"org.kde.secretservicecompat":        KWallet,
	"org.keepassxc.KeePassXC.MainWindow": KeePassXC,
}

// Provider says which program answers.
func (k keyring) Provider(ctx context.Context) Provider {
	owner, err := k.owner(ctx, service)
	if err != nil {
		return Other
	}
	for name, p := range providers {
		if o, err := k.owner(ctx, name); err == nil && o == owner {
			return p
		}
	}
	return Other
}

// owner asks who has a name; that starts nobody.
func (k keyring) owner(ctx context.Context, name string) (owner string, err error) {
	err = k.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, name).Store(&owner)
	return owner, err
}

// Collections lists all collections. One that goes meanwhile is none.
func (k keyring) Collections(ctx context.Context) ([]Collection, error) {
	refs, err := paths(k.get(ctx, root, serviceIface, "Collections"))
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	var out []Collection
	for _, ref := range refs {
		locked, err := k.get(ctx, ref, collectionIface, "Locked")
		if err != nil {
			continue
		}
		c := Collection{Ref: string(ref), Name: nameOf(ref)}
		c.Locked, _ = locked.Value().(bool)
		out = append(out, c)
	}
	return out, nil
}

func nameOf(ref dbus.ObjectPath) string {
	return string(ref[strings.LastIndexByte(string(ref), '/')+1:])
}

// Items lists the items of one collection.
func (k keyring) Items(ctx context.Context, c Collection) ([]Item, error) {
	refs, err := paths(k.get(ctx, dbus.ObjectPath(c.Ref), collectionIface, "Items"))
	if err != nil {
		return nil, fmt.Errorf("list items: %w", err)
	}
	var out []Item
	for _, ref := range refs[:min(len(refs), maxItems)] {
		if item, err := k.item(ctx, ref); err == nil { // not gone meanwhile
			item.Collection, item.Locked = c.Name, item.Locked || c.Locked
			out = append(out, item)
		}
	}
	return out, nil
}

func (k keyring) item(ctx context.Context, ref dbus.ObjectPath) (Item, error) {
	var all map[string]dbus.Variant
	if err := k.call(ctx, ref, properties+".GetAll", itemIface).Store(&all); err != nil {
		return Item{}, fmt.Errorf("read item: %w", err)
	}
	item := Item{Ref: string(ref)}
	item.Label, _ = all["Label"].Value().(string)
	item.Attributes, _ = all["Attributes"].Value().(map[string]string)
	item.Locked, _ = all["Locked"].Value().(bool)
	item.Modified, _ = all["Modified"].Value().(uint64)
	return item, nil
}

// Delete deletes one item and reads back that it is gone.
func (k keyring) Delete(ctx context.Context, item Item) error {
	if item.Locked {
		return ErrLocked
	}
	var prompt dbus.ObjectPath
	ref := dbus.ObjectPath(item.Ref)
	if err := k.call(ctx, ref, itemIface+".Delete").Store(&prompt); err != nil {
		return fmt.Errorf("delete item: %w", err)
	}
	if prompt != nothing {
		k.dismiss(ctx, prompt)
		return ErrPrompt
	}
	switch _, err := k.item(ctx, ref); {
	case err == nil:
		return fmt.Errorf("delete item: %w", os.ErrExist)
	case !denied(err):
		return fmt.Errorf("read back a deleted item: %w", err)
	}
	return nil
}

// denied reports whether an error is the service's own word that there is no
// such object. No answer, or a bus that went away, says nothing of what is kept.
func denied(err error) bool {
	var said dbus.Error
	return errors.As(err, &said) && slices.Contains([]string{
		"org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod",
		"org.freedesktop.DBus.Error.UnknownInterface", "org.freedesktop.Secret.Error.NoSuchObject",
	}, said.Name)
}

// DeleteCollection deletes a whole collection, locked or not, and reads back
// that it is gone.
func (k keyring) DeleteCollection(ctx context.Context, c Collection) error {
	var prompt dbus.ObjectPath
	if err := k.call(ctx, dbus.ObjectPath(c.Ref), collectionIface+".Delete").Store(&prompt); err != nil {
		return fmt.Errorf("delete collection: %w", err)
	}
	if prompt != nothing {
		k.dismiss(ctx, prompt)
		return ErrPrompt
	}
	left, err := paths(k.get(ctx, root, serviceIface, "Collections"))
	if err != nil {
		return fmt.Errorf("list collections: %w", err)
	}
	if slices.Contains(left, dbus.ObjectPath(c.Ref)) {
		return fmt.Errorf("delete collection: %w", os.ErrExist)
	}
	return nil
}

// Unlock unlocks a collection that has no password; one that has answers with
// a prompt, which is never shown: ErrPrompt.
func (k keyring) Unlock(ctx context.Context, c Collection) error {
	return k.turn(ctx, c, ".Unlock")
}

// Lock locks a collection.
func (k keyring) Lock(ctx context.Context, c Collection) error { return k.turn(ctx, c, ".Lock") }

func (k keyring) turn(ctx context.Context, c Collection, method string) error {
	var (
		done   []dbus.ObjectPath
		prompt dbus.ObjectPath
	)
	if err := k.call(ctx, root, serviceIface+method, []dbus.ObjectPath{dbus.ObjectPath(c.Ref)}).Store(&done, &prompt); err != nil {
		return fmt.Errorf("turn the lock of a collection: %w", err)
	}
	if prompt != nothing {
		k.dismiss(ctx, prompt)
		return ErrPrompt
	}
	return nil
}

// dismiss drops a prompt that was never shown.
func (k keyring) dismiss(ctx context.Context, prompt dbus.ObjectPath) {
	_ = k.call(ctx, prompt, promptIface+".Dismiss").Err // it would end with this connection too
}

func (k keyring) call(ctx context.Context, at dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return k.conn.Object(service, at).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...)
}

func (k keyring) get(ctx context.Context, at dbus.ObjectPath, iface, name string) (dbus.Variant, error) {
	var v dbus.Variant
	err := k.call(ctx, at, properties+".Get", iface, name).Store(&v)
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
