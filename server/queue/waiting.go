package queue

import (
	"context"
	"time"

	"cutoff/server/flow"
)

// waiting is what the last look found due and nobody works on yet, by
// connector, so that one provider's backlog hides no other's steps and is not
// listed anew for each job that ends. An entry may be out of date: then its job
// claims nothing.
type waiting struct {
	groups map[string][]flow.StepGroup
	// next is when to look, and not before rested.
	next, rested time.Time
}

func (w *waiting) empty() bool { return len(w.groups) == 0 }

// due asks for a look as soon as the last one is rested from.
func (w *waiting) due() {
	if w.rested.Before(w.next) {
		w.next = w.rested
	}
}

// wait is how long until the next look.
func (w *waiting) wait() time.Duration { return max(0, time.Until(w.next)) }

// look lists what is due, if it is time to.
func (w *waiting) look(ctx context.Context, q *Queue) error {
	before := time.Now()
	if before.Before(w.next) {
		return nil
	}
	w.next = before.Add(reconcile)
	groups, err := q.config.Steps.DueSteps(ctx, q.config.Now(), maxWaiting)
	if err != nil {
		return err
	}
	w.groups = map[string][]flow.StepGroup{}
	for _, g := range groups {
		w.groups[g.Connector] = append(w.groups[g.Connector], g)
	}
	w.rested = time.Now().Add(min(restAfterLook*time.Since(before), reconcile))
	return nil
}

// serve inserts a job for every waiting group whose connector has room.
func (w *waiting) serve(ctx context.Context, q *Queue, jobs *jobs) error {
	now := q.config.Now()
	var taken []flow.StepGroup
	for connector, list := range w.groups {
		for len(list) > 0 {
			got := q.flight.reserve(list[0], now)
			if got == full {
				break
			}
			if got == reserved {
				taken = append(taken, list[0])
			}
			list = list[1:]
		}
		if w.groups[connector] = list; len(list) == 0 {
			delete(w.groups, connector)
		}
	}
	err := jobs.insert(ctx, taken)
	if err != nil {
		for _, g := range taken {
			q.flight.release(g)
		}
	}
	return err
}
