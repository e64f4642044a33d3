package flow

import (
	"context"
	"fmt"
	"time"

	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// ListTx is the part of a transaction that keeps revocation lists which the
// server publishes itself.
type ListTx interface {
	InsertListEntry(ctx context.Context, connector string, e revoke.ListEntry) error
	DeleteListEntries(ctx context.Context, connector, stepID string) error
	// ListEntries are all that a list names at now.
	ListEntries(ctx context.Context, connector string, now time.Time) ([]revoke.ListEntry, error)
	// List is a list as it is published; NotFound before the first.
	List(ctx context.Context, connector string) (revoke.List, error)
	// PutList publishes a list; a Conflict unless its version is a later one.
	PutList(ctx context.Context, connector string, l revoke.List) error
	NoteListHost(ctx context.Context, connector string, h revoke.ListHost) error
	ListHosts(ctx context.Context, connector string) ([]revoke.ListHost, error)
}

// Lists keeps revocation lists for the connectors that publish them.
type Lists struct{ Flow *Flow }

// Change changes what a connector's list names and publishes it, all at once.
// Versions only rise, also over a restored backup: they are never below the
// seconds since 1970.
func (l Lists) Change(ctx context.Context, connector string, c revoke.ListChange) (made revoke.List, err error) {
	f := l.Flow
	err = f.store.Update(ctx, func(tx Tx) error {
		for _, e := range c.Add {
			if err := tx.InsertListEntry(ctx, connector, e); err != nil {
				return err
			}
		}
		if c.Remove != "" {
			if err := tx.DeleteListEntries(ctx, connector, c.Remove); err != nil {
				return err
			}
		}
		all, err := tx.ListEntries(ctx, connector, f.now())
		if err != nil {
			return err
		}
		last, err := tx.List(ctx, connector)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		version := max(last.Version+1, uint64(max(0, f.now().Unix())))
		if made, err = c.Render(version, all); err != nil {
			return err
		}
		return tx.PutList(ctx, connector, made)
	})
	if err != nil {
		return revoke.List{}, fmt.Errorf("publish the list of %s: %w", connector, err)
	}
	return made, nil
}

// Published is a connector's list; NotFound before the first.
func (l Lists) Published(ctx context.Context, connector string) (list revoke.List, err error) {
	err = l.Flow.store.View(ctx, func(tx Tx) error { list, err = tx.List(ctx, connector); return err })
	return list, err
}

// Fetched keeps which version a host says it has.
func (l Lists) Fetched(ctx context.Context, connector string, h revoke.ListHost) error {
	return l.Flow.store.Update(ctx, func(tx Tx) error { return tx.NoteListHost(ctx, connector, h) })
}

// Hosts are those that said which version they have.
func (l Lists) Hosts(ctx context.Context, connector string) (all []revoke.ListHost, err error) {
	err = l.Flow.store.View(ctx, func(tx Tx) error { all, err = tx.ListHosts(ctx, connector); return err })
	return all, err
}
