package flow_test

import (
	"bytes"
	"slices"
	"testing"

	"filippo.io/age"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

func TestALiftOfAnUndeliveredCutSupersedesItAtOnce(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	got, err := h.Lift(t.Context(), bob, c.ID, "a mistake")
	if err != nil || got.State != cut.Lifted || got.LiftActor != "bob" || got.LiftReason != "a mistake" || got.OrderState != order.Superseded {
		t.Fatalf("got %+v, %v", got, err)
	}
	v := h.view(l.DeviceID)
	if h.collect(l) != nil || v.State != device.Trusted || v.CutID != "" || v.ReservedCut == c.ID {
		t.Errorf("device %+v", v.Device)
	}
	if lease, refused := h.lease(l.peer(t)); refused != "" || lease.GetCutId() != v.ReservedCut {
		t.Errorf("the lease is refused for %q, or names %v", refused, lease)
	}
	if next := h.ask(admin, l.DeviceID, cut.Seal); next.ID != v.ReservedCut || next.State != cut.Open {
		t.Errorf("the next cut: %+v", next)
	}
}

func TestALiftOfASealedDeviceBringsEverythingBack(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	h.obey(l)
	if got, err := h.Lift(t.Context(), admin, c.ID, "found"); err != nil || got.State != cut.Lifting {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, refused := h.lease(l.peer(t)); refused != "cut" {
		t.Errorf("lease refused for %q in the middle of a lift", refused)
	}
	o := h.collect(l)
	if o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT || o.GetCutId() != c.ID {
		t.Fatalf("the device gets %v", o)
	}
	grant := h.openGrant(o.GetNextGrant())
	v := h.view(l.DeviceID)
	if grant.GetDeviceId() != l.DeviceID || grant.GetCutId() == c.ID || grant.GetCutId() != v.ReservedCut || grant.GetEscrowRecipient() != v.Recipient {
		t.Errorf("the next grant is %v", grant)
	}
	if day := (24 * hour).Milliseconds(); grant.GetWarnMs() != 2*day || grant.GetSealMs() != 3*day {
		t.Errorf("the next grant runs out as %v", grant)
	}
	half := answerTo(o)
	half.Complete = false
	h.receipt(l, half)
	h.want(c.ID, cut.Lifting)
	rest := answerTo(o)
	rest.Part = 1
	if refused := h.receipt(l, rest); refused != "" {
		t.Fatal(refused)
	}
	got := h.want(c.ID, cut.Lifted)
	if v := h.view(l.DeviceID); v.State != device.Trusted || v.CutID != "" || got.Items[0].Detail != "restored" || got.LiftedAt.IsZero() {
		t.Errorf("device %+v, item %+v", v.Device, got.Items[0])
	}
	if again, err := h.Lift(t.Context(), admin, c.ID, "x"); err != nil || again.State != cut.Lifted || again.LiftReason != "found" {
		t.Errorf("lifting what is lifted: %+v, %v", again, err)
	}
}

func TestALiftOfAnOrderThatMayHaveArrivedIsSentToTheDevice(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	seal := h.collect(l) // signed and sent; whether it arrived nobody knows
	if _, err := h.Lift(t.Context(), admin, c.ID, "found"); err != nil {
		t.Fatal(err)
	}
	h.want(c.ID, cut.Lifting)
	// The device had carried it out: its receipt comes after the lift.
	if refused := h.receipt(l, answerTo(seal)); refused != "" {
		t.Fatal(refused)
	}
	if got := h.want(c.ID, cut.Lifting); len(got.Items) != 2 || !got.Items[0].Sealed {
		t.Errorf("items %+v", got.Items)
	}
	if o := h.obey(l); o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT || o.GetNumber() <= seal.GetNumber() {
		t.Errorf("the device got %v", o)
	}
	h.want(c.ID, cut.Lifted)
}

func TestALiftOfAPurgeLeavesTheDevicePurgedOnlyIfItWasCarriedOut(t *testing.T) {
	for _, carried := range []bool{true, false} {
		h := newHarness(t)
		l := h.enrol("a")
		c := h.ask(admin, l.DeviceID, cut.Purge)
		want := device.Trusted
		if carried {
			h.obey(l)
			want = device.Purged
		}
		if _, err := h.Lift(t.Context(), admin, c.ID, "found"); err != nil {
			t.Fatal(err)
		}
		if carried {
			h.obey(l)
		}
		h.want(c.ID, cut.Lifted)
		if v := h.view(l.DeviceID); v.State != want {
			t.Errorf("carried out %t: the device is %s", carried, v.State)
		}
	}
}

func TestACutAgainInTheMiddleOfALiftSupersedesTheLift(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	h.obey(l)
	h.work(proved)
	h.want(c.ID, cut.Settled)
	if got, err := h.Lift(t.Context(), admin, c.ID, "found"); err != nil || got.OrderKind != order.Lift {
		t.Fatalf("got %+v, %v", got, err)
	}
	again := h.ask(bob, l.DeviceID, cut.Seal)
	if again.ID != c.ID || again.State != cut.Open || again.OrderKind != order.Seal || again.Actor != "bob" || again.LiftReason != "" {
		t.Fatalf("got %+v", again)
	}
	for _, s := range again.Steps {
		if s.UndoOf != "" && s.State != revoke.Withdrawn {
			t.Errorf("an undo step stands: %+v", s)
		}
	}
	if o := h.obey(l); o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_SEAL {
		t.Errorf("the device got %v", o)
	}
	h.work(proved)
	h.want(c.ID, cut.Settled)
	if _, err := h.Lift(t.Context(), admin, c.ID, "found again"); err != nil {
		t.Fatal(err)
	}
	h.obey(l)
	h.work(proved)
	h.want(c.ID, cut.Lifted)
}

func TestALiftUndoesWhatCanBeUndoneAndWithdrawsWhatWasNotDone(t *testing.T) {
	h := withClouds(t)
	ids := h.fleet("default", 1)
	p := h.belongs("ann@example.com")
	_, cuts, err := h.Open(t.Context(), openPerson(p.ID))
	if err != nil {
		t.Fatal(err)
	}
	c := cuts[0]
	steps, err := h.ClaimSteps(t.Context(), c.ID, "idp", "w", h.Now().Add(60e9))
	if err != nil || len(steps) != 3 || steps[0].Action != "disable-user" {
		t.Fatalf("steps %v, %v", actions(steps), err)
	}
	answer := proved
	answer.Memo = map[string]string{"was": "enabled"}
	if err := h.OnStep(t.Context(), steps[0], answer); err != nil {
		t.Fatal(err)
	}
	if err := h.ReleaseSteps(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	got, err := h.Lift(t.Context(), admin, c.ID, "stays after all")
	if err != nil || got.State != cut.Lifting {
		t.Fatalf("got %+v, %v", got, err)
	}
	if have, want := actions(got.Steps), []string{"idp disable-user", "idp undo-disable-user"}; !slices.Equal(have, want) {
		t.Fatalf("steps %v, want %v", have, want)
	}
	undone := h.work(proved)
	if len(undone) != 1 || undone[0].Params["was"] != "enabled" || undone[0].UndoOf != steps[0].ID {
		t.Errorf("undone %+v", undone)
	}
	h.want(c.ID, cut.Lifted)
	_ = ids
}

func TestAWorkerThatFinishesAfterTheLiftHasItsStepUndone(t *testing.T) {
	h := withClouds(t)
	p := h.belongs("ann@example.com")
	_, cuts, err := h.Open(t.Context(), openPerson(p.ID))
	if err != nil {
		t.Fatal(err)
	}
	c := cuts[0]
	steps, err := h.ClaimSteps(t.Context(), c.ID, "idp", "w", h.Now().Add(60e9))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lift(t.Context(), admin, c.ID, "stays"); err != nil {
		t.Fatal(err)
	}
	if early := h.work(proved); len(early) != 0 {
		t.Fatalf("undone while the worker was at it: %v", actions(early))
	}
	answer := proved
	answer.Memo = map[string]string{"was": "enabled"}
	if err := h.OnStep(t.Context(), steps[0], answer); err != nil {
		t.Fatal(err)
	}
	undone := h.work(proved)
	if len(undone) != 1 || undone[0].Action != "undo-disable-user" || undone[0].Params["was"] != "enabled" {
		t.Errorf("undone %+v", undone)
	}
	h.want(c.ID, cut.Lifted)
}

func TestWhatIsNotOpenCannotBeLifted(t *testing.T) {
	h := newHarness(t)
	h.group("vip", 1)
	ids := h.fleet("vip", 1)
	c := h.ask(admin, ids[0], cut.Seal)
	_, err := h.Lift(t.Context(), admin, c.ID, "")
	mustFail(t, err, fault.Conflict, "refuse it")
	_, err = h.Lift(t.Context(), robot, c.ID, "")
	mustFail(t, err, fault.Denied, "person")
	if _, err := h.Refuse(t.Context(), admin, c.ID, ""); err != nil {
		t.Fatal(err)
	}
	_, err = h.Lift(t.Context(), admin, c.ID, "")
	mustFail(t, err, fault.Conflict, "refused")
	if _, err = h.Lift(t.Context(), admin, "cut_none", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestFileKeysAreReleasedOnlyForItemsOfThisCutAndOnlyWhileItIsLifted(t *testing.T) {
	h := newHarness(t)
	l, other := h.enrol("a"), h.enrol("b")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.obey(l)
	recipient, err := age.ParseX25519Recipient(o.GetEscrowRecipient())
	if err != nil {
		t.Fatal(err)
	}
	file, header := sealedFile(t, recipient)
	_, foreign := sealedFile(t, mustIdentity(t).Recipient())
	headers := []*cutoffv1.SealedHeader{
		{ItemId: "it_aws", Header: header}, {ItemId: "it_never_listed", Header: header},
		{ItemId: "it_ssh", Header: foreign}, {ItemId: "it_ssh", Header: []byte("garbage")},
	}
	_, err = h.Unseal(t.Context(), l.peer(t), c.ID, headers)
	mustFail(t, err, fault.Conflict, "settled")
	if _, err := h.Lift(t.Context(), admin, c.ID, "found"); err != nil {
		t.Fatal(err)
	}
	if _, err = h.Unseal(t.Context(), other.peer(t), c.ID, headers); !fault.Is(err, fault.NotFound) {
		t.Errorf("another device: %v", err)
	}
	keys, err := h.Unseal(t.Context(), l.peer(t), c.ID, headers)
	if err != nil || len(keys) != 4 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for i, k := range keys[1:] {
		if len(k.GetKey()) != 0 || k.GetRefused() == "" {
			t.Errorf("header %d was opened", i+1)
		}
	}
	reader, err := age.Decrypt(bytes.NewReader(file), age.NewInjectedFileKeyIdentity(keys[0].GetKey()))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(reader); err != nil || plain.String() != "aws_secret" {
		t.Errorf("got %q, %v", plain.String(), err)
	}
	if !slices.Contains(h.recorded(l.DeviceID), "keys.released") {
		t.Error("the release is not in the evidence")
	}
	h.obey(l)
	_, err = h.Unseal(t.Context(), l.peer(t), c.ID, headers)
	mustFail(t, err, fault.Conflict, "lifted")
}

func TestAPurgeOfASealedDeviceShredsItsKey(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.obey(l)
	recipient, err := age.ParseX25519Recipient(o.GetEscrowRecipient())
	if err != nil {
		t.Fatal(err)
	}
	_, header := sealedFile(t, recipient)
	h.ask(admin, l.DeviceID, cut.Purge)
	if _, err := h.Lift(t.Context(), admin, c.ID, "too late"); err != nil {
		t.Fatal(err)
	}
	_, err = h.Unseal(t.Context(), l.peer(t), c.ID, []*cutoffv1.SealedHeader{{ItemId: "it_aws", Header: header}})
	mustFail(t, err, fault.Conflict, "destroyed")
}

func mustIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func sealedFile(t *testing.T, r age.Recipient) (file, header []byte) {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("aws_secret")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header, err = age.ExtractHeader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), header
}

func TestALiftOfAnOwnSealReachesTheDevice(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	id := h.view(l.DeviceID).ReservedCut
	h.receipt(l, ownSeal(l, id))
	if got, err := h.Lift(t.Context(), admin, id, "it was offline"); err != nil || got.State != cut.Lifting {
		t.Fatalf("got %+v, %v", got, err)
	}
	if o := h.obey(l); o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT || len(o.GetNextGrant()) == 0 {
		t.Errorf("the device got %v", o)
	}
	h.want(id, cut.Lifted)
	if lease, refused := h.lease(l.peer(t)); refused != "" || lease.GetCutId() == id {
		t.Errorf("lease %v, refused for %q", lease, refused)
	}
}
