package order

import (
	"bytes"
	"errors"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// ErrNotExpired says that the lease still holds.
var ErrNotExpired = errors.New("lease has not run out")

// ErrNoTrust says that neither the lease nor the standing grant can be read:
// nothing may be removed.
var ErrNoTrust = errors.New("neither lease nor standing grant can be read")

// Expired answers the warrant of a lease that has run out: elapsed is the time
// since its nonce was sent. A lease that cannot be read, or older than one
// accepted before, is an expired one; the standing grant then says under which
// cut and for which key to seal. It only seals: no agent destroys alone.
//
// Errors are ErrNotExpired or ErrNoTrust.
func Expired(lease, grant []byte, s State, elapsed time.Duration) (Verified, error) {
	l, err := Lease(lease, s)
	if err == nil {
		if elapsed < milliseconds(l.GetSealMs()) {
			return Verified{}, ErrNotExpired
		}
		return ranOut(l, s), nil
	}
	g, err := Grant(grant, s)
	if err != nil {
		return Verified{}, ErrNoTrust
	}
	return Verified{
		kind: cutoffv1.OrderKind_ORDER_KIND_SEAL, cause: cutoffv1.Cause_CAUSE_EXPIRY,
		cutID: g.GetCutId(), recipient: g.GetEscrowRecipient(), standingGrant: true,
		reason: "lease could not be read", at: s.Now,
	}, nil
}

// ranOut is the seal of a lease that was read and has ended.
func ranOut(l *cutoffv1.Lease, s State) Verified {
	return Verified{
		kind: cutoffv1.OrderKind_ORDER_KIND_SEAL, cause: cutoffv1.Cause_CAUSE_EXPIRY,
		cutID: l.GetCutId(), recipient: l.GetEscrowRecipient(), leaseNumber: l.GetNumber(),
		dropRegainable: l.GetAtExpiry() == cutoffv1.AtExpiry_AT_EXPIRY_PURGE,
		reason:         "lease ran out",
		at:             s.Now,
	}
}

// Lease verifies raw, an envelope of a lease: signed by a lease key, for this
// device, not older than one accepted before, with deadlines that make sense.
// An error is a *Refused.
func Lease(raw []byte, s State) (*cutoffv1.Lease, error) {
	m := &cutoffv1.Lease{}
	if _, err := signed.Open(raw, signed.TypeLease, s.LeaseKeys, m); err != nil {
		return nil, refuseEnvelope(err)
	}
	refused := checkLease(m, s)
	if refused != nil {
		refused.Number = m.GetNumber()
		return nil, refused
	}
	return m, nil
}

func checkLease(m *cutoffv1.Lease, s State) *Refused {
	if s.DeviceID == "" || m.GetDeviceId() != s.DeviceID {
		return refuse(Foreign, "it is for another device")
	}
	if m.GetNumber() == 0 || m.GetNumber() < s.HighestLease {
		return refuse(Replayed, "a later lease was accepted before")
	}
	if !inOrder(m) || m.GetRenewMs() < 0 || m.GetRenewMs() > m.GetSealMs() {
		return refuse(Malformed, outOfOrder)
	}
	if err := checkReserved(m.GetCutId(), m.GetEscrowRecipient()); err != nil {
		return refuse(Malformed, err.Error())
	}
	return nil
}

const outOfOrder = "its deadlines are out of order"

// deadlines are what a lease and a standing grant share.
type deadlines interface {
	GetWarnMs() int64
	GetSealMs() int64
	GetBootTollMs() int64
}

func inOrder(m deadlines) bool {
	return m.GetWarnMs() > 0 && m.GetSealMs() >= m.GetWarnMs() && m.GetSealMs() <= maxLease.Milliseconds() &&
		m.GetBootTollMs() >= 0 && m.GetBootTollMs() <= maxLease.Milliseconds()
}

// Outlasted answers the warrant of a standing grant whose own deadline passed
// before any lease came: elapsed is the time since the enrolment or the lift
// that brought it; tampered, that somebody has had a hand in the clocks. One
// that has no deadline never runs out.
//
// Errors are ErrNotExpired or ErrNoTrust.
func Outlasted(grant []byte, s State, elapsed time.Duration, tampered bool) (Verified, error) {
	g, err := Grant(grant, s)
	if err != nil {
		return Verified{}, ErrNoTrust
	}
	v := Verified{
		kind: cutoffv1.OrderKind_ORDER_KIND_SEAL, cause: cutoffv1.Cause_CAUSE_EXPIRY,
		cutID: g.GetCutId(), recipient: g.GetEscrowRecipient(),
		dropRegainable: g.GetAtExpiry() == cutoffv1.AtExpiry_AT_EXPIRY_PURGE,
		reason:         "no lease came in time", at: s.Now,
	}
	switch {
	case g.GetSealMs() == 0:
		return Verified{}, ErrNotExpired
	case tampered && g.GetOnTamper() != cutoffv1.OnTamper_ON_TAMPER_REPORT:
		v.reason = ReasonTampered
	case elapsed < milliseconds(g.GetSealMs()):
		return Verified{}, ErrNotExpired
	}
	return v, nil
}

// Grant verifies raw, an envelope of a standing grant. An error is a *Refused.
func Grant(raw []byte, s State) (*cutoffv1.StandingGrant, error) {
	m := &cutoffv1.StandingGrant{}
	if _, err := signed.Open(raw, signed.TypeGrant, s.LeaseKeys, m); err != nil {
		return nil, refuseEnvelope(err)
	}
	if s.DeviceID == "" || m.GetDeviceId() != s.DeviceID {
		return nil, refuse(Foreign, "it is for another device")
	}
	if m.GetSealMs() != 0 && !inOrder(m) {
		return nil, refuse(Malformed, outOfOrder)
	}
	if err := checkReserved(m.GetCutId(), m.GetEscrowRecipient()); err != nil {
		return nil, refuse(Malformed, err.Error())
	}
	return m, nil
}

func checkReserved(cutID, recipient string) error {
	if err := checkID("cut_id", cutID); err != nil {
		return err
	}
	return checkRecipient(recipient)
}

// maxLease bounds a lease: nobody means to trust a silent device for ten years.
const maxLease = 10 * 365 * 24 * time.Hour

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// NewLease verifies raw as Lease does, and as the answer to nonce: higher than
// any accepted and for this nonce only. An error is a *Refused.
func NewLease(raw, nonce []byte, s State) (*cutoffv1.Lease, error) {
	m, err := Lease(raw, s)
	if err != nil {
		return nil, err
	}
	refused := func(reason Reason, cause string) error {
		r := refuse(reason, cause)
		r.Number = m.GetNumber()
		return r
	}
	if m.GetNumber() <= s.HighestLease {
		return nil, refused(Replayed, "its number has been used")
	}
	if len(nonce) != challengeSize || !bytes.Equal(nonce, m.GetNonce()) {
		return nil, refused(Stale, "it does not answer the last request")
	}
	return m, nil
}
