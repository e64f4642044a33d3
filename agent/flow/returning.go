package flow

import "time"

// returnMost is the longest wait between two tries of what a lift left: each
// asks the server for keys and is evidence there, and a login or an unlocked
// keyring brings one at once.
const returnMost = 6 * time.Hour

// planReturn keeps a lift that left something, and sets when to try again: a
// minute later, and then at growing intervals.
func (f *Flow) planReturn(t *task, done outcome, now time.Duration) {
	s := &f.loop
	s.touching = false
	if done.complete {
		delete(s.returning, t.cutID)
		s.due.ask = now // the server has no reason left to grant no lease
		return
	}
	s.returning[t.cutID] = t.warrant
	if !t.sweep {
		s.returns = 0
	}
	s.due.sweep = now + min(returnMost, sweepAfter<<min(s.returns, returnDoubles))
	s.returns++
}

// returnDoubles is when returnMost is reached.
const returnDoubles = 9

// cutting reports whether a cut stands or is on its way: then nothing of an
// earlier one goes back.
func (f *Flow) cutting() bool {
	s := &f.loop
	if len(s.standing) > 0 || s.current != nil && !s.current.lift() {
		return true
	}
	for _, t := range s.queue {
		if !t.lift() {
			return true
		}
	}
	return false
}
