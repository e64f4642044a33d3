package operator

import (
	"sync"
	"time"
)

// Attempts says how often a login may be tried. One source that guesses is
// slowed down, for one account and for all; one account that is guessed at from
// everywhere is open only to the sources that have signed in to it before. So a
// guesser locks out neither the account's owner nor anybody else.
//
// It is kept in memory: a restart forgives, which costs a guesser more than it
// gains. The zero value is ready.
type Attempts struct {
	mu       sync.Mutex
	sources  map[string]*budget
	pairs    map[pair]*budget
	accounts map[string]*budget
	known    map[pair]time.Time
}

type pair struct{ account, source string }

// budget is a bucket that a failed attempt empties by one and time fills.
type budget struct {
	left float64
	at   time.Time
}

// Sizes of the buckets, and how long one attempt takes to come back.
const (
	sourceBurst  = 20
	sourceRefill = 15 * time.Second
	pairBurst    = 5
	pairRefill   = 30 * time.Second
	// accountBurst counts the failures of all sources that are not known.
	accountBurst  = 50
	accountRefill = time.Minute
	// maxTracked bounds memory: beyond it, full buckets and old sources go.
	maxTracked = 20_000
	knownFor   = 30 * 24 * time.Hour
)

// Allow reports whether source may try account at now; if not, when to come
// back. It takes the attempt from the budgets; Succeeded gives it back.
func (a *Attempts) Allow(account, source string, now time.Time) (ok bool, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prepare(now)
	p := pair{account, source}
	buckets := []struct {
		of     *budget
		burst  float64
		refill time.Duration
	}{
		{bucket(a.sources, source, sourceBurst, now), sourceBurst, sourceRefill},
		{bucket(a.pairs, p, pairBurst, now), pairBurst, pairRefill},
	}
	if last, known := a.known[p]; !known || now.Sub(last) > knownFor {
		b := bucket(a.accounts, account, accountBurst, now)
		buckets = append(buckets, struct {
			of     *budget
			burst  float64
			refill time.Duration
		}{b, accountBurst, accountRefill})
	}
	for _, b := range buckets {
		b.of.fill(b.burst, b.refill, now)
		if b.of.left < 1 {
			wait = max(wait, time.Duration((1-b.of.left)*float64(b.refill)))
		}
	}
	if wait > 0 {
		return false, wait
	}
	for _, b := range buckets {
		b.of.left--
	}
	return true, 0
}

// Succeeded notes that source signed in to account: its budgets are whole, and
// it is known from now on.
func (a *Attempts) Succeeded(account, source string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prepare(now)
	p := pair{account, source}
	delete(a.pairs, p)
	for _, b := range []*budget{a.sources[source], a.accounts[account]} {
		if b != nil {
			b.left++
		}
	}
	a.known[p] = now
}

func (b *budget) fill(burst float64, refill time.Duration, now time.Time) {
	if now.After(b.at) {
		b.left = min(burst, b.left+float64(now.Sub(b.at))/float64(refill))
	}
	b.at = now
}

func bucket[K comparable](all map[K]*budget, key K, burst float64, now time.Time) *budget {
	b := all[key]
	if b == nil {
		b = &budget{left: burst, at: now}
		all[key] = b
	}
	return b
}

// prepare makes the maps and keeps them bounded.
func (a *Attempts) prepare(now time.Time) {
	if a.sources == nil {
		a.sources, a.pairs, a.accounts = map[string]*budget{}, map[pair]*budget{}, map[string]*budget{}
		a.known = map[pair]time.Time{}
	}
	prune(a.sources, sourceBurst*sourceRefill, now)
	prune(a.pairs, pairBurst*pairRefill, now)
	prune(a.accounts, accountBurst*accountRefill, now)
	if len(a.known) > maxTracked {
		for p, last := range a.known {
			if now.Sub(last) > knownFor || len(a.known) > maxTracked*3/4 {
				delete(a.known, p)
			}
		}
	}
}

// prune makes room when there are too many buckets: those that time has filled
// again go first, then any, down to three quarters, so that it is rarely needed.
func prune[K comparable](all map[K]*budget, full time.Duration, now time.Time) {
	if len(all) <= maxTracked {
		return
	}
	for k, b := range all {
		if now.Sub(b.at) >= full {
			delete(all, k)
		}
	}
	for k := range all {
		if len(all) <= maxTracked*3/4 {
			return
		}
		delete(all, k)
	}
}

// Tracked is how many buckets are kept, for a metric.
func (a *Attempts) Tracked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.sources) + len(a.pairs) + len(a.accounts)
}
