package api_test

import (
	"strings"
	"testing"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/flow"
)

// answer is a true receipt of an order.
func answer(o *cutoffv1.Order) *cutoffv1.Receipt {
	return &cutoffv1.Receipt{
		DeviceId: o.GetDeviceId(), CutId: o.GetCutId(), OrderId: o.GetOrderId(), OrderNumber: o.GetNumber(),
		Kind: o.GetKind(), Cause: cutoffv1.Cause_CAUSE_ORDER, Complete: true,
		Items: []*cutoffv1.Item{{Id: "itm_1", Product: "aws", Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: "sealed", Sealed: true}},
	}
}

// hand sends an envelope and returns why it was refused, or nothing.
func hand(t *testing.T, s stream, envelope []byte) string {
	t.Helper()
	err := s.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Receipt{Receipt: envelope}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if ack := m.GetReceiptAck(); ack != nil {
			return ack.GetRefused()
		}
	}
}

// ordered cuts the device and returns the order it would get.
func (s *stack) ordered(d *device) *cutoffv1.Order {
	s.t.Helper()
	ctx := s.t.Context()
	if _, _, err := s.flow.Open(ctx, flow.OpenRequest{
		Device: d.id, Level: cut.Seal, Cause: cut.Operator, Reason: "test", Actor: flow.LocalActor(0),
	}); err != nil {
		s.t.Fatal(err)
	}
	raw, err := s.flow.PendingOrder(ctx, flow.Peer{DeviceID: d.id}, challengeOf(1))
	if err != nil || raw == nil {
		s.t.Fatalf("no order: %v", err)
	}
	o := &cutoffv1.Order{}
	if err := signed.Peek(raw, signed.TypeOrder, o); err != nil {
		s.t.Fatal(err)
	}
	return o
}

func TestForgedForeignReplayedAndStaleReceiptsAreRefusedOverTheWire(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	mine, other := s.enrol("mine"), s.enrol("other")
	order, theirs := s.ordered(mine), s.ordered(other)
	wire := s.connect(mine, 1)
	seal := func(r *cutoffv1.Receipt, signer *device) []byte {
		raw, err := signed.Seal(signed.TypeReceipt, r, signer.key)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	true1 := answer(order)
	stale := answer(order)
	stale.OrderId, stale.OrderNumber = "ord_of_long_ago", 0
	flipped := seal(true1, mine)
	flipped[len(flipped)-3] ^= 1
	for name, raw := range map[string][]byte{
		"signed by another device":   seal(true1, other),
		"a flipped bit":              flipped,
		"another device's":           seal(answer(theirs), mine),
		"of an order never given":    seal(stale, mine),
		"an order in its place":      []byte("not a receipt"),
		"another payload's envelope": s.hello(mine, challengeOf(9)),
	} {
		if why := hand(t, wire, raw); why == "" {
			t.Errorf("%s: was accepted", name)
		}
	}
	if why := hand(t, wire, seal(true1, mine)); why != "" {
		t.Fatalf("the true one was refused: %s", why)
	}
	// The same again is acknowledged and changes nothing; another in its place
	// is a replay.
	if why := hand(t, wire, seal(true1, mine)); why != "" {
		t.Errorf("the same again: %s", why)
	}
	changed := answer(order)
	changed.Items[0].Outcome = cutoffv1.Outcome_OUTCOME_BLOCKED
	if why := hand(t, wire, seal(changed, mine)); !strings.Contains(why, "replayed") {
		t.Errorf("another in its place: refused as %q, want replayed", why)
	}
}
