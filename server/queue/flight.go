package queue

import (
	"slices"
	"sync"
	"time"

	"cutoff/server/flow"
)

// reservedFor is how long an inserted job may take to start before its place
// is given to another.
const reservedFor = 10 * time.Second

// flight is what this process has under way: which groups, how many of each
// connector, and when the next known step is due.
type flight struct {
	parallel func(connector string) int
	ended    chan struct{}

	mu     sync.Mutex
	groups map[flow.StepGroup]place
	counts map[string]int
	dues   []time.Time // sorted, of steps that fall due between looks
}

// place is a group's: reserved until a job starts.
type place struct {
	started bool
	until   time.Time
}

func newFlight(parallel func(string) int) *flight {
	return &flight{
		parallel: parallel, ended: make(chan struct{}, 1),
		groups: map[flow.StepGroup]place{}, counts: map[string]int{},
	}
}

func (f *flight) room(connector string) bool {
	return f.counts[connector] < max(1, min(f.parallel(connector), maxParallel))
}

// reservation is the answer to a wish for a place.
type reservation int

const (
	// busy: the group is under way already.
	busy reservation = iota
	// full: its connector has no place left.
	full
	// reserved: it has one now.
	reserved
)

// reserve takes a place for g.
func (f *flight) reserve(g flow.StepGroup, now time.Time) reservation {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.groups[g]; ok {
		if p.started || now.Before(p.until) {
			return busy
		}
		f.groups[g] = place{until: now.Add(reservedFor)}
		return reserved
	}
	if !f.room(g.Connector) {
		return full
	}
	f.groups[g] = place{until: now.Add(reservedFor)}
	f.counts[g.Connector]++
	return reserved
}

// start takes g's place for a job; false if another job has it. A job left over
// from before a restart has no reservation and takes what room there is.
func (f *flight) start(g flow.StepGroup) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.groups[g]
	switch {
	case ok && p.started:
		return false
	case !ok && !f.room(g.Connector):
		return false
	case !ok:
		f.counts[g.Connector]++
	}
	f.groups[g] = place{started: true}
	return true
}

// release gives g's place back and has the dispatcher look again.
func (f *flight) release(g flow.StepGroup) {
	f.mu.Lock()
	if _, ok := f.groups[g]; ok {
		delete(f.groups, g)
		if f.counts[g.Connector]--; f.counts[g.Connector] <= 0 {
			delete(f.counts, g.Connector)
		}
	}
	f.mu.Unlock()
	select {
	case f.ended <- struct{}{}:
	default:
	}
}

// maxDues bounds the known due times; what is beyond waits for the next look.
const maxDues = 4096

// due notes that a step is due at a time. Times are rounded up, so that steps
// due together are looked for together.
func (f *flight) due(at time.Time) {
	at = at.Add(dueGrain - 1).Truncate(dueGrain)
	f.mu.Lock()
	defer f.mu.Unlock()
	i, known := slices.BinarySearchFunc(f.dues, at, time.Time.Compare)
	if !known && len(f.dues) < maxDues {
		f.dues = slices.Insert(f.dues, i, at)
	}
}

const dueGrain = 5 * time.Millisecond

// wait is how long the dispatcher may sleep before it looks again: until the
// next known step is due, and at most longest.
func (f *flight) wait(now time.Time, longest time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.dues) == 0 {
		return longest
	}
	d := f.dues[0].Sub(now)
	if d > 0 {
		return min(d, longest)
	}
	// Due since the last look: look once more, for all that is due by now.
	past := 0
	for past < len(f.dues) && !f.dues[past].After(now) {
		past++
	}
	f.dues = slices.Delete(f.dues, 0, past)
	return 0
}
