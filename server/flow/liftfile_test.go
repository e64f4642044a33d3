package flow_test

import (
	"bytes"
	"io"
	"testing"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
)

// liftRequest is what a device that sealed itself without a network asks with.
func liftRequest(t testing.TB, l *laptop, cutID string, header []byte, change func(*cutoffv1.LiftRequest)) ([]byte, *age.X25519Identity) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	r := &cutoffv1.LiftRequest{
		DeviceId: l.DeviceID, CutId: cutID, Challenge: bytes.Repeat([]byte{7}, 32), Recipient: identity.Recipient().String(),
		HighestOrder: 41, Receipts: [][]byte{l.sign(t, ownSeal(l, cutID))},
		Headers: []*cutoffv1.LiftHeader{{ItemId: "it_aws", Header: header}, {ItemId: "it_other", Header: header}},
	}
	if change != nil {
		change(r)
	}
	file, err := signed.Seal(signed.TypeLiftAsk, r, l.key)
	if err != nil {
		t.Fatal(err)
	}
	return file, identity
}

func TestALiftByFileAnswersTheDeviceThatAskedAndNobodyElse(t *testing.T) {
	h := newHarness(t)
	l, other := h.enrol("a"), h.enrol("b")
	id := h.view(l.DeviceID).ReservedCut
	recipient, err := age.ParseX25519Recipient(h.view(l.DeviceID).Recipient)
	if err != nil {
		t.Fatal(err)
	}
	sealedItem, header := sealedFile(t, recipient)
	file, identity := liftRequest(t, l, id, header, nil)

	// Another device's key under this device's name.
	forged, _ := liftRequest(t, &laptop{key: other.key, EnrollResult: l.EnrollResult}, id, header, nil)
	// A device that asks for another's cut.
	foreign, _ := liftRequest(t, other, id, header, func(r *cutoffv1.LiftRequest) { r.Receipts = nil })
	short, _ := liftRequest(t, l, id, header, func(r *cutoffv1.LiftRequest) { r.Challenge = nil })
	for what, tt := range map[string]struct {
		file []byte
		want fault.Kind
	}{
		"forged": {forged, fault.Denied}, "no request": {[]byte("x"), fault.Invalid}, "not whole": {short, fault.Invalid},
		"of an unknown cut": {foreign, fault.NotFound},
	} {
		if _, answer, err := h.LiftByFile(t.Context(), admin, id, "found", tt.file); !fault.Is(err, tt.want) || answer != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := h.LiftByFile(t.Context(), admin, "cut_other", "found", file); !fault.Is(err, fault.Conflict) {
		t.Errorf("for another cut: %v", err)
	}

	// The server had never heard of the seal: the request brings its receipt.
	c, raw, err := h.LiftByFile(t.Context(), admin, id, "the right person", file)
	if err != nil || c.State != cut.Lifting {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, answer, err := h.LiftByFile(t.Context(), admin, id, "x", foreign); !fault.Is(err, fault.NotFound) || answer != nil {
		t.Errorf("another device's request for it: %v", err)
	}
	orders, err := signed.NewKeys(h.roster().GetOrderKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	answer, o := &cutoffv1.LiftAnswer{}, &cutoffv1.Order{}
	if _, err := signed.Open(raw, signed.TypeLiftAnswer, orders, answer); err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Open(answer.GetOrder(), signed.TypeOrder, orders, o); err != nil {
		t.Fatal(err)
	}
	if o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT || o.GetNumber() <= 41 || !bytes.Equal(o.GetChallenge(), bytes.Repeat([]byte{7}, 32)) ||
		o.GetDeviceId() != l.DeviceID || len(o.GetNextGrant()) == 0 {
		t.Errorf("the order is %v", o)
	}
	keys := openKeys(t, answer.GetKeys(), identity)
	if len(keys) != 2 || len(keys[0].GetKey()) == 0 || len(keys[1].GetKey()) != 0 || keys[1].GetRefused() == "" {
		t.Fatalf("keys %v", keys)
	}
	opener, err := age.Decrypt(bytes.NewReader(sealedItem), age.NewInjectedFileKeyIdentity(keys[0].GetKey()))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(opener); err != nil || string(plain) != "aws_secret" {
		t.Errorf("opened to %q, %v", plain, err)
	}
	if bytes.Contains(raw, keys[0].GetKey()) {
		t.Error("the file carries the key in the clear")
	}
	// The device comes back and says that it is done.
	if refused := h.receipt(l, answerTo(o)); refused != "" {
		t.Fatal(refused)
	}
	h.want(id, cut.Lifted)
	if _, answer, err := h.LiftByFile(t.Context(), admin, id, "again", file); !fault.Is(err, fault.Conflict) || answer != nil {
		t.Errorf("the request again: %v", err)
	}
}

func openKeys(t testing.TB, raw []byte, identity age.Identity) []*cutoffv1.LiftKey {
	t.Helper()
	r, err := age.Decrypt(bytes.NewReader(raw), identity)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	keys := &cutoffv1.LiftKeys{}
	if err := proto.Unmarshal(plain, keys); err != nil {
		t.Fatal(err)
	}
	return keys.GetKeys()
}

// Without a network after a lift by file, the device seals itself again under
// the grant that came with it. When it is back, both are there, in order: one
// cut is over, the next stands under its own key.
func TestASealAfterALiftByFileIsTheNextCut(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	id := h.view(l.DeviceID).ReservedCut
	file, _ := liftRequest(t, l, id, nil, nil)
	_, raw, err := h.LiftByFile(t.Context(), admin, id, "the right person", file)
	if err != nil {
		t.Fatal(err)
	}
	orders, err := signed.NewKeys(h.roster().GetOrderKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	answer, o := &cutoffv1.LiftAnswer{}, &cutoffv1.Order{}
	if _, err := signed.Open(raw, signed.TypeLiftAnswer, orders, answer); err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Open(answer.GetOrder(), signed.TypeOrder, orders, o); err != nil {
		t.Fatal(err)
	}
	grant := h.openGrant(o.GetNextGrant())
	if grant.GetCutId() == id || grant.GetSealMs() <= 0 {
		t.Fatalf("the grant for next time is %v", grant)
	}
	again := ownSeal(l, grant.GetCutId())
	again.LeaseNumber = 0
	for _, r := range []*cutoffv1.Receipt{answerTo(o), again} {
		if refused := h.receipt(l, r); refused != "" {
			t.Fatal(refused)
		}
	}
	h.want(id, cut.Lifted)
	// Nothing is due: its cloud steps wait until somebody asks for the cut.
	next := h.want(grant.GetCutId(), cut.Settled)
	v := h.view(l.DeviceID)
	if v.CutID != next.ID || v.State != device.Sealed || next.Escrow == h.cut(id).Escrow {
		t.Errorf("the device is %s under %s, keys %s and %s", v.State, v.CutID, next.Escrow, h.cut(id).Escrow)
	}
	// And that one is lifted like any other, with a third key.
	if _, err := h.Lift(t.Context(), admin, next.ID, "back"); err != nil {
		t.Fatal(err)
	}
	if o := h.obey(l); o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT || h.openGrant(o.GetNextGrant()).GetEscrowRecipient() == grant.GetEscrowRecipient() {
		t.Errorf("the second lift is %v", o)
	}
	h.want(next.ID, cut.Lifted)
}
