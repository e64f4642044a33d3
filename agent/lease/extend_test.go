package lease_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"cutoff/agent/lease"
)

const hour = time.Hour

func TestAnExtensionAddsAtMostItsLengthAndEndsWhenItSays(t *testing.T) {
	terms := lease.Terms{Warn: 48 * hour, Seal: 72 * hour}
	for name, tt := range map[string]struct{ extra, add, end, want time.Duration }{
		"a code":                            {0, 48 * hour, math.MaxInt64, 48 * hour},
		"a second code":                     {48 * hour, 24 * hour, math.MaxInt64, 72 * hour},
		"a file as it was given":            {0, 48 * hour, 120 * hour, 48 * hour},
		"a file that ends before":           {0, 48 * hour, 80 * hour, 8 * hour},
		"a file that ended":                 {0, 48 * hour, 60 * hour, 0},
		"a file of no gain over a code":     {48 * hour, 48 * hour, 100 * hour, 48 * hour},
		"a file far in the future":          {0, 48 * hour, 10_000 * hour, 48 * hour},
		"a file from before the lease ends": {0, 48 * hour, -hour, 0},
	} {
		if got := lease.Extend(terms, tt.extra, tt.add, tt.end); got != tt.want {
			t.Errorf("%s: %s longer, want %s", name, got, tt.want)
		}
	}
	if got := terms.Extended(48 * hour); got.Warn != 96*hour || got.Seal != 120*hour {
		t.Errorf("extended: %+v", got)
	}
}

func TestARenewedLeaseTakesNothingFromWhatWasGiven(t *testing.T) {
	terms := lease.Terms{Warn: 48 * hour, Seal: 72 * hour}
	if got := lease.Carry(terms, 336*hour, 10*hour, terms); got != 326*hour {
		t.Errorf("carried %s", got)
	}
	for _, extra := range []time.Duration{0, 5 * hour} {
		if got := lease.Carry(terms, extra, 10*hour, terms); got != 0 {
			t.Errorf("carried %s of %s", got, extra)
		}
	}
}

// However extensions and renewals mix, a lease never ends later than its own end
// and all that was given, nor is a given end ever passed by a file.
func TestExtensionsNeverAddUpToMoreThanWasGiven(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		terms := lease.Terms{Warn: hour, Seal: 2*hour + time.Duration(random.Int64N(int64(72*hour)))}
		extra, given := time.Duration(0), time.Duration(0)
		for range 5 {
			add, end := time.Duration(random.Int64N(int64(96*hour))), time.Duration(random.Int64N(int64(300*hour)))
			next := lease.Extend(terms, extra, add, end)
			if given += add; next < extra || next > given || next > extra && terms.Seal+next > end {
				t.Fatalf("%s longer after %s of %s in all that ends at %s", next, extra, given, end)
			}
			extra = next
			elapsed := time.Duration(random.Int64N(int64(terms.Seal + extra)))
			carried := lease.Carry(terms, extra, elapsed, terms)
			if carried < 0 || carried > max(0, extra-elapsed) {
				t.Fatalf("carried %s of %s after %s", carried, extra, elapsed)
			}
		}
	}
}

func TestGuessingCodesGetsEverSlowerAndEnds(t *testing.T) {
	before := time.Duration(0)
	for count := range 20 {
		wait, over := lease.Tries(count, 0)
		if over || wait < before || count < 3 && wait != 0 || count >= 3 && wait == 0 {
			t.Fatalf("after %d tries: %s, %v", count, wait, over)
		}
		before = wait
	}
	if _, over := lease.Tries(20, 1000*hour); !over {
		t.Error("there is no end")
	}
	if wait, _ := lease.Tries(5, hour); wait != 0 {
		t.Errorf("an hour later there are %s to wait", wait)
	}
}
