//go:build !linux

package secrets

import (
	"context"
	"errors"
	"net"
)

type keyring struct{}

// open comes with this system's own purge.
func open(context.Context, net.Conn) (*Keyring, error) { return nil, errors.ErrUnsupported }

func awaitUnlock(context.Context, net.Conn) error { return errors.ErrUnsupported }

// Close does nothing.
func (keyring) Close() error { return nil }

// Provider is not here yet.
func (keyring) Provider(context.Context) Provider { return Other }

// Collections is not here yet.
func (keyring) Collections(context.Context) ([]Collection, error) { return nil, errors.ErrUnsupported }

// Items is not here yet.
func (keyring) Items(context.Context, Collection) ([]Item, error) { return nil, errors.ErrUnsupported }

// Delete is not here yet.
func (keyring) Delete(context.Context, Item) error { return errors.ErrUnsupported }

// DeleteCollection is not here yet.
func (keyring) DeleteCollection(context.Context, Collection) error { return errors.ErrUnsupported }

// Unlock is not here yet.
func (keyring) Unlock(context.Context, Collection) error { return errors.ErrUnsupported }

// Lock is not here yet.
func (keyring) Lock(context.Context, Collection) error { return errors.ErrUnsupported }

// Read is not here yet.
func (keyring) Read(context.Context, Item) (Secret, error) { return Secret{}, errors.ErrUnsupported }

// Create is not here yet.
func (keyring) Create(context.Context, Item, Secret) error { return errors.ErrUnsupported }

type wallets struct{}

func openWallets(context.Context, net.Conn) (*Wallets, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (wallets) Close() error { return nil }

// Names is not here.
func (wallets) Names(context.Context) (map[string]bool, error) { return nil, errors.ErrUnsupported }

// Delete is not here.
func (wallets) Delete(context.Context, string) error { return errors.ErrUnsupported }
