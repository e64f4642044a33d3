package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"cutoff/agent/lease"
	"cutoff/platform/clock"
	"cutoff/platform/tpm"
)

// witness is the machine's TPM, if it has one, as far as it was asked. It is
// opened for each question: others need it too.
type witness struct {
	root string
	log  *slog.Logger

	mu   sync.Mutex
	said lease.Witness
}

const (
	// witnessEvery is how often the TPM is asked while the agent runs.
	witnessEvery = 10 * time.Minute
	// witnessTime bounds each wait for it: early in a boot others use it, and its
	// firmware is slow.
	witnessTime = 10 * time.Second
)

// now is what it said last.
func (w *witness) now() lease.Witness {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said
}

// begin asks for the first time, before anything is judged. One that the mark
// knows of may come up later than this agent does.
func (w *witness) begin(ctx context.Context, known bool) {
	err := within(ctx, func(ctx context.Context) error { return w.patiently(ctx, known) })
	if err != nil && (known || !none(err)) {
		w.log.Warn("the TPM cannot be asked", "err", err)
	}
}

// none reports whether there is nothing to ask, or nobody may.
func none(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission)
}

// patiently asks again while the TPM is busy, or not there although it is known.
// Whatever else it says, it says again: nothing waits for that.
func (w *witness) patiently(ctx context.Context, known bool) error {
	for {
		err := w.ask(false)
		later := errors.Is(err, syscall.EBUSY) || known && none(err)
		if !later {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// raise raises the counter. Flow calls it once a boot.
func (w *witness) raise() error {
	return within(context.Background(), func(context.Context) error { return w.ask(true) })
}

// within does what the firmware may make hang: its goroutine then ends with the
// firmware's answer, and the agent goes on without.
func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, witnessTime)
	defer cancel()
	answers := make(chan error, 1)
	go func() { answers <- do(ctx) }()
	select {
	case err := <-answers:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *witness) ask(raise bool) (err error) {
	t, err := tpm.Open(w.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if raise {
		if err := t.Raise(); err != nil {
			return err
		}
	}
	sight, err := t.Look()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = lease.Witness{Counter: sight.Counter, Resets: sight.Resets, Clock: sight.Powered, At: clock.Boot()}
	return nil
}

// Run keeps what it said fresh until ctx ends. A machine without one is not
// asked again.
func (w *witness) Run(ctx context.Context) error {
	ticks := time.NewTicker(witnessEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			if w.now().Counter == 0 {
				continue
			}
			if err := within(ctx, func(context.Context) error { return w.ask(false) }); err != nil {
				w.log.Debug("the TPM was not asked", "err", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
