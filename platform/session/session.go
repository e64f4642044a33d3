// Package session locks and ends a user's sessions, tells when somebody logs
// in, and asks a user's running processes for the few variables that say where
// tools keep their files. It must not read any other variable, and it never
// acts on a trial root's users.
package session

import (
	"bytes"
	"context"
)

// End ends every session and process of uid: for a user who keeps killing the
// work in his home. uid 0 is refused.
func End(ctx context.Context, uid uint32) error { return end(ctx, uid, false) }

// Close ends the login sessions of uid, every process in them at once, so that
// nothing is written on the way out; what the system runs as uid goes on. uid 0
// is refused.
func Close(ctx context.Context, uid uint32) error { return end(ctx, uid, true) }

// Locked is what became of a user's graphical sessions.
type Locked struct {
	// Asked is how many there are; Sure, how many say that they are locked.
	Asked, Sure int
}

// Lock asks each graphical session of uid to lock its screen, and waits a
// little for their word that they have. Others have nothing to lock.
func Lock(ctx context.Context, uid uint32) (Locked, error) { return lock(ctx, uid) }

// Sessions returns the uids with a login session or a runtime folder.
func Sessions(ctx context.Context) (map[uint32]bool, error) { return sessions(ctx) }

// Logins calls seen whenever somebody logs in, until ctx ends: as logind tells,
// and as a runtime folder appears.
func Logins(ctx context.Context, seen func()) error { return logins(ctx, seen) }

// maxEnviron bounds one process's environment.
const maxEnviron = 256 << 10

// Variables returns the distinct values of the named variables in the
// environments of the processes of the user this process runs as. Every other
// variable is dropped unread by the caller.
func Variables(names []string) map[string][]string { return variables(names) }

// pick takes the named variables out of one environment block.
func pick(environ []byte, wanted map[string]bool, into map[string][]string) {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		i := bytes.IndexByte(entry, '=')
		if i <= 0 || !wanted[string(entry[:i])] {
			continue
		}
		name, value := string(entry[:i]), string(entry[i+1:])
		if value != "" && !contains(into[name], value) {
			into[name] = append(into[name], value)
		}
	}
}

func contains(values []string, value string) bool {
	for _, v := range values {
		if v == value {
			return true
		}
	}
	return false
}
