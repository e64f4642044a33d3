package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	_ "modernc.org/sqlite" // the job file's driver

	"cutoff/server/flow"
)

// jobs is River on a file of its own. Beside the store's file it would take the
// store's only writing connection for every fetch and flush the disk three
// times a job; jobs need no flush, for a lost one is found again by its row.
type jobs struct {
	db     *sql.DB
	client *river.Client[*sql.Tx]
}

// open opens the job file, and starts anew from an empty one if it cannot be
// read: nothing is lost with it.
func (q *Queue) open(ctx context.Context) (*jobs, error) {
	j, err := q.openFile(ctx)
	if err == nil || ctx.Err() != nil {
		return j, err
	}
	q.config.Log.WarnContext(ctx, "job file begun anew", "file", q.config.File, "err", err)
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(q.config.File + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("job file: %w", err)
		}
	}
	return q.openFile(ctx)
}

func (q *Queue) openFile(ctx context.Context) (*jobs, error) {
	// Made here, so that it and what SQLite puts beside it are the owner's alone.
	file, err := os.OpenFile(q.config.File, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open job file %s: %w", q.config.File, err)
	}
	err = errors.Join(file.Chmod(0o600), file.Close())
	if err != nil {
		return nil, fmt.Errorf("job file %s: %w", q.config.File, err)
	}
	db, err := sql.Open("sqlite", "file:"+q.config.File+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open job file %s: %w", q.config.File, err)
	}
	// River works in parallel with itself; SQLite has one writer.
	db.SetMaxOpenConns(1)
	j := &jobs{db: db}
	if err := q.start(ctx, j); err != nil {
		j.close()
		return nil, fmt.Errorf("job file %s: %w", q.config.File, err)
	}
	return j, nil
}

// inProcess has River wake its own fetcher when a job is inserted. The driver's
// own notifications go through the file and are polled for: half of a poll
// interval for each step, and work at rest.
type inProcess struct{ *riversqlite.Driver }

// SupportsListener says no, so that an insert wakes the fetcher directly.
func (inProcess) SupportsListener() bool { return false }

// SupportsListenNotify says no, so that nothing is written for listeners.
func (inProcess) SupportsListenNotify() bool { return false }

func (q *Queue) start(ctx context.Context, j *jobs) error {
	driver := inProcess{riversqlite.New(j.db)}
	logger := slog.New(quiet{q.config.Log.Handler()})
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: logger})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{queue: q}); err != nil {
		return err
	}
	j.client, err = river.NewClient(driver, &river.Config{
		ID:                          q.node,
		Logger:                      logger,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers:                     workers,
		FetchCooldown:               time.Millisecond,
		FetchPollInterval:           time.Second, // only for what an insert did not announce
		JobTimeout:                  jobTimeout,
		RescueStuckJobsAfter:        rescueAfter,
		MaxAttempts:                 3,
		CompletedJobRetentionPeriod: 5 * time.Minute,
		CancelledJobRetentionPeriod: 5 * time.Minute,
		DiscardedJobRetentionPeriod: time.Hour,
	})
	return err
}

func (j *jobs) insert(ctx context.Context, groups []flow.StepGroup) error {
	switch len(groups) {
	case 0:
		return nil
	case 1:
		_, err := j.client.Insert(ctx, work(groups[0]), nil)
		return err
	}
	params := make([]river.InsertManyParams, len(groups))
	for i, g := range groups {
		params[i] = river.InsertManyParams{Args: work(g)}
	}
	_, err := j.client.InsertMany(ctx, params)
	return err
}

// maxReclaimed bounds how many jobs of a dead process are looked for.
const maxReclaimed = 4096

// reclaim gives back what jobs had claimed that ran when this file was last
// used: their process is gone (one process uses the file at a time), and its
// claims would otherwise hold their steps until they run out.
func (q *Queue) reclaim(ctx context.Context, j *jobs) error {
	list, err := j.client.JobList(ctx, river.NewJobListParams().States(rivertype.JobStateRunning).First(maxReclaimed))
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	for _, job := range list.Jobs {
		if len(job.AttemptedBy) == 0 {
			continue
		}
		node := job.AttemptedBy[len(job.AttemptedBy)-1]
		if err := q.config.Steps.ReleaseSteps(ctx, holder(node, job.ID)); err != nil {
			return err
		}
	}
	return nil
}

// holder names who claims: a process, and in it a job.
func holder(node string, job int64) string { return node + "/" + strconv.FormatInt(job, 10) }

func (j *jobs) close() { _ = j.db.Close() }

// quiet passes River's warnings and errors on and keeps its chatter to itself.
type quiet struct{ slog.Handler }

// Enabled reports whether a record of level is worth an operator's time.
func (h quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the filter.
func (h quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{h.Handler.WithAttrs(attrs)} }

// WithGroup keeps the filter.
func (h quiet) WithGroup(name string) slog.Handler { return quiet{h.Handler.WithGroup(name)} }
