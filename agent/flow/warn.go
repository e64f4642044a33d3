package flow

import (
	"time"

	"cutoff/agent/lease"
)

// NoticeKind says what the users are told.
type NoticeKind int

// Kinds of a notice; the zero value is none.
const (
	_ NoticeKind = iota
	// Warning: this device seals itself when Left has passed, unless it reaches
	// its server.
	Warning
	// Sealing: the lease ran out.
	Sealing
)

// Notice is something to tell the users of this device.
type Notice struct {
	Kind NoticeKind
	Left time.Duration
	// Help is the group's line, unread: it comes from the server.
	Help string
}

func (f *Flow) tell(n Notice) {
	if f.config.Tell != nil {
		f.config.Tell(n)
	}
}

// warn tells the users when a warning is due: when the warning begins and again
// as the seal draws near. After a restart the newest is told once more.
func (f *Flow) warn(now lease.Reading) {
	t := &f.loop.trust
	if due(&f.loop.due.greet, now.Boot, 0) {
		t.calls = 0
	}
	t.call = 0
	if len(f.loop.standing) > 0 || f.loop.current != nil || len(f.loop.queue) > 0 {
		return // what the warning threatens has been done
	}
	if t.state != lease.Trusting && t.state != lease.Warn {
		return
	}
	calls, wait := lease.Calls(t.terms, t.mark.Elapsed)
	t.call = wait
	if calls <= t.calls {
		return
	}
	t.calls = calls
	f.tell(Notice{Kind: Warning, Left: t.terms.Seal - t.mark.Elapsed, Help: t.help})
}

// Woken tells that the machine slept, or that somebody set the clock: timers
// stood still.
func (f *Flow) Woken() { f.do(func() {}) }
