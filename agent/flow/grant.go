package flow

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// loadGrant takes the standing grant's own deadlines where no lease was granted
// yet, or none since the last lift: a device whose first answer was lost, or
// that was lifted by a file, has something to miss too. exist: there is a mark.
func (f *Flow) loadGrant(now lease.Reading, state order.State, holds journal.Holding, exist bool) error {
	t := &f.loop.trust
	g := f.standingGrant(state)
	switch {
	case holds == journal.Lease:
		return nil // that lease is missing
	case g == nil:
		t.leased = exist || holds == journal.Grant // and so is what held before it
		return nil
	case g.GetSealMs() == 0:
		// A mark without a journal that knows of a lease: someone took the journal.
		t.leased = exist && holds == journal.Nothing
		return nil
	case holds == journal.Grant:
	case exist && (!t.marked || t.mark.Lease != 0):
		t.leased = true // someone took the journal
		return nil
	default:
		if err := f.startGrant(now); err != nil {
			return err
		}
	}
	t.granted = true
	t.terms = lease.Terms{
		Warn: milliseconds(g.GetWarnMs()), Seal: milliseconds(g.GetSealMs()), BootToll: milliseconds(g.GetBootTollMs()),
		ReportOnly: g.GetOnTamper() == cutoffv1.OnTamper_ON_TAMPER_REPORT,
	}
	t.base, t.cutID, t.help = t.terms, g.GetCutId(), g.GetHelp()
	return nil
}

// standingGrant is the standing grant, if a copy can be read.
func (f *Flow) standingGrant(state order.State) *cutoffv1.StandingGrant {
	for _, raw := range f.config.State.Grants() {
		if g, err := order.Grant(raw, state); err == nil {
			return g
		}
	}
	return nil
}

// startGrant begins to count at the first look after an enrolment. What the wall
// clock shows since then has passed: who takes everything but the grant does not
// start anew. The mark comes first, so that a crash leaves one to go on from.
func (f *Flow) startGrant(now lease.Reading) error {
	t := &f.loop.trust
	if !t.marked {
		t.mark, t.marked = lease.Start(0, now, now), true
		if at := f.config.EnrolledAt; !at.IsZero() {
			t.mark.Elapsed = max(0, now.Wall.Sub(at))
		}
		if err := f.writeMark(t.mark); err != nil {
			return err
		}
	}
	return f.config.Journal.HoldGrant()
}

// restartGrant keeps a mark from which the grant that is kept begins to count.
// The lease before it must be gone.
func (f *Flow) restartGrant(asked, now lease.Reading) (lease.Mark, error) {
	_, number, err := f.config.Journal.Numbers()
	if err != nil {
		return lease.Mark{}, err
	}
	m := lease.Start(number, asked, now)
	return m, f.writeMark(m)
}

func (f *Flow) writeMark(m lease.Mark) error {
	raw, err := m.Encode()
	if err == nil {
		err = f.config.State.KeepMark(raw)
	}
	if err != nil {
		return fmt.Errorf("keep mark: %w", err)
	}
	return nil
}

// outlasted asks with each copy of the standing grant whose deadlines run.
func (f *Flow) outlasted(state order.State, elapsed time.Duration) (order.Verified, error) {
	t := &f.loop.trust
	for _, grant := range f.config.State.Grants() {
		verified, err := order.Outlasted(grant, state, elapsed, t.marked && t.mark.Tampered())
		if err == nil && verified.CutID() != t.cutID {
			continue // a crash between the two copies left an older one
		}
		if !errors.Is(err, order.ErrNoTrust) {
			return verified, err
		}
	}
	return order.Verified{}, order.ErrNoTrust
}

// cutStands is the server's word for a lease that is withheld because a cut of
// the device is not over: here it is, or the order is on its way.
const cutStands = "cut"

// withheld lets the grant count anew when the server, asked just now, says that
// it gives no lease because a lift is not over: the device is in contact, and
// would otherwise seal itself while somebody's keyring is locked.
func (f *Flow) withheld(answer *cutoffv1.LeaseAnswer, now lease.Reading) {
	t := &f.loop.trust
	fresh := t.nonce != nil && bytes.Equal(answer.GetNonce(), t.nonce) && now.Boot-t.asked.Boot <= nonceTime
	if !t.granted || !fresh || answer.GetRefused() != cutStands || t.mark.Tampered() {
		return
	}
	m, err := f.restartGrant(t.asked, now)
	if err != nil {
		f.config.Log.Error("high-water mark not kept", "err", err)
		return
	}
	t.nonce, t.mark, t.marked = nil, m, true
	t.calls = 0
}
