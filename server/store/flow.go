package store

import (
	"context"

	"cutoff/server/flow"
)

var _ flow.Tx = (*Tx)(nil)

// Flow is the store as flow wants it: the same transactions behind the
// interfaces flow declares.
type Flow struct{ Store *Store }

// Update is Store.Update.
func (f Flow) Update(ctx context.Context, fn func(flow.Tx) error) error {
	return f.Store.Update(ctx, func(tx *Tx) error { return fn(tx) })
}

// View is Store.View.
func (f Flow) View(ctx context.Context, fn func(flow.Tx) error) error {
	return f.Store.View(ctx, func(tx *Tx) error { return fn(tx) })
}
