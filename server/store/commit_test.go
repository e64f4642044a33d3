package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"cutoff/server/fault"
)

// opened is a store with a table of its own for these tests.
func opened(t *testing.T) (*Store, func()) {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "cutoff.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec("CREATE TABLE marks (name TEXT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	return s, func() { stop(); <-ended; _ = s.Close() }
}

func mark(s *Store, name string) error {
	return s.Update(context.Background(), func(tx *Tx) error {
		_, err := tx.tx.ExecContext(context.Background(), "INSERT INTO marks (name) VALUES ($1)", name)
		return wrap(err)
	})
}

func marks(t *testing.T, s *Store) int {
	t.Helper()
	var n int
	err := s.View(t.Context(), func(tx *Tx) error {
		return tx.tx.QueryRowContext(t.Context(), "SELECT count(*) FROM marks").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUpdatesThatShareACommitFailAlone(t *testing.T) {
	s, closeAll := opened(t)
	defer closeAll()
	const n = 300
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Update(context.Background(), func(tx *Tx) error {
				if _, err := tx.tx.ExecContext(context.Background(), "INSERT INTO marks (name) VALUES ($1)", fmt.Sprint(i)); err != nil {
					return err
				}
				switch i % 3 {
				case 0:
					return errors.New("refused")
				case 1:
					if i%2 == 0 {
						panic("bug")
					}
				}
				return nil
			})
		})
	}
	wg.Wait()
	good := 0
	for i, err := range errs {
		wantError := i%3 == 0 || (i%3 == 1 && i%2 == 0)
		if (err != nil) != wantError {
			t.Errorf("update %d: error %v", i, err)
		}
		if err == nil {
			good++
		}
	}
	if got := marks(t, s); got != good {
		t.Errorf("%d marks are kept, want %d", got, good)
	}
}

func TestAnUpdateWhoseCallerGaveUpBeforeItsTurnDoesNothing(t *testing.T) {
	s, closeAll := opened(t)
	defer closeAll()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.Update(ctx, func(tx *Tx) error {
		_, err := tx.tx.ExecContext(context.Background(), "INSERT INTO marks (name) VALUES ('late')")
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if got := marks(t, s); got != 0 {
		t.Errorf("%d marks are kept, want none", got)
	}
}

func TestWhatWaitsWhenTheStoreEndsIsStillWritten(t *testing.T) {
	s, closeAll := opened(t)
	path := pathOf(t, s)
	var wg sync.WaitGroup
	answered := make(chan error, 50)
	for i := range 50 {
		wg.Go(func() { answered <- mark(s, fmt.Sprint(i)) })
	}
	closeAll()
	wg.Wait()
	close(answered)
	good := 0
	for err := range answered {
		if err == nil {
			good++
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM marks").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != good {
		t.Errorf("%d updates were acknowledged and %d are kept", good, n)
	}
}

func pathOf(t *testing.T, s *Store) string {
	t.Helper()
	var seq int
	var name, path string
	if err := s.read.QueryRow("PRAGMA database_list").Scan(&seq, &name, &path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestADatabaseOfANewerServerIsRefusedAndLeftAlone(t *testing.T) {
	s, closeAll := opened(t)
	path := pathOf(t, s)
	if _, err := s.write.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"); err != nil {
		t.Fatal(err)
	}
	closeAll()
	_, err := Open(t.Context(), path)
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "install the newer release") {
		t.Errorf("got %v, want ErrNewer with what to do", err)
	}
}

func TestAFullDiskIsSaidAndWhatWasKeptStays(t *testing.T) {
	s, closeAll := opened(t)
	defer closeAll()
	if err := mark(s, "before"); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := s.write.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages+1)); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		err = mark(s, strings.Repeat(fmt.Sprint(i), 5000))
	}
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Sentence(err), "disk is full") {
		t.Errorf("got %v, want that the disk is full", err)
	}
	if _, err := s.write.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := mark(s, "after"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if got := marks(t, s); got < 2 {
		t.Errorf("%d marks are kept, want those before and after", got)
	}
}

func BenchmarkUpdateAlone(b *testing.B) { benchmark(b, 1) }

func BenchmarkUpdateTogether(b *testing.B) { benchmark(b, 256) }

// benchmark measures durable inserts by n callers at once.
func benchmark(b *testing.B, callers int) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "cutoff.db"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.write.Exec("CREATE TABLE marks (name TEXT PRIMARY KEY)"); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	defer func() { stop(); <-ended; _ = s.Close() }()
	work := make(chan int)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range work {
				if err := mark(s, fmt.Sprint(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	n := 0
	for b.Loop() {
		work <- n
		n++
	}
	close(work)
	wg.Wait()
}

// SQLite rolls back the whole transaction when a statement that writes is
// interrupted, which is what a context that ends does.
func TestACallerThatGivesUpInterruptsNobody(t *testing.T) {
	s, closeAll := opened(t)
	defer closeAll()
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Update(context.Background(), func(*Tx) error { close(held); <-release; return nil })
	})
	<-held
	const n = 8
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			ctx, giveUp := context.WithCancel(context.Background())
			defer giveUp()
			errs[i] = s.Update(ctx, func(tx *Tx) error {
				if i%2 == 0 {
					giveUp()
				}
				_, err := tx.tx.ExecContext(ctx, "INSERT INTO marks (name) VALUES ($1)", fmt.Sprint(i))
				return err
			})
		})
	}
	for len(s.queue) < n {
		runtime.Gosched()
	}
	close(release) // they share a commit
	wg.Wait()
	if err := errors.Join(errs...); err != nil || marks(t, s) != n {
		t.Errorf("%d rows, %v", marks(t, s), err)
	}
}
