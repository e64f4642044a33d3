package flow

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"cutoff/agent/lease"
	"cutoff/agent/order"
)

// How long a silence of the server lasts before its mirrors are asked, as a part
// of the time until the first warning, and how often they are asked then.
const (
	quietPart = 4
	quietMost = time.Hour
	seekPart  = 8
	seekMost  = 30 * time.Minute
	seekLeast = time.Second
)

// Fetch asks mirrors for this device's extension file and hands what they have
// to take until that is done.
type Fetch func(ctx context.Context, mirrors []string, take func(file []byte) (done bool)) error

// quiet starts the wait for mirrors, when the server is gone.
func (f *Flow) quiet(now lease.Reading) {
	wait := min(f.loop.trust.base.Warn/quietPart, quietMost)
	f.loop.due.seek = now.Boot + spread(max(wait, seekLeast))
}

// seek asks the mirrors while the server is silent and the lease still holds.
func (f *Flow) seek(now lease.Reading) {
	s := &f.loop
	if s.link != nil {
		s.due.seek = 0
		return
	}
	if !due(&s.due.seek, now.Boot, 0) {
		return
	}
	left := s.trust.terms.Seal - s.trust.mark.Elapsed
	s.due.seek = now.Boot + spread(max(seekLeast, min(left/seekPart, seekMost)))
	holds := s.trust.state == lease.Trusting || s.trust.state == lease.Warn
	if !holds || len(s.trust.mirrors) == 0 || len(s.standing) > 0 || f.config.Fetch == nil {
		return
	}
	select {
	case f.seeks <- s.trust.mirrors:
	default: // it is asking
	}
}

// seeker asks mirrors, one silence at a time.
func (f *Flow) seeker(ctx context.Context) error {
	for {
		select {
		case mirrors := <-f.seeks:
			err := f.config.Fetch(ctx, mirrors, func(file []byte) bool {
				done, err := inLoop(ctx, f, func(now lease.Reading) (bool, error) { return f.fetched(now, file) })
				if err != nil {
					f.config.Log.Debug("file of a mirror not taken", "err", err)
				}
				return done
			})
			if err != nil {
				f.config.Log.Debug("mirrors have nothing for this device", "err", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fetched takes a mirror's file. The one that counted before is there again each
// time: that is no replay.
func (f *Flow) fetched(now lease.Reading, file []byte) (done bool, err error) {
	if err := f.extendable(now); err != nil {
		return true, err
	}
	state, err := f.knowledge(now)
	if err != nil {
		return true, err
	}
	known, err := f.config.Journal.Extensions()
	if err != nil {
		return true, err
	}
	var refused *order.Refused
	if m, err := order.Extension(file, state, f.loop.trust.cutID, 0); err == nil && m.GetNumber() == known.Number {
		return false, nil
	} else if err != nil && !errors.As(err, &refused) {
		return false, err
	}
	_, err = f.takeFile(now, file)
	return err == nil, err
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
