package flow

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"math"
	"time"

	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// trust is what the device holds of the server's trust.
type trust struct {
	// raw is the lease's envelope as it was read, readable or not.
	raw []byte
	// terms and number are the lease's; number 0: none that can be read.
	terms  lease.Terms
	number uint64
	// base are the lease's own terms, extra by how much it runs longer.
	base  lease.Terms
	extra time.Duration
	// cutID is the reserved one; issued, the server's clock at the grant; codes,
	// the hashes of what extends it; mirrors, where extensions are fetched.
	cutID   string
	issued  time.Time
	codes   *cutoffv1.LeaseCodes
	mirrors []string
	renew   time.Duration
	// leased is set when there is a lease to miss; granted, when the standing
	// grant's own deadlines run: from an enrolment or a lift to the next lease.
	leased, granted bool
	// mark is the high-water mark; marked: it could be read.
	mark   lease.Mark
	marked bool
	state  lease.State
	// wait is how long state stays by itself; 0: unknown or for ever.
	wait time.Duration
	// tamper: neither lease nor grant can be read.
	tamper bool
	// putBack: the state is older than the witness says.
	putBack bool
	// help is the group's line for the user; calls, how many warnings of this
	// lease have been given, and call, how long until the next.
	help  string
	calls int
	call  time.Duration
	// nonce is the one asked with, at the reading asked.
	nonce []byte
	asked lease.Reading
}

// nonceTime is how old an answer may be: a lease counts from its nonce.
const nonceTime = time.Minute

// loadTrust reads the lease and the mark. What is not there or not readable is
// not an error here: judge decides what it means.
func (f *Flow) loadTrust(now lease.Reading) error {
	t := &f.loop.trust
	*t = trust{}
	var err error
	holds, err := f.config.Journal.Holds()
	if err != nil {
		return err
	}
	t.leased = holds == journal.Lease
	if t.raw, err = f.config.State.Lease(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.config.Log.Warn("lease cannot be read", "err", err)
	}
	copies, exist := f.config.State.Marks()
	t.mark, err = lease.Newest(copies)
	t.marked = err == nil
	state, err := f.knowledge(now)
	if err != nil {
		return err
	}
	// Under a grant, the lease before it is spent, whoever put it back.
	m, err := order.Lease(t.raw, state)
	if err == nil && (holds != journal.Grant || m.GetNumber() > state.HighestLease) {
		t.take(m)
		f.learn(m)
		f.loadExtra()
	} else if err := f.loadGrant(now, state, holds, exist); err != nil {
		return err
	}
	// An older lease's mark in a newer lease's place was put there.
	t.marked = t.marked && t.mark.Lease >= t.number && (!t.granted || t.mark.Lease >= state.HighestLease)
	now = f.consult(now)
	f.judge(now)
	return nil
}

func (t *trust) take(m *cutoffv1.Lease) {
	t.number = m.GetNumber()
	t.base = lease.Terms{Warn: milliseconds(m.GetWarnMs()), Seal: milliseconds(m.GetSealMs())}
	t.base.BootToll = milliseconds(m.GetBootTollMs())
	t.base.ReportOnly = m.GetOnTamper() == cutoffv1.OnTamper_ON_TAMPER_REPORT
	t.terms, t.extra = t.base, 0
	t.cutID, t.issued, t.codes, t.mirrors = m.GetCutId(), m.GetIssuedAt().AsTime(), m.GetCodes(), m.GetMirrors()
	t.renew = milliseconds(m.GetRenewMs())
	t.help, t.calls, t.call = m.GetHelp(), 0, 0
}

