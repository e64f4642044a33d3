package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
)

// maxGroup bounds how many updates share one commit.
const maxGroup = 256

// update is one caller's transaction, waiting for its turn.
type update struct {
	ctx  context.Context
	fn   func(*Tx) error
	done chan error
}

// Update runs fn in a read-write transaction and returns once it is durable.
// Updates run one after another; those that wait together share one commit
// (each behind a savepoint of its own, so that one's error undoes only
// itself). A commit costs a disk flush, fn costs microseconds: this is what
// lets one disk carry a fleet. fn must not call Update and must touch nothing
// outside the transaction, for its work can be undone after it returned.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case s.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return errors.New("database is closing")
	}
	// From here on the answer is waited for even if ctx ends: the caller must
	// learn whether its update took hold.
	select {
	case err := <-u.done:
		return err
	case <-s.done:
		select {
		case err := <-u.done:
			return err
		default:
			return errors.New("database is closing")
		}
	}
}

// Run carries out updates until ctx ends, then those still waiting. It must run
// for Update to return.
func (s *Store) Run(ctx context.Context) error {
	defer close(s.done)
	group := make([]*update, 0, maxGroup)
	for {
		select {
		case u := <-s.queue:
			group = s.gather(append(group[:0], u))
			s.commit(group)
		case <-ctx.Done():
			for {
				select {
				case u := <-s.queue:
					s.commit(s.gather(append(group[:0], u)))
				default:
					return nil
				}
			}
		}
	}
}

// gather adds what waits already, without waiting for more.
func (s *Store) gather(group []*update) []*update {
	for len(group) < maxGroup {
		select {
		case u := <-s.queue:
			group = append(group, u)
		default:
			return group
		}
	}
	return group
}

func (s *Store) commit(group []*update) {
	errs := make([]error, len(group))
	err := s.attempt(group, errs)
	for i, u := range group {
		if err != nil {
			u.done <- wrap(err)
			continue
		}
		u.done <- errs[i]
	}
}

func (s *Store) attempt(group []*update, errs []error) error {
	// Not a caller's context: one caller giving up must not undo the others.
	s.writing.prepare(context.Background())
	tx, err := s.write.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	end := &logEnd{}
	shared := prepared{tx: tx, stmts: s.writing, own: map[string]*sql.Stmt{}}
	for i, u := range group {
		if errs[i] = u.ctx.Err(); errs[i] != nil {
			continue
		}
		if errs[i], err = one(shared, end, u.fn, len(group) > 1); err != nil {
			return err
		}
		if len(group) == 1 && errs[0] != nil {
			return nil // roll back
		}
	}
	if err := (&Tx{tx: shared, end: end}).keepEnd(context.Background()); err != nil {
		return err
	}
	return tx.Commit()
}

// one runs fn, behind a savepoint if others share the transaction. The second
// error is of the transaction itself.
func one(tx prepared, end *logEnd, fn func(*Tx) error, shared bool) (fnErr, err error) {
	if !shared {
		return call(tx, end, fn), nil
	}
	ctx, before := context.Background(), *end
	if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return nil, err
	}
	if fnErr = call(tx, end, fn); fnErr != nil {
		*end = before
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); err != nil {
			return fnErr, err
		}
	}
	_, err = tx.ExecContext(ctx, "RELEASE SAVEPOINT one")
	return fnErr, err
}

// call turns a panic of fn into its error: one caller's bug must not end the
// writer for all.
func call(tx prepared, end *logEnd, fn func(*Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(&Tx{tx: tx, end: end})
}
