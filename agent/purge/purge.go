// Package purge finds the credentials of every user of a device and takes them
// away: sealed to the server's key or removed for good, only under a Warrant,
// item by item, and it proves each. Work in a home is done by a child process
// with that home's uid; this side verifies absence itself. It must not decide
// whether to act, talk to a server, or let a secret leave the device.
package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cutoff/agent/journal"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// ChildArg is the first argument of a re-run of the agent that works in one
// user's home; main hands such a run to ChildMain before anything else.
const ChildArg = "purge-child"

// Config says where to work. The zero value is invalid: State and Boot are needed.
type Config struct {
	// Root is the trial root, or empty for the machine itself.
	Root string
	// State is the agent's state directory; sealed items lie in State/sealed.
	State string
	// Self is the executable that is re-run as the child; empty: the running one.
	Self string
	// Boot reads the boot clock.
	Boot func() time.Duration
	Log  *slog.Logger
}

// Result is what a run did, complete: items noted earlier for the same cut and
// not found anew are in it too.
type Result struct {
	Items []*cutoffv1.Item
	// FirstRemovedBoot and FinishedBoot are boot-clock readings; zero
	// FirstRemovedBoot: nothing was removed.
	FirstRemovedBoot time.Duration
	FinishedBoot     time.Duration
	// Complete is false while something due is still being retried.
	Complete         bool
	CatalogueVersion string
}

// Unseal opens age headers of sealed items: the server's side of a lift.
type Unseal = func(ctx context.Context, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error)

// Purger carries out warrants. Safe for one Run or Restore at a time.
type Purger struct {
	config Config
}

// New checks the configuration.
func New(config Config) (*Purger, error) {
	if config.State == "" || config.Boot == nil {
		return nil, fmt.Errorf("purge: %w: State and Boot are needed", errors.ErrUnsupported)
	}
	return &Purger{config: config}, nil
}

// Plan lists what a cut would take, and touches nothing.
func Plan(ctx context.Context, config Config) ([]*cutoffv1.Item, error) {
	return nil, errors.ErrUnsupported
}

// Run seals or purges, as the warrant says.
func (p *Purger) Run(ctx context.Context, w *journal.Warrant) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

// Restore puts back what was sealed under the warrant's cut.
func (p *Purger) Restore(ctx context.Context, w *journal.Warrant, unseal Unseal) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

// ChildMain is the child: see ChildArg. It returns the exit status.
func ChildMain(args []string) int { return 2 }

// CatalogueVersion names the catalogue this agent was built with.
func CatalogueVersion() string { return "" }
