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
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"cutoff/agent/journal"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/users"
	"cutoff/platform/watch"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

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
	// Budget is how long a child may work in one home; zero: a minute.
	Budget time.Duration
	// Scope is what the device's group chose; nil: the narrowest.
	Scope func() catalogue.Scope
	// Names remembers what providers call tokens; nil: a plan asks nobody. Asked
	// is only where the group opted in (see catalogue.Scope).
	Names *Names
	Log   *slog.Logger
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
	// Later: what may cut the network waits for the first sweep.
	Later bool
}

// Unseal opens age headers of sealed items: the server's side of a lift.
type Unseal = func(ctx context.Context, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error)

// Errors.
var (
	// ErrConfig: the configuration lacks something.
	ErrConfig = errors.New("purge is not configured")
	// ErrWarrant: the warrant does not allow the act.
	ErrWarrant = errors.New("no warrant for this")
)

// Purger carries out warrants. One Run or Restore at a time.
type Purger struct {
	config    Config
	catalogue []catalogue.Credential
	vigil     atomic.Pointer[watch.Watcher]
	// locked carries whose keyrings the last run found locked.
	locked chan []string
}

// New checks the configuration, the catalogue, and that every user of a trial
// root can get to it.
func New(config Config) (*Purger, error) {
	if config.State == "" {
		return nil, fmt.Errorf("%w: State is needed", ErrConfig)
	}
	p, err := prepare(config)
	if err != nil {
		return nil, err
	}
	if _, err := p.users(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	return p, nil
}

func prepare(config Config) (*Purger, error) {
	if config.Boot == nil {
		return nil, fmt.Errorf("%w: Boot is needed", ErrConfig)
	}
	if config.Budget == 0 {
		config.Budget = time.Minute
	}
	if config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if config.Scope == nil {
		config.Scope = func() catalogue.Scope { return catalogue.Scope{} }
	}
	if config.Root != "" {
		abs, err := filepath.Abs(config.Root)
		if err != nil {
			return nil, fmt.Errorf("trial root: %w", err)
		}
		config.Root = abs
	}
	all, err := catalogue.Load(runtime.GOOS)
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	return &Purger{config: config, catalogue: all, locked: make(chan []string, 1)}, nil
}

// encodedCatalogue is the embedded catalogue as children get it, written once.
var encodedCatalogue = sync.OnceValues(func() ([]byte, error) {
	all, err := catalogue.Load(runtime.GOOS)
	if err != nil {
		return nil, err
	}
	return wire.Encode(all)
})

// users lists whose homes this agent may work in.
func (p *Purger) users() ([]users.User, error) {
	all, err := listUsers(p.config.Root)
	if err != nil {
		return nil, err
	}
	return all, users.Reach(p.config.Root, all)
}

// Plan lists what a cut would take, and touches nothing.
func Plan(ctx context.Context, config Config) ([]*cutoffv1.Item, error) {
	if config.Boot == nil {
		config.Boot = func() time.Duration { return 0 }
	}
	p, err := prepare(config)
	if err != nil {
		return nil, err
	}
	e, err := p.errand(wire.Plan, nil)
	if err != nil {
		return nil, err
	}
	defer e.close()
	if err := e.visitAll(ctx); err != nil {
		return nil, err
	}
	e.stop()
	return e.sorted(), nil
}

// Run seals or purges, as the warrant says. Run again after a crash, or as a
// sweep, it treats what is there and reports what was done before.
func (p *Purger) Run(ctx context.Context, w *journal.Warrant) (Result, error) {
	var mode string
	switch {
	case !w.Valid():
		return Result{}, ErrWarrant
	case w.Kind() == cutoffv1.OrderKind_ORDER_KIND_SEAL:
		mode = wire.Seal
	case w.Kind() == cutoffv1.OrderKind_ORDER_KIND_PURGE:
		mode = wire.Purge
	default:
		return Result{}, fmt.Errorf("%w: kind %s", ErrWarrant, w.Kind())
	}
	e, err := p.errand(mode, w)
	if err != nil {
		return Result{}, err
	}
	defer e.close()
	err = e.visitAll(ctx)
	if err == nil && mode == wire.Purge {
		err = e.destroySealed()
	}
	e.stop()
	r := e.result()
	p.tellLocked(r.Locked())
	e.keepVigil()
	return r, errors.Join(err, e.noted())
}

// VersionWith names the catalogue this agent was built with and, behind a plus,
// what its server added to it.
func VersionWith(scope catalogue.Scope) string {
	if scope.Version == "" {
		return catalogue.Version()
	}
	return catalogue.Version() + "+" + scope.Version
}
