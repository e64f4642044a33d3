package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/extension"
	"cutoff/proto/signed"
)

// Errors of an extension, in words for whoever typed it.
var (
	// ErrSealed: an extension undoes nothing.
	ErrSealed = errors.New("this device is sealed or being sealed: an extension cannot undo that, only a lift can")
	// ErrNoLease: there is nothing to extend.
	ErrNoLease = errors.New("this device holds no lease to extend")
	// ErrUnknownCode: it is well formed and opens nothing here.
	ErrUnknownCode = errors.New("this code is not for this device, or was given for an earlier lease")
	// ErrUsed: it counted before.
	ErrUsed = errors.New("this code was used before; each counts once")
	// ErrNoGain: it ends before the lease does.
	ErrNoGain = errors.New("this extension ends before the device's lease does: it adds nothing")
	// ErrTries: codes are not looked at any more until the next lease.
	ErrTries = errors.New("too many codes were tried: only a file, or a connection to the server, helps now")
	// ErrBusy: a cut is being carried out.
	ErrBusy = errors.New("a cut is being carried out just now; try again in a minute")
	// ErrStopping: the agent is on its way out.
	ErrStopping = errors.New("the agent is stopping")
)

// TooSoon says how long until another code is looked at.
type TooSoon struct{ Wait time.Duration }

// Error says so.
func (e *TooSoon) Error() string {
	return fmt.Sprintf("too many codes were tried: wait %s before the next", e.Wait.Round(time.Second))
}

// Extended is what came of an extension.
type Extended struct {
	// Added is by how much the lease runs longer now.
	Added time.Duration
	// Until is when it ends, by this device's wall clock.
	Until time.Time
}

