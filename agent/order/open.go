package order

import (
	"bytes"
	"errors"
	"fmt"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Open verifies raw, an envelope of an order, and spends the challenge it
// answers. An error is a *Refused: forged, malformed, foreign (of another
// device), replayed (a number or challenge seen before) or stale (a challenge
// too old or of an earlier process).
func Open(raw []byte, s State) (Verified, error) {
	m := &cutoffv1.Order{}
	if _, err := signed.Open(raw, signed.TypeOrder, s.OrderKeys, m); err != nil {
		return Verified{}, refuseEnvelope(err)
	}
	v, refused := open(m, s)
	if refused != nil {
		if checkID("cut_id", m.GetCutId()) == nil {
			refused.CutID = m.GetCutId()
		}
		refused.Number = m.GetNumber()
		return Verified{}, refused
	}
	return v, nil
}

func open(m *cutoffv1.Order, s State) (Verified, *Refused) {
	if s.DeviceID == "" || m.GetDeviceId() != s.DeviceID {
		return Verified{}, refuse(Foreign, "it is for another device")
	}
	if err := checkOrder(m); err != nil {
		return Verified{}, refuse(Malformed, err.Error())
	}
	if len(m.GetNextGrant()) > 0 {
		if _, err := Grant(m.GetNextGrant(), s); err != nil {
			return Verified{}, refuse(Malformed, "its next grant: "+err.Error())
		}
	}
	if m.GetNumber() <= s.HighestOrder {
		return Verified{}, refuse(Replayed, "its number has been used")
	}
	if refused := s.Challenges.use(m.GetChallenge(), s.Now.Boot); refused != nil {
		return Verified{}, refused
	}
	return Verified{
		kind: m.GetKind(), cause: cutoffv1.Cause_CAUSE_ORDER,
		cutID: m.GetCutId(), caseID: m.GetCaseId(), orderID: m.GetOrderId(), number: m.GetNumber(),
		recipient: m.GetEscrowRecipient(), reason: m.GetReason(), nextGrant: bytes.Clone(m.GetNextGrant()), at: s.Now,
	}, nil
}

// checkOrder refuses an order whose fields cannot be acted on.
func checkOrder(m *cutoffv1.Order) error {
	if err := checkID("order_id", m.GetOrderId()); err != nil {
		return err
	}
	if err := checkID("cut_id", m.GetCutId()); err != nil {
		return err
	}
	if m.GetCaseId() != "" {
		if err := checkID("case_id", m.GetCaseId()); err != nil {
			return err
		}
	}
	if len(m.GetReason()) > maxReason {
		return fmt.Errorf("reason of %d bytes", len(m.GetReason()))
	}
	switch m.GetKind() {
	case cutoffv1.OrderKind_ORDER_KIND_SEAL:
		return checkRecipient(m.GetEscrowRecipient())
	case cutoffv1.OrderKind_ORDER_KIND_UNINSTALL:
		if m.GetEscrowRecipient() != "" || len(m.GetNextGrant()) > 0 {
			return errors.New("a permission to uninstall seals nothing")
		}
		return nil
	case cutoffv1.OrderKind_ORDER_KIND_PURGE, cutoffv1.OrderKind_ORDER_KIND_LIFT:
		if m.GetEscrowRecipient() != "" {
			return checkRecipient(m.GetEscrowRecipient())
		}
		return nil
	default:
		return fmt.Errorf("order kind %d is not carried out", m.GetKind())
	}
}
