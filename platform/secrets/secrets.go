// Package secrets works on the items of the user's keyring by their attributes:
// it lists, deletes, reads and puts back. It starts no keyring, never asks one to
// show a prompt, and unlocks only what has no password. Nothing but Read and
// Create opens a session in which secrets travel.
package secrets

import (
	"context"
	"crypto/md5" //nolint:gosec // the keyring's own hash of a locked attribute
	"encoding/hex"
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
	// ErrNoCollection: there is no such collection.
	ErrNoCollection = errors.New("no such collection")
	// ErrCameBack: another item with these attributes is there.
	ErrCameBack = errors.New("an item with these attributes is there")
)

// Provider is the program behind a keyring, as far as what it does differs.
type Provider string

// Providers.
const (
	GNOME     Provider = "gnome-keyring"
	KWallet   Provider = "kwallet"
	KeePassXC Provider = "keepassxc"
	// Other: it keeps to the specification, as far as anybody knows.
	Other Provider = ""
)

// Collection is a set of items that is locked and unlocked as a whole.
type Collection struct {
	// Ref is the keyring's own name for it, Name the last part of that.
	Ref, Name string
	Locked    bool
}

// Item is one entry, without its secret.
type Item struct {
	// Ref is the keyring's own name for it.
	Ref        string
	Collection string
	Label      string
	Attributes map[string]string
	Locked     bool
	// Modified is when, in seconds since 1970, its keyring last wrote it.
	Modified uint64
}

// Secret is what an item keeps.
type Secret struct {
	Value       []byte
	ContentType string
}

// Keyring is a running keyring. It serves one caller at a time.
type Keyring struct{ keyring }

// Open speaks to the keyring over a connection to its user's bus, which it
// takes over. It starts none: ErrNone.
func Open(ctx context.Context, bus net.Conn) (*Keyring, error) { return open(ctx, bus) }

// AwaitUnlock returns when a collection that is locked now is unlocked, when the
// keyring of this bus ends or another one comes up: something may go now that
// could not before. It takes the connection over.
func AwaitUnlock(ctx context.Context, bus net.Conn) error { return awaitUnlock(ctx, bus) }

// hashed marks the attributes of a keyring that was never unlocked: their values
// are hashes.
const hashed = "gkr:compat:hashed:"

// Hashed reports whether the values of the attributes, and the label, are hidden.
func (i Item) Hashed() bool {
	for name := range i.Attributes {
		if strings.HasPrefix(name, "gkr:compat:hashed") {
			return true
		}
	}
	return false
}

// MayMatch is Matches for an item whose values are hidden: where match has only
// the beginning of one, or a label, it may be any.
func (i Item) MayMatch(match map[string]string) bool {
	known := map[string]string{}
	for name, want := range match {
		_, hidden := i.Attributes[hashed+name]
		if hidden && strings.Contains(want, "*") || name == "label" && i.Hashed() {
			continue
		}
		known[name] = want
	}
	return len(known) < len(match) && len(known) == 0 || i.Matches(known)
}

// Matches reports whether every attribute of match is there; "label" means the
// label, "collection" the name of what the item is in, and in a value * stands for
// any text. Hidden values match as a whole only.
func (i Item) Matches(match map[string]string) bool {
	if len(match) == 0 {
		return false
	}
	for name, want := range match {
		have, ok := i.Attributes[name]
		if sum, hidden := i.Attributes[hashed+name]; hidden && !ok {
			ok, have = true, sum
			plain := md5.Sum([]byte(want)) //nolint:gosec // see hashed
			want = hex.EncodeToString(plain[:])
		}
		switch {
		case ok:
		case name == "label":
			have = i.Label
		case name == "collection":
			have = plainName(i.Collection)
		}
		if !like(want, have) {
			return false
		}
	}
	return true
}

// like reports whether a text is as wanted, where * stands for any text. What is
// not there is like nothing.
func like(want, have string) bool {
	pieces := strings.Split(want, "*")
	last := len(pieces) - 1
	if last == 0 || have == "" {
		return want == have
	}
	rest, ok := strings.CutPrefix(have, pieces[0])
	for _, piece := range pieces[1:last] {
		if ok {
			_, rest, ok = strings.Cut(rest, piece)
		}
	}
	return ok && strings.HasSuffix(rest, pieces[last])
}

// plainName undoes what a keyring does to a collection's name to make an
// object's path of it: _2d is a hyphen.
func plainName(collection string) string {
	var out strings.Builder
	for i := 0; i < len(collection); i++ {
		if collection[i] != '_' {
			out.WriteByte(collection[i])
			continue
		}
		if i+3 > len(collection) {
			return collection
		}
		b, err := hex.DecodeString(collection[i+1 : i+3])
		if err != nil {
			return collection
		}
		out.Write(b)
		i += 2
	}
	return out.String()
}
