// Package flow is the agent's brain: an order or a lease that ran out becomes a
// warrant, the warrant is carried out, a signed receipt answers for it and is
// kept until the server has it. One loop owns all state; one goroutine acts,
// one looks around. None of them needs the network to seal a device whose lease
// ran out. It must not know how messages travel or how a secret is removed.
package flow

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/config"
	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/order"
	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/scope"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Purger carries out warrants; *purge.Purger does.
type Purger interface {
	Run(ctx context.Context, w *journal.Warrant) (purge.Result, error)
	Restore(ctx context.Context, w *journal.Warrant, unseal purge.Unseal) (purge.Result, error)
}

// Link is an open stream to the server. Send never waits; what is lost with the
// stream is sent again at the next one if it matters.
type Link interface {
	Send(m *cutoffv1.ConnectRequest)
}

// Config is what New needs: all of it, except Root, EnrolledAt, Raise, Tell and MaxWait.
type Config struct {
	DeviceID string
	Version  string
	// Server is its address, for status.
	Server string
	// EnrolledAt is when the device was enrolled, by its wall clock; zero: unknown.
	EnrolledAt time.Time
	// Root is the trial root, or empty.
	Root    string
	State   config.Dir
	Journal *journal.Journal
	Key     crypto.Signer
	// Keys are the order keys and lease keys of the newest roster.
	Keys   func() (orderKeys, leaseKeys signed.Keys)
	Purger Purger
	// Scope keeps what the group chose and administrators added.
	Scope *scope.Keeper
	// Plan lists what a cut that goes as far as scope says would take.
	Plan func(ctx context.Context, scope catalogue.Scope) ([]*cutoffv1.Item, error)
	// Posture are the facts of the device.
	Posture func(ctx context.Context) []*cutoffv1.Fact
	// Unseal asks the server to open sealed items' headers.
	Unseal func(ctx context.Context, cutID string, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error)
	// Fetch asks mirrors for an extension; nil: nobody does. Learn takes further
	// addresses of the server from a lease; it may be nil and must not wait.
	Fetch Fetch
	Learn func(servers []string)
	// Clock reads the clocks, and what the witness said last.
	Clock func() lease.Reading
	// Raise raises the witness's counter by one, which Clock then tells. It is
	// not called while Clock tells of no witness.
	Raise func() error
	// Tell tells the users, and does not wait until it is done.
	Tell func(Notice)
	// MaxWait is the longest wait between two looks at the clocks; 0: a minute.
	MaxWait time.Duration
	Log     *slog.Logger
}

// Flow is the agent's brain. New makes one, Run is its life.
type Flow struct {
	config     Config
	challenges *order.Challenges

	inbox chan func()
	ended chan struct{}
	// settled is closed when what the start found to do is done.
	settled chan struct{}
	tasks   chan *task
	jobs    chan job
	seeks   chan []string

	// scan guards the cancellation of what the observer is doing.
	scan       sync.Mutex
	cancelScan context.CancelFunc

	loop loopState // belongs to the loop
}

// loopState is what only the loop touches.
type loopState struct {
	link    Link
	trust   trust
	queue   []*task
	current *task
	// standing are the cuts carried out and not lifted, by cut id.
	standing map[string]*journal.Warrant
	// returning are the lifts that left something: it is tried again while no cut
	// stands.
	returning map[string]*journal.Warrant
	// retries counts failures in a row.
	retries int
	sweeps  int
	// returns counts the tries of what a lift left, in a row.
	returns int
	// touches counts sweeps for a touch in a row that found nothing; touching:
	// one is under way.
	touches  int
	touching bool
	refusals int
	// reported is how many kept refusals were sent on this link.
	reported  int
	facts     []*cutoffv1.Fact
	reportNow bool
	interval  time.Duration
	wants     bool // the server wants an inventory
	scanned   time.Duration
	due       deadlines
	status    status
}

// deadlines are readings of the boot clock; 0 is never.
type deadlines struct {
	mark, ask, challenge, report, posture, sweep, retry, inventory, seek time.Duration
	triggers
}

// mostWait is the longest wait between two looks at the clocks. A timer stands
// still while the machine sleeps, so no deadline may rest on one long timer.
const mostWait = time.Minute

// New checks the configuration.
func New(c Config) (*Flow, error) {
	complete := c.DeviceID != "" && c.State != "" && c.Journal != nil && c.Key != nil && c.Keys != nil &&
		c.Purger != nil && c.Scope != nil && c.Plan != nil && c.Posture != nil && c.Unseal != nil && c.Clock != nil && c.Log != nil
	if !complete {
		return nil, errors.New("flow: configuration is not complete")
	}
	if c.MaxWait <= 0 {
		c.MaxWait = mostWait
	}
	return &Flow{
		config: c, challenges: &order.Challenges{},
		inbox: make(chan func(), 16), ended: make(chan struct{}), settled: make(chan struct{}),
		tasks: make(chan *task, 1), jobs: make(chan job, 8), seeks: make(chan []string),
		loop: loopState{standing: map[string]*journal.Warrant{}, returning: map[string]*journal.Warrant{}, interval: defaultInterval},
	}, nil
}

// Run carries on what was unfinished and then serves until ctx ends.
func (f *Flow) Run(ctx context.Context) error {
	if err := f.load(); err != nil {
		close(f.ended)
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { defer close(f.ended); return f.serve(ctx) })
	work.Go(func() error { return f.actor(ctx) })
	work.Go(func() error { return f.observer(ctx) })
	work.Go(func() error { return f.seeker(ctx) })
	return work.Wait()
}

// do hands fn to the loop. It waits for room, but not for an ended loop.
func (f *Flow) do(fn func()) {
	select {
	case f.inbox <- fn:
	case <-f.ended:
	}
}

// serve is the loop.
func (f *Flow) serve(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case fn := <-f.inbox:
			fn()
		case <-timer.C:
		case <-ctx.Done():
			f.keepMark(f.config.Clock(), true)
			return ctx.Err()
		}
		f.look()
		f.dispatch()
		f.settle()
		timer.Reset(f.wait())
	}
}

// dispatch gives the actor its next task, if it is free.
func (f *Flow) dispatch() {
	s := &f.loop
	if s.current != nil || len(s.queue) == 0 || s.due.retry != 0 {
		return
	}
	s.current, s.queue = s.queue[0], s.queue[1:]
	f.stopScan()
	f.tasks <- s.current // there is room: nothing else is current
}
