package store

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds the statements kept prepared on one handle: more than
// the server has, so that only queries built at run time can reach it.
const maxStatements = 512

// statements keeps a handle's queries prepared: parsing one costs SQLite more
// than running it. A query is prepared between transactions, after its first
// use, since a handle of one connection cannot prepare while that is busy.
type statements struct {
	db *sql.DB

	mu   sync.Mutex
	made map[string]*sql.Stmt
	seen map[string]bool
	due  []string
}

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, made: map[string]*sql.Stmt{}, seen: map[string]bool{}}
}

// get returns the prepared query, or nil and remembers to prepare it.
func (s *statements) get(query string) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.made[query]; ok {
		return stmt
	}
	if !s.seen[query] && len(s.seen) < maxStatements {
		s.seen[query] = true
		s.due = append(s.due, query)
	}
	return nil
}

// prepare prepares what was used since; no transaction of this goroutine may be
// open. A query that cannot be prepared stays unprepared: its use says why.
func (s *statements) prepare(ctx context.Context) {
	s.mu.Lock()
	due := s.due
	s.due = nil
	s.mu.Unlock()
	for _, query := range due {
		stmt, err := s.db.PrepareContext(ctx, query) //nolint:sqlclosecheck // close closes it
		if err != nil {
			continue
		}
		s.mu.Lock()
		s.made[query] = stmt
		s.mu.Unlock()
	}
}

// close closes what was prepared.
func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.made {
		_ = stmt.Close()
	}
}

// prepared is a transaction that uses prepared statements where there are some.
type prepared struct {
	tx    *sql.Tx
	stmts *statements
	// own are the statements of the transaction that updates share, which one
	// goroutine uses; nil for a view.
	own map[string]*sql.Stmt
}

// stmt is the prepared query in this transaction, or nil. It ends with the
// transaction.
func (p prepared) stmt(ctx context.Context, query string) *sql.Stmt {
	if stmt := p.own[query]; stmt != nil {
		return stmt
	}
	made := p.stmts.get(query)
	if p.own == nil {
		if made == nil {
			return nil
		}
		return p.tx.StmtContext(ctx, made)
	}
	var stmt *sql.Stmt
	if made != nil {
		stmt = p.tx.StmtContext(ctx, made)
	} else {
		// Not known yet, and a large case may use it thousands of times before
		// this transaction ends. One that cannot be prepared says why when used.
		var err error
		if stmt, err = p.tx.PrepareContext(ctx, query); err != nil {
			return nil
		}
	}
	p.own[query] = stmt
	return stmt
}

// within is the context a statement runs under. One that is interrupted while
// it writes makes SQLite roll back the whole transaction, which is not only its
// caller's (https://sqlite.org/c3ref/interrupt.html); and the driver watches
// every context that can end with a goroutine, which costs more than a short
// statement does.
func (p prepared) within(ctx context.Context) context.Context {
	if p.own != nil {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// ExecContext is sql.Tx's.
func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx = p.within(ctx)
	if stmt := p.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		return stmt.ExecContext(ctx, args...)
	}
	return p.tx.ExecContext(ctx, query, args...)
}

// QueryContext is sql.Tx's.
func (p prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx = p.within(ctx)
	if stmt := p.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		return stmt.QueryContext(ctx, args...)
	}
	return p.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext is sql.Tx's. A row is read at once or not at all: whether ctx
// has ended is looked at before, as watching it costs more than the row.
func (p prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if p.own != nil || ctx.Err() == nil {
		ctx = context.WithoutCancel(ctx)
	}
	if stmt := p.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		return stmt.QueryRowContext(ctx, args...)
	}
	return p.tx.QueryRowContext(ctx, query, args...)
}
