package queue

import (
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
	next   time.Time
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

// reserve takes a place for g; false if it has one, or its connector none left.
func (f *flight) reserve(g flow.StepGroup, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.groups[g]; ok {
		if p.started || now.Before(p.until) {
			return false
		}
		f.groups[g] = place{until: now.Add(reservedFor)}
		return true
	}
	if !f.room(g.Connector) {
		return false
	}
	f.groups[g] = place{until: now.Add(reservedFor)}
	f.counts[g.Connector]++
	return true
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

// due notes that a step is due at a time.
func (f *flight) due(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next.IsZero() || at.Before(f.next) {
		f.next = at
	}
}

// wait is how long the dispatcher may sleep: until the next known step is due,
// and at most longest.
func (f *flight) wait(now time.Time, longest time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next.IsZero() {
		return longest
	}
	d := f.next.Sub(now)
	if d <= 0 {
		// It was looked for just now; what is left of it comes with the next look.
		f.next = time.Time{}
		return min(longest, 10*time.Millisecond)
	}
	return min(d+time.Millisecond, longest)
}
