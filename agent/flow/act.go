package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/journal"
	"cutoff/agent/order"
	"cutoff/agent/purge"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// task is one warrant in line. The warrant belongs to the actor while the task
// is current; the other fields never change.
type task struct {
	warrant *journal.Warrant
	cutID   string
	kind    cutoffv1.OrderKind
	// sweep: what the warrant asks for has been done, this looks again.
	sweep  bool
	ctx    context.Context //nolint:containedctx // lives as long as the task
	cancel context.CancelFunc
}

func newTask(w *journal.Warrant) *task {
	ctx, cancel := context.WithCancel(context.Background())
	return &task{
		warrant: w, cutID: w.CutID(), kind: w.Kind(), ctx: ctx, cancel: cancel,
		sweep: w.Finished() && w.Part() > 0,
	}
}

func (t *task) lift() bool { return t.kind == cutoffv1.OrderKind_ORDER_KIND_LIFT }

// outcome is what became of a task.
type outcome struct {
	// receipt is the envelope to send, or nil when there is nothing new.
	receipt  []byte
	complete bool
	// later: what may cut the network is still to be done.
	later bool
}

// actor carries out one task at a time.
func (f *Flow) actor(ctx context.Context) error {
	for {
		select {
		case t := <-f.tasks:
			stop := context.AfterFunc(ctx, t.cancel)
			done, err := f.act(t)
			stop()
			t.cancel()
			f.do(func() { f.acted(t, done, err) })
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// act carries the warrant out, and journals its receipt before anyone hears of
// it.
func (f *Flow) act(t *task) (outcome, error) {
	w := t.warrant
	begun := f.moment()
	if !t.sweep {
		begun = w.Begun()
	}
	// Nothing may come between the warrant and the first removal: what was
	// noted before matters to a sweep only.
	var before map[string]*cutoffv1.Item
	if t.sweep {
		before = w.Noted()
	}
	result, err := f.carryOut(t)
	if err != nil {
		return outcome{}, err
	}
	// That a lift is complete is news whatever its items say: it ends with it.
	if t.sweep && !news(before, result.Items) && (!t.lift() || !result.Complete) {
		return outcome{complete: result.Complete}, nil
	}
	receipt, err := f.receipt(w, begun, result)
	if err != nil {
		return outcome{}, err
	}
	finish := f.config.Journal.Finish
	if t.lift() && !result.Complete {
		finish = f.config.Journal.Answer
	}
	if t.lift() && !t.sweep {
		if err := f.lifted(w); err != nil {
			return outcome{}, err
		}
	}
	if err := finish(w, receipt); err != nil {
		return outcome{}, err
	}
	if t.lift() && result.Complete {
		if err := f.dropAnswer(w.CutID()); err != nil {
			f.config.Log.Warn("answer to the lift not dropped", "cut_id", w.CutID(), "err", err)
		}
	}
	return outcome{receipt: receipt, complete: result.Complete, later: result.Later}, nil
}

func (f *Flow) carryOut(t *task) (purge.Result, error) {
	if !t.lift() {
		return f.config.Purger.Run(t.ctx, t.warrant)
	}
	return f.config.Purger.Restore(t.ctx, t.warrant,
		func(ctx context.Context, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
			return f.unseal(ctx, t.cutID, headers)
		})
}

// lifted keeps what the lift brought: the grant of the next cut, which counts
// from now until a lease comes. The old lease named the cut that is over.
func (f *Flow) lifted(w *journal.Warrant) error {
	if next := w.NextGrant(); len(next) > 0 {
		if err := f.config.State.KeepGrant(next); err != nil {
			return err
		}
	}
	if err := f.config.State.DropLease(); err != nil {
		return err
	}
	now := f.config.Clock()
	if _, err := f.restartGrant(now, now); err != nil {
		return err
	}
	f.reserve()
	return nil
}

// reserve takes the room for sealing again, which a full disk may have cost;
// without it an item that a sign-in does not regain would be left.
func (f *Flow) reserve() {
	if err := f.config.State.Reserve(); err != nil {
		f.config.Log.Warn("no room is reserved for sealing", "err", err)
	}
}

// news reports whether a sweep found what the last receipt did not say.
func news(before map[string]*cutoffv1.Item, items []*cutoffv1.Item) bool {
	for _, item := range items {
		known, ok := before[item.GetId()]
		if !ok || known.GetOutcome() != item.GetOutcome() || known.GetDetail() != item.GetDetail() ||
			known.GetAction() != item.GetAction() || known.GetSealed() != item.GetSealed() {
			return true
		}
	}
	return false
}

func (f *Flow) moment() order.Moment {
	now := f.config.Clock()
	return order.Moment{Wall: now.Wall, Boot: now.Boot, BootID: now.BootID}
}

// receipt signs the answer to w.
func (f *Flow) receipt(w *journal.Warrant, begun order.Moment, result purge.Result) ([]byte, error) {
	now := f.moment()
	r := &cutoffv1.Receipt{
		DeviceId: f.config.DeviceID, CutId: w.CutID(), OrderId: w.OrderID(), OrderNumber: w.OrderNumber(),
		LeaseNumber: w.LeaseNumber(), Kind: w.Kind(), Cause: w.Cause(), Part: w.Part(),
		Complete: result.Complete, Items: result.Items,
		StartedAt: timestamppb.New(begun.Wall), FinishedAt: timestamppb.New(now.Wall),
		FinishedBootMs: result.FinishedBoot.Milliseconds(), BootId: now.BootID,
		AgentVersion: f.config.Version, CatalogueVersion: result.CatalogueVersion, TrialRoot: f.config.Root,
	}
	// Boot-clock readings of another boot, or of another order, compare with
	// nothing.
	if begun.BootID == now.BootID && w.Part() == 0 {
		r.ReceivedBootMs = begun.Boot.Milliseconds()
		r.FirstRemovedBootMs = result.FirstRemovedBoot.Milliseconds()
	}
	if w.StandingGrant() {
		r.Facts = append(r.Facts, "standing-grant")
	}
	if w.Tampered() && w.Cause() == cutoffv1.Cause_CAUSE_EXPIRY {
		// The server must not lift this by itself.
		r.Facts = append(r.Facts, "tamper")
	}
	envelope, err := signed.Seal(signed.TypeReceipt, r, f.config.Key)
	if err != nil {
		return nil, fmt.Errorf("sign receipt of %s: %w", w.CutID(), err)
	}
	if size := proto.Size(r); len(envelope) > signed.MaxEnvelope {
		return nil, fmt.Errorf("receipt of %s has %d bytes, more than an envelope holds", w.CutID(), size)
	}
	return envelope, nil
}

// acted is the loop's part after a task.
func (f *Flow) acted(t *task, done outcome, err error) {
	s := &f.loop
	s.current = nil
	now := f.config.Clock()
	switch {
	case errors.Is(err, journal.ErrSuperseded), errors.Is(err, context.Canceled) && f.busyWith(t.cutID):
		return // a newer word on the same cut is in line
	case err != nil && t.sweep:
		if !errors.Is(err, context.Canceled) {
			f.config.Log.Warn("sweep not finished, will try again", "cut_id", t.cutID, "err", err)
		}
		s.due.sweep, s.touching = now.Boot+sweepAfter, false
		return
	case err != nil:
		f.config.Log.Error("cut not carried out, will try again", "cut_id", t.cutID, "kind", t.kind.String(), "err", err)
		if !f.busyWith(t.cutID) {
			f.enqueue(t.warrant)
		}
		s.due.retry = now.Boot + backoff(s.retries, retryMost)
		s.retries++
		return
	}
	s.retries = 0
	if done.receipt != nil {
		f.config.Log.Info("cut carried out", "cut_id", t.cutID, "kind", t.kind.String(), "sweep", t.sweep, "complete", done.complete)
		f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Receipt{Receipt: done.receipt}})
	}
	if t.lift() {
		delete(s.standing, t.cutID)
		if !t.sweep {
			f.trustAnew(now)
		}
		f.planReturn(t, done, now.Boot)
		return
	}
	s.standing[t.cutID] = t.warrant
	f.planSweep(t, done, now.Boot)
	f.planLast(t, done, now.Boot)
}

// planSweep sets when to look again: a minute after a cut, and then at growing
// intervals while something is still due.
func (f *Flow) planSweep(t *task, done outcome, now time.Duration) {
	s := &f.loop
	switch {
	case !t.sweep:
		s.sweeps = 0
		s.due.sweep = now + sweepAfter
	case !done.complete:
		s.sweeps = min(s.sweeps+1, 8)
		s.due.sweep = now + min(sweepMost, sweepAfter<<s.sweeps)
	}
}
