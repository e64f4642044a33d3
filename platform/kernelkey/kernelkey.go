// Package kernelkey works on the keys that the kernel keeps for the calling
// user: it lists them and takes them away. It reads no key's payload, and makes
// no keyring that is not there.
package kernelkey

import (
	"errors"
	"strconv"
	"strings"
)

// ErrLeft: the key is still there.
var ErrLeft = errors.New("key is still there")

// Key is one key, without what it holds.
type Key struct {
	ID int32
	// Ring is the keyring it hangs in: "user", "user-session", "persistent"; below
	// one of its own keyrings "user/_krb"; empty: a process' own.
	Ring        string
	Type        string
	Description string
	UID         uint32
	// Keys are those in a keyring.
	Keys []Key
}

// Ring names.
const (
	User        = "user"
	UserSession = "user-session"
	Persistent  = "persistent"
)

// Keys lists the keys of the calling user. Those in his own keyrings have their
// Ring; the rest hang in keyrings of processes and are seen only. taking says
// that what is found is to be taken: then the persistent keyring is entered,
// which sets its time of expiry anew.
func Keys(taking bool) ([]Key, error) { return keys(taking) }

// Take takes keys away, those in a keyring before it, wherever else they hang
// too. It must be called with what Keys returned when it was to be taken.
func Take(k Key) error { return take(k) }

// entry is a line of /proc/keys.
type entry struct {
	id          int32
	uid         uint32
	kind        string
	description string
	live        bool
}

// parse reads /proc/keys: id flags usage timeout permissions uid gid type
// description: summary.
func parse(text string) []entry {
	var out []entry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		id, err := strconv.ParseUint(f[0], 16, 32)
		uid, err2 := strconv.ParseUint(f[5], 10, 32)
		if err != nil || err2 != nil {
			continue
		}
		rest := strings.TrimSpace(line[strings.Index(line, " "+f[7]+" ")+len(f[7])+2:])
		name := rest
		if end := strings.LastIndex(rest, ": "); end >= 0 {
			name = rest[:end]
		}
		out = append(out, entry{id: int32(id), uid: uint32(uid), kind: f[7], description: name,
			live: strings.HasPrefix(f[1], "I") && !strings.ContainsAny(f[1], "RDi")})
	}
	return out
}