// learn hands on the addresses that a lease names.
func (f *Flow) learn(m *cutoffv1.Lease) {
	if f.config.Learn != nil {
		f.config.Learn(m.GetServers())
	}
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// trustAnew starts from the grant that a lift brought, as after enrolment.
func (f *Flow) trustAnew(now lease.Reading) {
	if err := f.loadTrust(now); err != nil {
		f.config.Log.Error("trust cannot be read", "err", err)
	}
	f.loop.due.ask = now.Boot
}

// knowledge is what an order or a lease is judged by.
func (f *Flow) knowledge(now lease.Reading) (order.State, error) {
	highestOrder, highestLease, err := f.config.Journal.Numbers()
	if err != nil {
		return order.State{}, err
	}
	orderKeys, leaseKeys := f.config.Keys()
	return order.State{
		DeviceID: f.config.DeviceID, OrderKeys: orderKeys, LeaseKeys: leaseKeys, Challenges: f.challenges,
		HighestOrder: highestOrder, HighestLease: highestLease,
		Now: order.Moment{Wall: now.Wall, Boot: now.Boot, BootID: now.BootID},
	}, nil
}

// judge advances the mark and asks what the lease still allows. While a cut
// stands there is nothing to expire.
func (f *Flow) judge(now lease.Reading) {
	t := &f.loop.trust
	before := t.state
	if t.marked {
		t.mark = t.mark.Advance(now, t.terms.BootToll)
	}
	switch {
	case !t.leased && !t.granted && t.number == 0:
		t.state, t.wait = lease.None, 0
	case t.number == 0 && !t.granted || !t.marked:
		t.state, t.wait = lease.Expired, 0
	default:
		t.state, t.wait = lease.Judge(t.terms, t.mark)
	}
	if t.state != before {
		f.config.Log.Info("trust changed", "from", before.String(), "to", t.state.String())
		f.keepMark(now, false)
	}
	f.warn(now)
	if t.state == lease.Expired && len(f.loop.standing) == 0 && len(f.loop.queue) == 0 && f.loop.current == nil {
		f.expire(now)
	}
}

// expire seals this device on its own account.
func (f *Flow) expire(now lease.Reading) {
	t := &f.loop.trust
	state, err := f.knowledge(now)
	if err != nil {
		f.config.Log.Error("journal cannot be read", "err", err)
		return
	}
	elapsed := time.Duration(math.MaxInt64) // without a mark nobody can say less
	if t.marked {
		elapsed = max(0, t.mark.Elapsed-t.extra)
	}
	verified, err := f.expired(state, elapsed)
	switch {
	case errors.Is(err, order.ErrNotExpired):
		return
	case err != nil:
		if !t.tamper {
			f.config.Log.Error("neither lease nor standing grant can be read: nothing is removed", "err", err)
			t.tamper, f.loop.reportNow = true, true
			f.observe(job{posture: true})
		}
		return
	}
	w, err := f.config.Journal.Begin(verified)
	if err != nil {
		f.config.Log.Error("seal at expiry not journalled", "err", err)
		return
	}
	t.tamper = false
	f.config.Log.Warn("the lease ran out: this device seals itself", "cut_id", w.CutID())
	f.tell(Notice{Kind: Sealing, Help: t.help})
	f.enqueue(w)
}

// expired asks with each copy of the standing grant.
func (f *Flow) expired(state order.State, elapsed time.Duration) (order.Verified, error) {
	if f.loop.trust.granted {
		return f.outlasted(state, elapsed)
	}
	if t := &f.loop.trust; t.marked && t.mark.Tampered() {
		if verified, err := order.Tampered(t.raw, state); err == nil {
			return verified, nil
		}
	}
	grants := append(f.config.State.Grants(), nil)
	var last error
	for _, grant := range grants {
		verified, err := order.Expired(f.loop.trust.raw, grant, state, elapsed)
		if err == nil || errors.Is(err, order.ErrNotExpired) {
			return verified, err
		}
		last = err
	}
	return order.Verified{}, last
}

// keepMark writes the high-water mark; last, when the agent was told to stop.
func (f *Flow) keepMark(now lease.Reading, last bool) {
	t := &f.loop.trust
	if !t.marked || f.loop.current != nil && f.loop.current.lift() && !f.loop.current.sweep {
		return // a lift drops the mark, which must not come back behind it
	}
	t.mark = t.mark.Advance(now, t.terms.BootToll)
	t.mark.Clean = last
	if err := f.writeMark(t.mark); err != nil {
		f.config.Log.Error("high-water mark not kept", "err", err)
	}
}

// ask asks for a lease. A device whose cut stands gets none.
func (f *Flow) ask(now lease.Reading) {
	s := &f.loop
	if len(s.standing) > 0 || s.link == nil {
		return
	}
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce) // never fails, see crypto/rand
	s.trust.nonce, s.trust.asked = nonce, now
	request := &cutoffv1.LeaseRequest{Nonce: nonce}
	if state, err := f.knowledge(now); err == nil {
		request.Held = &state.HighestLease
	}
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Lease{Lease: request}})
}

// granted takes a lease: the mark first, then the lease, then its number, so
// that a crash between any two leaves a lease that is no longer than it was
// meant to be and no unreadable one.
func (f *Flow) granted(answer *cutoffv1.LeaseAnswer) {
	s, now := &f.loop, f.config.Clock()
	f.heard()
	if answer.GetRefused() != "" {
		f.config.Log.Info("no lease", "reason", answer.GetRefused())
		f.withheld(answer, now)
		return
	}
	m, refused := f.checkLease(answer, now)
	if refused != nil {
		f.config.Log.Warn("lease refused", "err", refused)
		f.refuse("lease", refused, now)
		return
	}
	if m == nil {
		return
	}
	asked := s.trust.asked
	s.trust.nonce = nil
	mark := lease.Start(m.GetNumber(), asked, now)
	extra, err := f.carry(m)
	if err != nil {
		f.config.Log.Error("extension not carried over", "err", err)
	}
	if err := f.keepLease(answer.GetLease(), mark, m.GetNumber()); err != nil {
		f.config.Log.Error("lease not kept", "err", err)
		return
	}
	s.trust.raw, s.trust.leased, s.trust.granted = answer.GetLease(), true, false
	s.trust.tamper, s.trust.putBack = false, false
	s.trust.mark, s.trust.marked = mark, true
	s.trust.take(m)
	s.trust.runLonger(extra)
	f.learn(m)
	s.due.ask = now.Boot + spread(max(s.trust.renew, time.Second))
	if s.trust.renew == 0 {
		s.due.ask = now.Boot + spread(s.trust.terms.Warn/3)
	}
}

func (f *Flow) keepLease(envelope []byte, mark lease.Mark, number uint64) error {
	if err := f.writeMark(mark); err != nil {
		return err
	}
	if err := f.config.State.KeepLease(envelope); err != nil {
		return err
	}
	return f.config.Journal.AcceptLease(number)
}

// checkLease verifies an answer. Both results are nil for one that is merely
// late or not asked for.
func (f *Flow) checkLease(answer *cutoffv1.LeaseAnswer, now lease.Reading) (*cutoffv1.Lease, *order.Refused) {
	t := &f.loop.trust
	state, err := f.knowledge(now)
	if err != nil {
		f.config.Log.Error("journal cannot be read", "err", err)
		return nil, nil
	}
	m, err := order.NewLease(answer.GetLease(), t.nonce, state)
	var refused *order.Refused
	if errors.As(err, &refused) {
		return nil, refused
	}
	if now.Boot-t.asked.Boot > nonceTime {
		f.config.Log.Info("lease came too late", "after", (now.Boot - t.asked.Boot).String())
		return nil, nil
	}
	return m, nil
}
