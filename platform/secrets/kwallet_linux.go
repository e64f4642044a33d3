package secrets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/godbus/dbus/v5"
)

// kwallets are the names of KWallet's own interface, with the object's path.
var kwallets = map[string]dbus.ObjectPath{
	"org.kde.kwalletd5": "/modules/kwalletd5",
	"org.kde.kwalletd6": "/modules/kwalletd6",
}

const kwalletIface = "org.kde.KWallet"

type wallets struct {
	conn *dbus.Conn
	name string
	at   dbus.ObjectPath
}

func openWallets(ctx context.Context, bus net.Conn) (*Wallets, error) {
	conn, err := dial(ctx, bus)
	if err != nil {
		return nil, err
	}
	k := keyring{conn: conn}
	for name, at := range kwallets {
		if _, err := k.owner(ctx, name); err == nil {
			return &Wallets{wallets{conn: conn, name: name, at: at}}, nil
		}
	}
	return nil, errors.Join(ErrNone, conn.Close())
}

// Close ends the conversation.
func (w wallets) Close() error { return w.conn.Close() }

// Names lists the wallets, and whether each is open.
func (w wallets) Names(ctx context.Context) (map[string]bool, error) {
	names, err := w.names(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, name := range names[:min(len(names), maxItems)] {
		var open bool
		if err := w.call(ctx, "isOpen", name).Store(&open); err != nil {
			return nil, fmt.Errorf("ask for wallet: %w", err)
		}
		out[name] = open
	}
	return out, nil
}

func (w wallets) names(ctx context.Context) (names []string, err error) {
	if err := w.call(ctx, "wallets").Store(&names); err != nil {
		return nil, fmt.Errorf("list wallets: %w", err)
	}
	return names, nil
}

// Delete deletes a whole wallet and reads back that it is gone.
func (w wallets) Delete(ctx context.Context, name string) error {
	var rc int32
	if err := w.call(ctx, "deleteWallet", name).Store(&rc); err != nil {
		return fmt.Errorf("delete wallet: %w", err)
	}
	left, err := w.names(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(left, name) {
		return fmt.Errorf("delete wallet: %w", os.ErrExist)
	}
	return nil
}

func (w wallets) call(ctx context.Context, method string, args ...any) *dbus.Call {
	return w.conn.Object(w.name, w.at).CallWithContext(ctx, kwalletIface+"."+method, dbus.FlagNoAutoStart, args...)
}
