package secrets

import (
	"context"
	"net"
)

// Wallets is KWallet by its own interface: it may not be this bus's keyring, or
// not show each wallet as a collection. That interface gives an item only to a
// program that its user lets in, which may be by a dialog; so wallets are seen,
// and go whole or not at all.
type Wallets struct{ wallets }

// OpenWallets speaks to KWallet over a connection to its user's bus,
// which it takes over. It starts none: ErrNone.
func OpenWallets(ctx context.Context, bus net.Conn) (*Wallets, error) { return openWallets(ctx, bus) }
