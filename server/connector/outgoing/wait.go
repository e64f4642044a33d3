package outgoing

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of how long a provider's word is taken for.
const (
	minWait = time.Second
	maxWait = time.Hour
	// noWord is how long to wait after a 429 that says nothing.
	noWord = 5 * time.Second
)

// leaveAlone reads an answer that asks to wait: 429 always, 503 and 403 only if
// they say for how long (GitHub's secondary limit is a 403).
func leaveAlone(res *http.Response, now time.Time) (time.Duration, bool) {
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		if d, ok := RetryAfter(res.Header, now); ok {
			return d, true
		}
		return noWord, true
	case http.StatusServiceUnavailable:
		return RetryAfter(res.Header, now)
	case http.StatusForbidden:
		if res.Header.Get("Retry-After") == "" && res.Header.Get("X-RateLimit-Remaining") != "0" {
			return 0, false
		}
		return RetryAfter(res.Header, now)
	default:
		return 0, false
	}
}

// RetryAfter reads for how long a provider asks to be left alone: Retry-After
// (seconds or a date), else the time a rate limit starts anew, as seconds from
// now or since 1970. The answer's own Date is now, where it has one: clocks
// differ. It is bounded by one second and one hour.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 {
			return bounded(seconds(n)), true
		}
		if at, err := http.ParseTime(v); err == nil {
			return bounded(at.Sub(now)), true
		}
	}
	for _, name := range []string{"X-RateLimit-Reset", "X-Rate-Limit-Reset", "RateLimit-Reset", "X-Retry-After"} {
		n, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64)
		if err != nil || !(n >= 0) { // NaN, too
			continue
		}
		// A number of this size is a time of day, not a while.
		if n > 1e12 {
			n /= 1000
		}
		if n > 1e9 {
			return bounded(time.Unix(int64(n), 0).Sub(now) + time.Second), true
		}
		return bounded(seconds(n)), true
	}
	return 0, false
}

func seconds(n float64) time.Duration {
	return time.Duration(min(n, maxWait.Seconds()) * float64(time.Second))
}

func bounded(d time.Duration) time.Duration { return max(minWait, min(d, maxWait)) }
