package flow

import (
	"math/rand/v2"
	"time"

	"cutoff/agent/journal"
	"cutoff/agent/lease"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// How often things are done.
const (
	markEvery       = lease.Interval
	challengeEvery  = 10 * time.Minute
	postureEvery    = time.Minute
	defaultInterval = 5 * time.Minute
	askAgain        = time.Minute
	sweepAfter      = time.Minute
	sweepMost       = 10 * time.Minute
	scanEvery       = 5 * time.Minute
	retryMost       = time.Minute
)

// load reads what an earlier run left.
func (f *Flow) load() error {
	now := f.config.Clock()
	warrants, err := f.config.Journal.Resume()
	if err != nil {
		return err
	}
	if len(warrants) == 0 {
		f.reserve()
	}
	// What is under way comes before what may have run out: a lift that a crash
	// interrupted has neither lease nor mark.
	for _, w := range warrants {
		if w.Finished() && w.Kind() == cutoffv1.OrderKind_ORDER_KIND_LIFT {
			f.loop.returning[w.CutID()] = w
			f.loop.due.sweep = now.Boot
			continue
		}
		if w.Finished() {
			f.loop.standing[w.CutID()] = w
		}
		f.enqueue(w)
	}
	if err := f.loadTrust(now); err != nil {
		return err
	}
	f.loop.due.mark = now.Boot + markEvery
	f.loop.due.posture = now.Boot
	f.quiet(now)
	return nil
}

// look does whatever is due.
func (f *Flow) look() {
	now := f.config.Clock()
	s := &f.loop
	f.judge(now)
	if due(&s.due.mark, now.Boot, markEvery) {
		f.keepMark(now, false)
	}
	if due(&s.due.posture, now.Boot, postureEvery) {
		f.observe(job{posture: true})
	}
	if due(&s.due.report, now.Boot, s.interval) {
		s.reportNow = true
		f.observe(job{posture: true})
	}
	if s.link != nil {
		if due(&s.due.challenge, now.Boot, challengeEvery) {
			f.sendChallenge(now)
		}
		if due(&s.due.ask, now.Boot, askAgain) {
			f.ask(now)
		}
		if s.wants && len(s.standing) == 0 && due(&s.due.inventory, now.Boot, 0) {
			f.observe(job{inventory: true, scope: f.config.Scope.Scope()})
		}
	}
	if due(&s.due.sweep, now.Boot, 0) {
		f.sweep()
	}
	f.seek(now)
	f.triggered(now.Boot)
	due(&s.due.retry, now.Boot, 0)
	f.keepStatus(now)
}

// due reports whether at has come and sets it to every from now, or to never.
func due(at *time.Duration, now, every time.Duration) bool {
	if *at == 0 || now < *at {
		return false
	}
	*at = 0
	if every > 0 {
		*at = now + every
	}
	return true
}

// wait is how long nothing will be due.
func (f *Flow) wait() time.Duration {
	now, s := f.config.Clock().Boot, &f.loop
	wait := f.config.MaxWait
	sooner := func(at time.Duration) {
		if at != 0 {
			wait = min(wait, max(at-now, time.Millisecond))
		}
	}
	d := s.due
	for _, at := range []time.Duration{d.mark, d.posture, d.report, d.sweep, d.retry, d.last, d.login, d.touch, d.greet, d.seek} {
		sooner(at)
	}
	if s.link != nil {
		sooner(d.challenge)
		sooner(d.ask)
		if s.wants && len(s.standing) == 0 {
			sooner(d.inventory)
		}
	}
	for _, left := range []time.Duration{s.trust.wait, s.trust.call} {
		if left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// spread is d within a tenth, so that a fleet does not move in step.
func spread(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5) // spreads load, guards nothing
}

// backoff doubles from a second to most.
func backoff(failures int, most time.Duration) time.Duration {
	if failures > 10 {
		return most
	}
	return min(most, time.Second<<failures)
}

// sweep looks again at every cut that stands: what came back is taken too. When
// none does, what a lift left is tried again.
func (f *Flow) sweep() {
	again := f.loop.standing
	if !f.cutting() {
		again = f.loop.returning
	}
	for _, w := range again {
		if !f.busyWith(w.CutID()) {
			f.enqueue(w)
		}
	}
}

// busyWith reports whether something of the cut is queued or being done.
func (f *Flow) busyWith(cutID string) bool {
	if f.loop.current != nil && f.loop.current.cutID == cutID {
		return true
	}
	for _, t := range f.loop.queue {
		if t.cutID == cutID {
			return true
		}
	}
	return false
}

// enqueue puts a warrant in line: what removes before what sweeps. A newer word
// on the same cut takes the place of an older one, and ends one under way unless
// both want the same. A cut takes the place of whatever a lift would try again.
func (f *Flow) enqueue(w *journal.Warrant) {
	s := &f.loop
	next := newTask(w)
	if !next.lift() {
		delete(s.returning, next.cutID)
	}
	kept := s.queue[:0]
	for _, t := range s.queue {
		if t.cutID != next.cutID && (next.lift() || !t.lift() || !t.sweep) {
			kept = append(kept, t)
		}
	}
	s.queue = kept
	if next.sweep {
		s.queue = append(s.queue, next)
	} else {
		s.queue = append([]*task{next}, s.queue...)
		s.due.retry = 0
	}
	if s.current != nil && !next.sweep && (s.current.sweep || s.current.cutID == next.cutID && s.current.kind != next.kind) {
		s.current.cancel()
	}
}
