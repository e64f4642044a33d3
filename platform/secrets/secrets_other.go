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

// Close does nothing.
func (keyring) Close() error { return nil }

// Items is not here yet.
func (keyring) Items(context.Context) ([]Item, error) { return nil, errors.ErrUnsupported }

// Delete is not here yet.
func (keyring) Delete(context.Context, Item) error { return errors.ErrUnsupported }