// inLoop runs fn in the loop and waits for what it answers.
func inLoop[T any](ctx context.Context, f *Flow, fn func(now lease.Reading) (T, error)) (answer T, err error) {
	done := make(chan struct{})
	f.do(func() {
		defer close(done)
		answer, err = fn(f.config.Clock())
	})
	select {
	case <-done:
		return answer, err
	case <-f.ended:
		return answer, ErrStopping
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// extendable says why nothing can be added now.
func (f *Flow) extendable(now lease.Reading) error {
	f.judge(now)
	s := &f.loop
	switch {
	case len(s.standing) > 0 || s.current != nil || len(s.queue) > 0 || s.trust.state == lease.Expired:
		return ErrSealed
	case s.trust.state == lease.None || s.trust.number == 0 || !s.trust.marked || s.trust.issued.Unix() <= 0:
		return ErrNoLease
	}
	return nil
}

// ExtendByCode takes a code as somebody typed it. Every well-formed code counts
// as a try before it is looked at, so that a crash forgets none; the hash is made
// outside the loop.
func (f *Flow) ExtendByCode(ctx context.Context, text string) (Extended, error) {
	code, err := extension.Parse(text)
	if err != nil {
		return Extended{}, err
	}
	type terms struct {
		lease uint64
		codes *cutoffv1.LeaseCodes
	}
	t, err := inLoop(ctx, f, func(now lease.Reading) (terms, error) {
		if err := f.extendable(now); err != nil {
			return terms{}, err
		}
		t := &f.loop.trust
		return terms{t.number, t.codes}, f.countTry(now)
	})
	if err != nil {
		return Extended{}, err
	}
	hash, err := code.Hash(t.codes.GetSalt())
	if err != nil {
		return Extended{}, fmt.Errorf("hash code: %w", err)
	}
	return inLoop(ctx, f, func(now lease.Reading) (Extended, error) { return f.redeem(now, t.lease, hash) })
}

// countTry counts a try, durably, or says why there is none.
func (f *Flow) countTry(now lease.Reading) error {
	known, err := f.config.Journal.Extensions()
	if err != nil {
		return err
	}
	tries, number := known.Tries, f.loop.trust.number
	if tries.Lease != number {
		tries = journal.Tries{Lease: number}
	}
	since := now.Boot // another boot: at least as long ago
	if tries.BootID == now.BootID {
		since = now.Boot - tries.Boot
	}
	wait, over := lease.Tries(tries.Count, since)
	switch {
	case over:
		return ErrTries
	case wait > 0:
		return &TooSoon{wait}
	}
	tries.Count, tries.Boot, tries.BootID = tries.Count+1, now.Boot, now.BootID
	return f.config.Journal.ChangeExtensions(func(e *journal.Extensions) { e.Tries = tries })
}

// redeem looks for the code's hash in the lease it was hashed for.
func (f *Flow) redeem(now lease.Reading, number uint64, hash []byte) (Extended, error) {
	if err := f.extendable(now); err != nil {
		return Extended{}, err
	}
	known, err := f.config.Journal.Extensions()
	if err != nil {
		return Extended{}, err
	}
	t := &f.loop.trust
	if known.IsUsed(hash) {
		return Extended{}, ErrUsed
	}
	add := opens(t.codes, hash)
	if t.number != number || add <= 0 {
		return Extended{}, ErrUnknownCode
	}
	return f.extend(now, add, math.MaxInt64, func(e *journal.Extensions) { e.Use(hash); e.Tries = journal.Tries{} })
}

// opens is what the code with this hash adds; 0: it is none of the lease's. It
// compares all of them in constant time.
func opens(codes *cutoffv1.LeaseCodes, hash []byte) (add time.Duration) {
	for _, c := range codes.GetCodes() {
		if len(c.GetHash()) == extension.HashSize && equal(c.GetHash(), hash) {
			add = milliseconds(c.GetAddMs())
		}
	}
	return add
}

// ExtendByFile takes an extension file. What is refused is reported at the next
// contact.
func (f *Flow) ExtendByFile(ctx context.Context, file []byte) (Extended, error) {
	return inLoop(ctx, f, func(now lease.Reading) (Extended, error) {
		if err := f.extendable(now); err != nil {
			return Extended{}, err
		}
		return f.takeFile(now, file)
	})
}

func (f *Flow) takeFile(now lease.Reading, file []byte) (Extended, error) {
	state, err := f.knowledge(now)
	if err != nil {
		return Extended{}, err
	}
	known, err := f.config.Journal.Extensions()
	if err != nil {
		return Extended{}, err
	}
	t := &f.loop.trust
	m, err := order.Extension(file, state, t.cutID, known.Number)
	var refused *order.Refused
	if errors.As(err, &refused) {
		f.refuseLater("extension", refused, file)
		return Extended{}, refused
	}
	if err != nil {
		return Extended{}, err
	}
	// The server's clock at the grant, and the time since, which never falls, say
	// when it ends. This device's wall clock is not asked.
	return f.extend(now, milliseconds(m.GetAddMs()), m.GetEndsAt().AsTime().Sub(t.issued),
		func(e *journal.Extensions) { e.Number = m.GetNumber() })
}

// extend lets the lease run longer. That it counted is durable together with by
// how much.
func (f *Flow) extend(now lease.Reading, add, end time.Duration, used func(*journal.Extensions)) (Extended, error) {
	t := &f.loop.trust
	extra := lease.Extend(t.base, t.extra, add, end)
	if extra <= t.extra {
		return Extended{}, ErrNoGain
	}
	err := f.config.Journal.ChangeExtensions(func(e *journal.Extensions) {
		used(e)
		e.SetExtra(t.number, extra)
	})
	if err != nil {
		return Extended{}, err
	}
	gained := extra - t.extra
	t.runLonger(extra)
	f.judge(now)
	f.keepMark(now, false)
	f.config.Log.Info("lease extended", "by", gained.String(), "left", (t.terms.Seal - t.mark.Elapsed).String())
	return Extended{Added: gained, Until: now.Wall.Add(t.terms.Seal - t.mark.Elapsed)}, nil
}

// runLonger sets by how much the lease runs longer than its own terms.
func (t *trust) runLonger(extra time.Duration) {
	t.extra, t.terms = extra, t.base.Extended(extra)
	t.calls, t.call = 0, 0
}

// loadExtra reads by how much the lease at hand runs longer.
func (f *Flow) loadExtra() {
	known, err := f.config.Journal.Extensions()
	if err != nil {
		f.config.Log.Error("extensions cannot be read: none counts", "err", err)
		return
	}
	f.loop.trust.runLonger(known.ExtraOf(f.loop.trust.number))
}

// carry keeps for the next lease what is left of what was given beyond it; it is
// durable before that lease is.
func (f *Flow) carry(next *cutoffv1.Lease) (time.Duration, error) {
	t := &f.loop.trust
	if t.extra <= 0 || !t.marked || next.GetCutId() != t.cutID {
		return 0, nil
	}
	// The loop may not have looked at the clocks for a while: a renewal every few
	// minutes must not give that time back each time.
	elapsed := t.mark.Advance(f.config.Clock(), t.base.BootToll).Elapsed
	extra := lease.Carry(t.base, t.extra, elapsed, lease.Terms{Seal: milliseconds(next.GetSealMs())})
	return extra, f.config.Journal.ChangeExtensions(func(e *journal.Extensions) { e.SetExtra(next.GetNumber(), extra) })
}

// refuseLater remembers a refusal and reports it now, or at the next contact.
func (f *Flow) refuseLater(what string, refused *order.Refused, thing []byte) {
	digest := signed.Digest(thing)
	f.config.Log.Warn(what+" refused", "reason", string(refused.Reason), "err", refused)
	err := f.config.Journal.ChangeExtensions(func(e *journal.Extensions) {
		e.Refuse(journal.Refusal{
			What: what, Reason: string(refused.Reason), Number: refused.Number, CutID: refused.CutID, Digest: digest[:8],
		})
	})
	if err != nil {
		f.config.Log.Error("refusal not kept", "err", err)
	}
	f.reportRefusals(f.config.Clock())
}

// reportRefusals sends what was refused. It is forgotten when the server has
// answered something that was sent after it: a link may have died unnoticed.
func (f *Flow) reportRefusals(now lease.Reading) {
	if f.loop.link == nil {
		return
	}
	known, err := f.config.Journal.Extensions()
	if err != nil {
		f.config.Log.Error("refusals cannot be read", "err", err)
		return
	}
	for _, r := range known.Refusals[min(f.loop.reported, len(known.Refusals)):] {
		f.refuse(r.What, &order.Refused{Reason: order.Reason(r.Reason), Number: r.Number, CutID: r.CutID}, now)
	}
	f.loop.reported = len(known.Refusals)
}

// heard: the server has read what was sent before it answered.
func (f *Flow) heard() {
	n := f.loop.reported
	if n == 0 {
		return
	}
	f.loop.reported = 0
	err := f.config.Journal.ChangeExtensions(func(e *journal.Extensions) { e.Refusals = e.Refusals[min(n, len(e.Refusals)):] })
	if err != nil {
		f.config.Log.Error("refusals not dropped", "err", err)
	}
}
