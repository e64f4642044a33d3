// Package daemon puts the running agent together: state directory, key,
// journal, uplink and flow, each made once and stopped in order. It must not
// decide anything.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/config"
	"cutoff/agent/flow"
	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/mirror"
	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/report"
	"cutoff/agent/scope"
	"cutoff/agent/uplink"
	"cutoff/platform/clock"
	"cutoff/platform/keystore"
	"cutoff/platform/session"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Options are what the command line says.
type Options struct {
	State   config.Dir
	Version string
	// Settings is the file by which an agent that is not enrolled yet enrols
	// itself, or empty.
	Settings string
	// Service is what the service manager calls the agent.
	Service string
	// Ready takes the one line that says that the agent is up.
	Ready io.Writer
	Log   *slog.Logger
}

// The agent idles for months: memory is given back early.
const (
	gcPercent   = 40
	memoryLimit = 256 << 20
)

// agent is one running agent.
type agent struct {
	options Options
	config  config.Config
	journal *journal.Journal
	flow    *flow.Flow
	purger  *purge.Purger
	uplink  *uplink.Uplink
	teller  *teller
	witness *witness
}

// Run is the agent until ctx ends. An error before the ready line is about the
// state directory, and nothing was changed.
func Run(ctx context.Context, o Options) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	if err := enrolled(ctx, o); err != nil {
		if errors.Is(err, context.Canceled) {
			return nil // it was stopped before there was a server
		}
		return err
	}
	a, err := open(o)
	if err != nil {
		return damaged(ctx, o, err)
	}
	defer func() { _ = a.journal.Close() }()
	if err := o.State.Stay(); err != nil {
		return err
	}
	if err := a.ready(); err != nil {
		return err
	}
	return a.serve(ctx)
}

// serve works until told ends, and is still at work while it takes its leave.
func (a *agent) serve(told context.Context) error {
	copies, _ := a.options.State.Marks()
	mark, _ := lease.Newest(copies)
	a.witness.begin(told, mark.Last.Witness.Counter != 0)
	work, ctx := errgroup.WithContext(context.WithoutCancel(told))
	work.Go(func() error { return a.leave(told, ctx) })
	work.Go(func() error { return a.settle(ctx) })
	work.Go(func() error { return watched(ctx, a.options, a.flow.Alive) })
	work.Go(func() error { return a.flow.Run(ctx) })
	work.Go(func() error { return a.witness.Run(ctx) })
	work.Go(func() error { return a.uplink.Run(ctx) })
	work.Go(func() error { return a.control(ctx) })
	work.Go(func() error { return a.purger.Watch(ctx, a.flow.Touched) })
	work.Go(func() error { return clock.Woken(ctx, a.flow.Woken) })
	work.Go(func() error { return a.teller.Run(ctx) })
	work.Go(func() error { return a.purger.WatchLocks(ctx, a.flow.LoggedIn) })
	if a.config.Root == "" { // a trial's users do not log in
		work.Go(func() error { return session.Logins(ctx, a.flow.LoggedIn) })
	}
	if err := work.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func open(o Options) (*agent, error) {
	enrolled, err := o.State.Read()
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(o.State.Key())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrDamaged, err)
	}
	j, err := journal.Open(o.State.Journal())
	switch {
	case errors.Is(err, journal.ErrInUse), errors.Is(err, journal.ErrNewer), errors.Is(err, journal.ErrUnwritable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", o.State.Journal(), config.ErrDamaged, err)
	}
	a := &agent{options: o, config: enrolled, journal: j, teller: newTeller(enrolled.Root, o.Log), witness: &witness{root: enrolled.Root, log: o.Log}}
	a.uplink, err = uplink.New(uplink.Config{
		State: o.State, Server: enrolled.Server, Device: enrolled.DeviceID, Domain: enrolled.TrustDomain,
		RootKey: enrolled.RootKey, Key: key, Version: o.Version, Now: time.Now, Log: o.Log, Handler: a.handler(),
	})
	if err == nil {
		a.flow, err = a.brain(flow.Config{Key: key, Unseal: a.uplink.Unseal})
	}
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return a, nil
}

// brain completes the flow's configuration.
func (a *agent) brain(c flow.Config) (*flow.Flow, error) {
	o, root := a.options, a.config.Root
	bootID, err := clock.BootID()
	if err != nil {
		o.Log.Warn("this boot has no id; every start counts as one", "err", err)
		bootID = "process-" + time.Now().UTC().Format(time.RFC3339Nano)
	}
	c.Keys = func() (orders, leases signed.Keys) {
		roster := a.uplink.Roster()
		return roster.OrderKeys, roster.LeaseKeys
	}
	c.Scope = scope.Open(scope.Config{
		State: o.State, DeviceID: a.config.DeviceID, TrustDomain: a.config.TrustDomain, Log: o.Log,
		Keys: func() signed.Keys { return a.uplink.Roster().OrderKeys },
	})
	scan := purge.Config{Scope: c.Scope.Scope, Root: root, State: string(o.State), Boot: clock.Boot, Names: &purge.Names{}, Log: o.Log}
	purger, err := purge.New(scan)
	if err != nil {
		return nil, err
	}
	a.purger = purger
	c.DeviceID, c.Version, c.Server, c.Root = a.config.DeviceID, o.Version, a.config.Server, root
	c.EnrolledAt = a.config.EnrolledAt
	c.State, c.Journal, c.Purger, c.Log = o.State, a.journal, purger, o.Log
	c.Plan = func(ctx context.Context, as catalogue.Scope) ([]*cutoffv1.Item, error) {
		look := scan
		look.Scope = func() catalogue.Scope { return as }
		return purge.Plan(ctx, look)
	}
	c.Tell = a.teller.tell
	reporter := report.New(root, o.Version)
	c.Posture = func(ctx context.Context) []*cutoffv1.Fact { return reporter.Facts(ctx, clock.Boot()) }
	c.Learn = a.uplink.Learn
	c.Fetch = mirror.New(a.config.TrustDomain, a.config.DeviceID).Fetch
	c.Clock = func() lease.Reading {
		return lease.Reading{Boot: clock.Boot(), BootID: bootID, Wall: time.Now().Round(0), Witness: a.witness.now()}
	}
	c.Raise = a.witness.raise
	return flow.New(c)
}

// handler joins the uplink to the flow, which is made after it.
func (a *agent) handler() uplink.Handler {
	return uplink.Handler{
		Greet: func() (uplink.Greeting, error) {
			g, err := a.flow.Greet()
			return uplink.Greeting(g), err
		},
		Opened:        func(s *uplink.Stream, w *cutoffv1.Welcome) { a.flow.Opened(s, w) },
		Received:      func(m *cutoffv1.ConnectResponse) { a.flow.Received(m) },
		Closed:        func() { a.flow.Closed() },
		Receipts:      func() ([][]byte, error) { return a.flow.Receipts() },
		RosterRefused: func(reason string, version uint64) { a.flow.RosterRefused(reason, version) },
	}
}

// ready says that the agent is up, connected or not.
func (a *agent) ready() error {
	line, err := json.Marshal(struct {
		DeviceID  string `json:"device_id"`
		Connected bool   `json:"connected"`
	}{a.config.DeviceID, false})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.options.Ready, "%s\n", line); err != nil {
		return fmt.Errorf("write ready line: %w", err)
	}
	return nil
}
