//go:build !linux

package session

import (
	"context"
	"errors"
	"net"
)

// Other systems lock and end sessions with their own purge.
func end(context.Context, uint32, bool) error { return errors.ErrUnsupported }

func lock(context.Context, uint32) (Locked, error) { return Locked{}, errors.ErrUnsupported }

func sessions(context.Context) (map[uint32]bool, error) { return nil, errors.ErrUnsupported }

func logins(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }

func variables([]string) map[string][]string { return nil }

// managerVariables finds none: this system has no such manager.
func managerVariables(context.Context, net.Conn, []string) (map[string][]string, error) {
	return nil, errors.ErrUnsupported
}
