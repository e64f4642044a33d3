package flow

import (
	"context"
	"slices"
	"time"
)

// effects are what a transaction wants done once it is durable. All are
// hints that may be lost; what is to be shredded is found again by its step and
// its tombstone.
type effects struct {
	wake  []string
	push  []pushed
	cuts  []string
	shred []string
	steps bool
	// back: a cut that silence made heard from its device; it may end by itself.
	back bool
	// signing is how long the transaction has spent on signing orders.
	signing time.Duration
	// durable, if set, is told when the commit returned.
	durable func(time.Time)
}

// pushed is an order signed in the transaction, for the device's stream.
type pushed struct {
	deviceID         string
	challenge, order []byte
}

func (e *effects) device(id string) {
	if id != "" && !slices.Contains(e.wake, id) {
		e.wake = append(e.wake, id)
	}
}

func (e *effects) pushes(deviceID string) bool {
	return slices.ContainsFunc(e.push, func(p pushed) bool { return p.deviceID == deviceID })
}

func (e *effects) cut(id string) {
	if !slices.Contains(e.cuts, id) {
		e.cuts = append(e.cuts, id)
	}
}

// act runs fn in one transaction and its effects after the commit.
func (f *Flow) act(ctx context.Context, fn func(tx Tx, e *effects) error) error {
	var e effects
	err := f.store.Update(ctx, func(tx Tx) error {
		e = effects{}
		return fn(tx, &e)
	})
	if err != nil {
		return err
	}
	if e.durable != nil {
		e.durable(f.now())
	}
	f.follow(ctx, e)
	return nil
}

func (f *Flow) follow(ctx context.Context, e effects) {
	for _, p := range e.push {
		f.pusher.Push(p.deviceID, p.challenge, p.order)
	}
	for _, id := range e.wake {
		f.hub.Wake(id)
	}
	if e.steps && f.queue != nil {
		f.queue.Steps()
	}
	f.watchers.notify(e.cuts...)
	for _, id := range e.shred {
		if err := f.vault.Shred(id); err != nil { // its step tries again
			f.log.ErrorContext(ctx, "shred escrow key", "escrow_id", id, "err", err)
		}
	}
}
