// Package queue carries steps out: it looks for due steps, claims those of one
// cut at one connector, has the connector act and confirm, and hands each
// answer back. River runs the jobs; a job is only a wake-up and the step row is
// the truth, so a lost job, or one that runs twice, changes nothing. It must
// not decide what a result means for a cut.
package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"cutoff/server/flow"
	"cutoff/server/revoke"
)

// Times of the queue. A job ends before its claim does, and its claim before
// anybody takes it for stuck.
const (
	jobTimeout = 30 * time.Second
	// stepTimeout bounds one step, so that one that hangs leaves time for others.
	stepTimeout = 14 * time.Second
	claimFor    = 45 * time.Second
	rescueAfter = 45 * time.Second
	reconcile   = 2 * time.Second
	// recordTimeout bounds the writing of an answer after the job's time is over.
	recordTimeout = 5 * time.Second
	// stopTimeout is how long work in flight may take to end at a graceful stop.
	stopTimeout = 5 * time.Second
)

// Bounds of how much is under way.
const (
	maxWorkers = 1024
	// maxParallel keeps a connector that hangs from taking all workers.
	maxParallel = 32
	// maxWaiting bounds the due groups that one look lists.
	maxWaiting = 1 << 16
	// restAfterLook is how long looking rests after a look, in times what it
	// took: a backlog of a whole fleet must not keep a core busy being listed.
	restAfterLook = 2
)

// Steps is where steps come from and where answers go.
type Steps interface {
	// DueSteps lists what has a due step that nobody has a live claim on.
	DueSteps(ctx context.Context, now time.Time, limit int) ([]flow.StepGroup, error)
	// ClaimSteps claims the due steps of one cut at one connector for holder.
	ClaimSteps(ctx context.Context, cutID, connector, holder string, until time.Time) ([]revoke.Step, error)
	// OnStep stores an answer, if the claim under which it was got still holds.
	OnStep(ctx context.Context, step revoke.Step, result revoke.Result) error
	// ReleaseSteps gives back what holder claimed and did not answer.
	ReleaseSteps(ctx context.Context, holder string) error
}

// Connectors do steps.
type Connectors interface {
	Revoke(ctx context.Context, s revoke.Step) revoke.Result
	Confirm(ctx context.Context, s revoke.Step) revoke.Result
	// Parallel is how many jobs of a connector may be under way at once.
	Parallel(connector string) int
}

// Hint tells a Queue to look for due steps now. It is made before both the
// flow that gives it and the Queue that takes it.
type Hint struct{ c chan struct{} }

// NewHint makes a Hint.
func NewHint() *Hint { return &Hint{c: make(chan struct{}, 1)} }

// Steps gives the hint. It never waits: one that is still to be taken will do.
func (h *Hint) Steps() {
	select {
	case h.c <- struct{}{}:
	default:
	}
}

// Config is what New needs.
type Config struct {
	// File is where the jobs are kept. It holds nothing that matters: it may be
	// deleted while the server does not run, and is not part of a backup.
	File       string
	Steps      Steps
	Connectors Connectors
	Hint       *Hint
	// Used, if set, is told how a connector did: at most every few seconds, and
	// whenever that changes.
	Used func(ctx context.Context, connector string, ok bool, detail string)
	// Now is the clock by which steps are due.
	Now func() time.Time
	Log *slog.Logger
}

// Queue carries steps out while Run runs.
type Queue struct {
	config Config
	node   string
	flight *flight
	health *health
}

// New makes a Queue. All of config but Used is required.
func New(config Config) (*Queue, error) {
	if config.File == "" || config.Steps == nil || config.Connectors == nil || config.Hint == nil || config.Now == nil || config.Log == nil {
		return nil, errors.New("step queue: File, Steps, Connectors, Hint, Now and Log are required")
	}
	return &Queue{
		config: config, node: newID(), flight: newFlight(config.Connectors.Parallel),
		health: &health{told: map[string]told{}},
	}, nil
}

// Run carries steps out until ctx ends. Work in flight is then finished if that
// takes a moment, and given back if it takes longer.
func (q *Queue) Run(ctx context.Context) error {
	jobs, err := q.open(ctx)
	if err != nil {
		return err
	}
	defer jobs.close()
	if err := q.reclaim(ctx, jobs); err != nil && ctx.Err() == nil {
		// Then those claims run out by themselves.
		q.config.Log.WarnContext(ctx, "claims of the last run not given back", "err", err)
	}
	if err := jobs.client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	q.dispatch(ctx, jobs)

	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if jobs.client.Stop(stop) == nil {
		return nil
	}
	stop, cancel = context.WithTimeout(context.WithoutCancel(ctx), stopTimeout+recordTimeout)
	defer cancel()
	return jobs.client.StopAndCancel(stop)
}

// dispatch turns due steps into jobs: at a hint, when a job ends, when the next
// known step is due, and every two seconds whatever was missed.
func (q *Queue) dispatch(ctx context.Context, jobs *jobs) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var w waiting
	for {
		due := true
		select {
		case <-ctx.Done():
			return
		case <-q.config.Hint.c:
		case <-timer.C:
		case <-q.flight.ended:
			// With a backlog the next of it are known; else there may be new ones.
			due = w.empty()
		}
		if due {
			w.due()
		}
		if err := w.look(ctx, q); err != nil && ctx.Err() == nil {
			q.config.Log.ErrorContext(ctx, "due steps not listed", "err", err)
		}
		if err := w.serve(ctx, q, jobs); err != nil && ctx.Err() == nil {
			q.config.Log.ErrorContext(ctx, "due steps not queued", "err", err)
		}
		timer.Reset(min(w.wait(), q.flight.wait(q.config.Now(), reconcile)))
	}
}

// work is one River job: everything due of one cut at one connector.
type work struct {
	CutID     string `json:"cut_id"`
	Connector string `json:"connector"`
}

// Kind names the job.
func (work) Kind() string { return "steps" }

// worker runs jobs.
type worker struct {
	river.WorkerDefaults[work]
	queue *Queue
}

// Work never fails: what is not done is due again by its row, not by its job.
func (w *worker) Work(ctx context.Context, job *river.Job[work]) error {
	w.queue.run(ctx, flow.StepGroup{CutID: job.Args.CutID, Connector: job.Args.Connector}, holder(w.queue.node, job.ID))
	return nil
}
