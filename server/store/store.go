// Package store keeps everything the server must not lose, in SQL written by
// hand that SQLite and PostgreSQL both take: one file an aggregate, one
// function a statement, times as BIGINT microseconds UTC (NULL for none). It
// must not decide anything: it reads and writes rows.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // and the embedded database's driver

	"cutoff/server/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer says that the database was written by a newer cutoff-server.
var ErrNewer = errors.New("database is newer than this cutoff-server")

// Store is one database. Its zero value is of no use; Open makes one.
type Store struct {
	write *sql.DB
	read  *sql.DB
	queue chan *update
	done  chan struct{}
	// writing and reading keep the handles' statements prepared.
	writing *statements
	reading *statements
}

// readers bounds concurrent readers of the embedded database.
const readers = 8

// Open opens, and if needed creates and migrates, the SQLite database at path.
// The caller runs Run and, at the end, Close.
//
// Errors wrap ErrNewer, or say what is wrong with the file.
func Open(ctx context.Context, path string) (*Store, error) {
	// What SQLite itself does on Linux: as durable, without a flush of the file's
	// times. Where it cannot be had, commits go on as before.
	_, _ = sqlite.Fdatasync(true)
	pragmas := "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-65536)&_pragma=temp_store(memory)"
	write, err := sql.Open("sqlite", "file:"+path+pragmas+"&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", "file:"+path+pragmas+"&_pragma=query_only(1)")
	if err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	s := &Store{
		write: write, read: read, queue: make(chan *update, 4096), done: make(chan struct{}),
		writing: newStatements(write), reading: newStatements(read),
	}
	if err := s.migrate(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read its version: %w", err)
	}
	newest := provider.ListSources()[len(provider.ListSources())-1].Version
	if has > newest {
		return fmt.Errorf("%w (it has version %d, this server knows %d); install the newer release", ErrNewer, has, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Write returns the writing handle, for a library that keeps tables of its own
// in the same database (the job queue).
func (s *Store) Write() *sql.DB { return s.write }

// Close closes the database; Run must have returned.
func (s *Store) Close() error {
	s.reading.close()
	s.writing.close()
	return errors.Join(s.read.Close(), s.write.Close())
}

// Tx is one transaction. All rows of the server are read and written by its
// methods, which live in one file an aggregate.
type Tx struct {
	tx prepared
	// end is where the evidence log stands, shared by the updates of one commit;
	// nil in a view.
	end *logEnd
}

// View runs fn in a read-only transaction: one consistent picture.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	s.reading.prepare(ctx)
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return wrap(err)
	}
	defer func() { _ = tx.Rollback() }()
	return fn(&Tx{tx: prepared{tx: tx, stmts: s.reading}})
}

// wrap gives a database error that an operator can mend its kind.
func wrap(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case fault.Of(err) != fault.Internal:
		return err
	case full(err):
		return fault.Wrap(err, fault.Unavailable, "the server's disk is full; nothing of this was kept")
	default:
		return fmt.Errorf("database: %w", err)
	}
}

// full reports whether SQLite had no room (SQLITE_FULL, https://sqlite.org/rescode.html#full).
func full(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == 13
}

// micros is a time as the database keeps it: NULL for the zero time.
func micros(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: true}
}

// timeOf is the reverse of micros.
func timeOf(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}

// changed turns the result of a conditional UPDATE into an answer: no row is a
// Conflict (somebody was first, or it was not allowed), more than one a bug.
func changed(res sql.Result, err error, what string) error {
	if err != nil {
		return wrap(err)
	}
	n, err := res.RowsAffected()
	switch {
	case err != nil:
		return wrap(err)
	case n == 0:
		return fault.New(fault.Conflict, "%s changed meanwhile, or is not there", what)
	case n > 1:
		return fmt.Errorf("update of one %s changed %d rows", what, n)
	}
	return nil
}
