package flow

import (
	"context"
	"errors"
	"slices"
)

// effects are what a transaction wants done once it is durable. All but the
// shredding are hints that may be lost; what is to be shredded is found again
// by its tombstone.
type effects struct {
	wake  []string
	cuts  []string
	shred []string
	steps bool
}

func (e *effects) device(id string) {
	if id != "" && !slices.Contains(e.wake, id) {
		e.wake = append(e.wake, id)
	}
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
	return f.follow(e)
}

func (f *Flow) follow(e effects) error {
	for _, id := range e.wake {
		f.hub.Wake(id)
	}
	if e.steps && f.queue != nil {
		f.queue.Steps()
	}
	f.watchers.notify(e.cuts...)
	var failed []error
	for _, id := range e.shred {
		failed = append(failed, f.vault.Shred(id))
	}
	return errors.Join(failed...)
}
