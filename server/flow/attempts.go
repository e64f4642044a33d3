package flow

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bad enrolment attempts a source may make: some at once, then one a second.
const (
	attemptBurst = 10
	attemptRate  = rate.Limit(1)
	// attemptSources bounds the memory: two generations of so many sources.
	attemptSources = 4096
)

// attempts counts the bad attempts of each source. Good ones never ask it, so
// that a guesser behind the same address delays nobody. Its memory is bounded:
// a full generation becomes the old one, and the oldest is forgotten.
type attempts struct {
	mu       sync.Mutex
	now, old map[string]*rate.Limiter
}

// bad counts a bad attempt and reports whether the source has made too many.
func (a *attempts) bad(source string, now time.Time) (tooMany bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limiter := a.now[source]
	if limiter == nil {
		limiter = a.old[source]
		if limiter == nil {
			limiter = rate.NewLimiter(attemptRate, attemptBurst)
		}
		if a.now == nil || len(a.now) >= attemptSources {
			a.old, a.now = a.now, make(map[string]*rate.Limiter)
		}
		a.now[source] = limiter
	}
	return !limiter.AllowN(now, 1)
}
