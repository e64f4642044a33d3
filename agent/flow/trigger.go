package flow

import "time"

// triggers are sweeps that something asked for, beside those by the clock.
type triggers struct{ last, login, touch, greet time.Duration }

// How soon a sweep follows what asked for it.
const (
	// lastAfter bounds how long what may cut the network waits for the server to
	// have the receipt.
	lastAfter = 20 * time.Second
	// loginAfter lets a login bring its home and its keyring.
	loginAfter = time.Second
	// greetAfter lets a login bring its desktop.
	greetAfter = 15 * time.Second
	// touchAfter lets whoever writes finish. It doubles with each sweep that
	// found nothing, so that a busy folder costs little.
	touchAfter   = time.Second
	touchDoubles = 6
)

// LoggedIn tells that somebody has logged in.
func (f *Flow) LoggedIn() {
	f.do(func() {
		f.soon(&f.loop.due.login, loginAfter)
		f.loop.due.greet = f.config.Clock().Boot + greetAfter // no warning was heard yet
	})
}

// Touched tells that something was written where a cut took something away.
func (f *Flow) Touched() {
	f.do(func() { f.soon(&f.loop.due.touch, touchAfter<<f.loop.touches) })
}

// soon plans a sweep unless one is planned or there is nothing to sweep.
func (f *Flow) soon(at *time.Duration, after time.Duration) {
	if *at == 0 && len(f.loop.standing)+len(f.loop.returning) > 0 {
		*at = f.config.Clock().Boot + after
	}
}

// triggered sweeps for what is due.
func (f *Flow) triggered(now time.Duration) {
	d := &f.loop.due
	touched := due(&d.touch, now, 0)
	if touched {
		f.loop.touching = true
	}
	last, login := due(&d.last, now, 0), due(&d.login, now, 0)
	if touched || last || login {
		f.sweep()
	}
}

// planLast lets what may cut the network follow once the server has the
// receipt, or cannot be waited for.
func (f *Flow) planLast(t *task, done outcome, now time.Duration) {
	s := &f.loop
	if !t.sweep && done.later {
		s.due.last = now + lastAfter
	}
	if !t.sweep || !s.touching {
		return
	}
	s.touching = false
	if s.touches = min(s.touches+1, touchDoubles); done.receipt != nil {
		s.touches = 0
	}
}

// handed lets what waits for the server go on, once it has every receipt.
func (f *Flow) handed() {
	if f.loop.due.last == 0 {
		return
	}
	if left, err := f.config.Journal.Unacknowledged(); err == nil && len(left) == 0 {
		f.loop.due.last = f.config.Clock().Boot
	}
}
