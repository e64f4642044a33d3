package order

import (
	"bytes"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/extension"
	"cutoff/proto/signed"
)

// mostExtension bounds what one extension adds, whoever signed it.
const mostExtension = 92 * 24 * time.Hour

// Extension verifies raw, an envelope of an extension: signed by a lease key, for
// this device and the cut id reserved for it, with a number above highest. One
// given before a cut names the id of that cut: it is stale. Whether it still adds
// anything is not asked here. An error is a *Refused.
func Extension(raw []byte, s State, cutID string, highest uint64) (*cutoffv1.Extension, error) {
	if len(raw) > extension.MaxFile {
		return nil, refuse(Malformed, "it is too long")
	}
	m := &cutoffv1.Extension{}
	if _, err := signed.Open(raw, signed.TypeExtension, s.LeaseKeys, m); err != nil {
		return nil, refuseEnvelope(err)
	}
	refused := func(reason Reason, cause string) error {
		r := refuse(reason, cause)
		r.Number = m.GetNumber()
		return r
	}
	switch {
	case s.DeviceID == "" || m.GetDeviceId() != s.DeviceID:
		return nil, refused(Foreign, "it is for another device")
	case m.GetNumber() == 0 || m.GetNumber() <= highest:
		return nil, refused(Replayed, "it, or a later one, was used before")
	case cutID == "" || m.GetCutId() != cutID:
		return nil, refused(Stale, "it was given before a cut")
	case m.GetAddMs() <= 0 || m.GetAddMs() > mostExtension.Milliseconds() || m.GetEndsAt().CheckValid() != nil:
		return nil, refused(Malformed, "its times make no sense")
	}
	return m, nil
}

// LiftAnswer is a verified answer to a lift asked for by file.
type LiftAnswer struct {
	// Order is the lift.
	Order Verified
	// Keys are encrypted to the identity that was drawn for the request.
	Keys []byte
}

// OpenLiftAnswer verifies raw, the answer to what was asked: signed by an order key,
// for this device, with a lift's order for the same cut and challenge. No other
// order comes this way. Whoever calls sees that the challenge is this device's
// and not too old. An error is a *Refused.
func OpenLiftAnswer(raw, asked []byte, s State) (LiftAnswer, error) {
	m, err := LiftKeys(raw, asked, s)
	if err != nil {
		return LiftAnswer{}, err
	}
	o := &cutoffv1.Order{}
	if _, err := signed.Open(m.GetOrder(), signed.TypeOrder, s.OrderKeys, o); err != nil {
		return LiftAnswer{}, refuseEnvelope(err)
	}
	refused := func(reason Reason, cause string) (LiftAnswer, error) {
		r := refuse(reason, cause)
		r.CutID, r.Number = m.GetCutId(), o.GetNumber()
		return LiftAnswer{}, r
	}
	if o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT {
		return refused(Malformed, "only a lift comes by file")
	}
	if o.GetCutId() != m.GetCutId() || !bytes.Equal(o.GetChallenge(), asked) {
		return refused(Malformed, "its order is about something else")
	}
	// The challenge was drawn for a file, and is spent here and nowhere else.
	s.Challenges = &Challenges{drawn: []challenge{{value: asked, boot: s.Now.Boot}}}
	v, r := open(o, s)
	if r != nil {
		return refused(r.Reason, r.cause)
	}
	return LiftAnswer{Order: v, Keys: bytes.Clone(m.GetKeys())}, nil
}

// LiftKeys verifies raw as OpenLiftAnswer does, its order left out: that one is
// journalled once, the keys are asked for until everything is back.
func LiftKeys(raw, asked []byte, s State) (*cutoffv1.LiftAnswer, error) {
	m := &cutoffv1.LiftAnswer{}
	if _, err := signed.Open(raw, signed.TypeLiftAnswer, s.OrderKeys, m); err != nil {
		return nil, refuseEnvelope(err)
	}
	switch {
	case s.DeviceID == "" || m.GetDeviceId() != s.DeviceID:
		return nil, refuse(Foreign, "it is for another device")
	case checkID("cut_id", m.GetCutId()) != nil:
		return nil, refuse(Malformed, "its cut id is none")
	case len(asked) != challengeSize || !bytes.Equal(m.GetChallenge(), asked):
		return nil, refuse(Stale, "it does not answer the last request")
	}
	return m, nil
}
