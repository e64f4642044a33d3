// Package secrets lists and deletes items of the user's keyring by their
// attributes. It never opens a session with the keyring, never asks for a
// secret, never unlocks anything and never shows a prompt.
package secrets

import (
	"context"
	"errors"
	"net"
	"strings"
)

// Errors.
var (
	// ErrNone: no keyring is running; asking for one would start one.
	ErrNone = errors.New("no keyring is running")
	// ErrLocked: the item is in a locked collection.
	ErrLocked = errors.New("keyring is locked")
	// ErrPrompt: the keyring wants to ask the user; it is not let.
	ErrPrompt = errors.New("keyring wants to ask the user")
)

// Item is one entry, without its secret.
type Item struct {
	// Ref is the keyring's own name for it.
	Ref        string
	Collection string
	Label      string
	Attributes map[string]string
	Locked     bool
}

// Keyring is a running keyring.
type Keyring struct{ keyring }

// Open speaks to the keyring over a connection to its user's bus, which it
// takes over. It starts none: ErrNone.
func Open(ctx context.Context, bus net.Conn) (*Keyring, error) { return open(ctx, bus) }

// Matches reports whether every attribute of match is there; "label" means the
// label, and a value may end in *.
func (i Item) Matches(match map[string]string) bool {
	if len(match) == 0 {
		return false
	}
	for name, want := range match {
		have, ok := i.Attributes[name]
		if name == "label" && !ok {
			have = i.Label
		}
		if prefix, any := strings.CutSuffix(want, "*"); any && strings.HasPrefix(have, prefix) && have != "" {
			continue
		}
		if have != want {
			return false
		}
	}
	return true
}
