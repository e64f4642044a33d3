package command

import (
	"context"
	"errors"
	"io"
	"os"
)

// Child describes a re-run of this agent with one user's rights.
type Child struct {
	// Self is the executable; empty: the running one, whatever its path leads to now.
	Self string
	Args []string
	// UID, GID and Groups are what the child runs as. They are left alone when
	// this process has no right to change them and UID is its own.
	UID, GID uint32
	Groups   []uint32
	// Files become the child's descriptors 3, 4 …
	Files []*os.File
}

// Talk is the parent's side of a running child.
type Talk func(in io.WriteCloser, out io.Reader) error

// ErrStuck: the child was killed and does not end. It waits for a file system
// that does not answer, and nothing but that answer ends it.
var ErrStuck = errors.New("child does not end")

// Run starts the child, hands its pipes to talk, and waits for both. The child
// gets no environment, cannot gain rights, and is killed with its parent, when
// ctx ends, or when talk returns an error. The error says how it ended; talk's
// own comes first. ErrStuck is returned a moment after ctx has ended; talk may
// still be running then, with its pipes closed.
func (c Child) Run(ctx context.Context, talk Talk) error { return c.run(ctx, talk) }

// Harden is called first in a child: no core, no dump, no tracing by its user.
func Harden() error { return harden() }
