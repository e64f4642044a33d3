package flow_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/order"
)

func TestAnOrderIsHandedOutUntilItsReceiptIsStored(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	if h.collect(l) != nil {
		t.Fatal("an order for a device nobody cut")
	}
	c := h.ask(admin, l.DeviceID, cut.Seal)
	first := h.collect(l)
	second := h.collect(l)
	if first.GetOrderId() != second.GetOrderId() || second.GetNumber() != first.GetNumber()+1 || first.GetEscrowRecipient() == "" {
		t.Fatalf("first %v, second %v", first, second)
	}
	h.restart(h.store)
	h.advance(90 * 24 * time.Hour)
	third := h.collect(l)
	h.received(l, third)
	if got := h.cut(c.ID); got.OrderState != order.Delivered || got.DeliveredAt.IsZero() {
		t.Fatalf("order %s", got.OrderState)
	}
	if fourth := h.collect(l); fourth == nil || fourth.GetNumber() <= third.GetNumber() {
		t.Fatalf("a journalled order without its receipt is not handed out again: %v", fourth)
	}
	// The receipt of an earlier signature is the receipt of the order.
	if refused := h.receipt(l, answerTo(second)); refused != "" {
		t.Fatal(refused)
	}
	got := h.want(c.ID, cut.Settled)
	if got.OrderState != order.Done || len(got.Items) != 2 || got.FirstRemoved != 12*time.Millisecond || h.collect(l) != nil {
		t.Errorf("got %+v", got)
	}
	if v := h.view(l.DeviceID); v.State != device.Sealed || v.CutID != c.ID {
		t.Errorf("the device is %s", v.State)
	}
	if e := h.Exposure(&got).String(); e != "none" {
		t.Errorf("exposure %s", e)
	}
}

func TestAnOrderIsNumberedAboveWhatTheDeviceHasSeen(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	if _, err := h.OnHello(t.Context(), l.peer(t), l.hello(t, 41, 0), binding); err != nil {
		t.Fatal(err)
	}
	h.ask(admin, l.DeviceID, cut.Seal)
	if o := h.collect(l); o.GetNumber() != 42 {
		t.Errorf("number %d", o.GetNumber())
	}
}

func TestAPurgeReceiptLeavesTheDevicePurged(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Purge)
	h.obey(l)
	h.want(c.ID, cut.Settled)
	if v := h.view(l.DeviceID); v.State != device.Purged {
		t.Errorf("the device is %s", v.State)
	}
}

func TestReceiptsThatAreNotTheDevicesAnswerAreRefused(t *testing.T) {
	h := newHarness(t)
	mine, other := h.enrol("a"), h.enrol("b")
	c := h.ask(admin, mine.DeviceID, cut.Seal)
	theirs := h.ask(admin, other.DeviceID, cut.Seal)
	o, foreign := h.collect(mine), h.collect(other)
	change := func(fn func(*cutoffv1.Receipt)) *cutoffv1.Receipt {
		r := answerTo(o)
		fn(r)
		return r
	}
	cases := []struct {
		name    string
		receipt *cutoffv1.Receipt
		signer  *laptop
		want    string
	}{
		{"signed by another device", answerTo(o), other, "forged"},
		{"of another device", answerTo(foreign), mine, "foreign"},
		{"for another device's cut", change(func(r *cutoffv1.Receipt) { r.CutId = theirs.ID }), mine, "foreign"},
		{"for another device's order", change(func(r *cutoffv1.Receipt) { r.OrderId = foreign.GetOrderId() }), mine, "foreign"},
		{"for no such cut", change(func(r *cutoffv1.Receipt) { r.CutId = "cut_made_up" }), mine, "foreign"},
		{"for no such order", change(func(r *cutoffv1.Receipt) { r.OrderId = "ord_made_up" }), mine, "foreign"},
		{"for another kind of order", change(func(r *cutoffv1.Receipt) { r.Kind = cutoffv1.OrderKind_ORDER_KIND_PURGE }), mine, "foreign"},
		{"without a kind", change(func(r *cutoffv1.Receipt) { r.Kind = 0 }), mine, "malformed"},
		{"without a cause", change(func(r *cutoffv1.Receipt) { r.Cause = 0 }), mine, "malformed"},
		{"an answer without a number", change(func(r *cutoffv1.Receipt) { r.OrderNumber = 0 }), mine, "malformed"},
		{"an expiry that purges", change(func(r *cutoffv1.Receipt) {
			r.Cause, r.OrderId, r.Kind = cutoffv1.Cause_CAUSE_EXPIRY, "", cutoffv1.OrderKind_ORDER_KIND_PURGE
		}), mine, "malformed"},
		{"an item without an outcome", change(func(r *cutoffv1.Receipt) { r.Items[0].Outcome = 0 }), mine, "malformed"},
		{"an item with an outcome of the future", change(func(r *cutoffv1.Receipt) { r.Items[0].Outcome = 77 }), mine, "malformed"},
		{"an item without an id", change(func(r *cutoffv1.Receipt) { r.Items[0].Id = "" }), mine, "malformed"},
		{"two items with one id", change(func(r *cutoffv1.Receipt) { r.Items[0].Id = r.Items[1].Id }), mine, "malformed"},
		{"an item with a huge word", change(func(r *cutoffv1.Receipt) { r.Items[0].Detail = strings.Repeat("x", 300) }), mine, "malformed"},
	}
	for _, x := range cases {
		ack, err := h.OnReceipt(t.Context(), mine.peer(t), x.signer.sign(t, x.receipt))
		if err != nil || !strings.HasPrefix(ack.GetRefused(), x.want) {
			t.Errorf("%s: refused as %q, %v; want %s", x.name, ack.GetRefused(), err, x.want)
		}
	}
	flipped := mine.sign(t, answerTo(o))
	flipped[len(flipped)-5] ^= 1
	for name, raw := range map[string][]byte{"garbage": []byte("not an envelope"), "nothing": nil, "a flipped bit": flipped} {
		if ack, err := h.OnReceipt(t.Context(), mine.peer(t), raw); err != nil || ack.GetRefused() == "" {
			t.Errorf("%s: got %v, %v", name, ack, err)
		}
	}
	got := h.want(c.ID, cut.Open)
	if len(got.Items) != 0 || got.OrderState != order.Drafted || h.view(mine.DeviceID).State != device.Trusted {
		t.Errorf("a refused receipt left its mark: %+v", got)
	}
	if kinds := h.recorded(mine.DeviceID); !slices.Contains(kinds, "receipt.refused") {
		t.Errorf("no refusal was recorded: %v", kinds)
	}
	if refused := h.receipt(mine, answerTo(o)); refused != "" {
		t.Errorf("the true one after all of them: %s", refused)
	}
}

func TestTheSameReceiptAgainChangesNothingAndAnotherInItsPlaceIsRefused(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	r := answerTo(o)
	for range 3 {
		if refused := h.receipt(l, r); refused != "" {
			t.Fatal(refused)
		}
	}
	stored := 0
	for _, kind := range h.recorded(l.DeviceID) {
		if kind == "receipt.stored" {
			stored++
		}
	}
	if stored != 1 {
		t.Errorf("it was stored %d times", stored)
	}
	r.Items[0].Detail = "absent"
	if refused := h.receipt(l, r); !strings.HasPrefix(refused, "replayed") {
		t.Errorf("another receipt in its place: %q", refused)
	}
	if got := h.cut(c.ID); got.Items[0].Detail != "sealed" {
		t.Errorf("item %+v", got.Items[0])
	}
}

func TestALaterPartReplacesItemsAndAnEarlierOneThatComesLateDoesNot(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	part := func(n uint32, complete bool, detail string, outcome cutoffv1.Outcome) *cutoffv1.Receipt {
		r := answerTo(o)
		r.Part, r.Complete = n, complete
		r.Items[0].Detail, r.Items[0].Outcome = detail, outcome
		return r
	}
	if refused := h.receipt(l, part(0, false, "busy", cutoffv1.Outcome_OUTCOME_RETRYING)); refused != "" {
		t.Fatal(refused)
	}
	got := h.want(c.ID, cut.Open)
	if got.OrderState != order.Partial || !got.Unfinished || h.Exposure(&got).String() != "unbounded" {
		t.Errorf("after a part: %s, exposure %s", got.OrderState, h.Exposure(&got))
	}
	if h.collect(l) != nil {
		t.Error("an answered order is handed out again")
	}
	if refused := h.receipt(l, part(2, true, "sealed", cutoffv1.Outcome_OUTCOME_VERIFIED)); refused != "" {
		t.Fatal(refused)
	}
	h.want(c.ID, cut.Settled)
	if refused := h.receipt(l, part(1, false, "locked", cutoffv1.Outcome_OUTCOME_BLOCKED)); refused != "" {
		t.Fatal(refused)
	}
	got = h.want(c.ID, cut.Settled)
	if got.Items[0].Detail != "sealed" || got.OrderState != order.Done {
		t.Errorf("item %+v, order %s", got.Items[0], got.OrderState)
	}
	if refused := h.receipt(l, part(3, false, "came back", cutoffv1.Outcome_OUTCOME_RETRYING)); refused != "" {
		t.Fatal(refused)
	}
	h.want(c.ID, cut.Open)
}

func TestARefusalKeepsTheOrderDueAndTwoMakeItWait(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	refuse := func(signer *laptop, reason string, number uint64) error {
		envelope, err := signed.Seal(signed.TypeRefusal, &cutoffv1.Refusal{
			DeviceId: l.DeviceID, What: "order", Reason: reason, CutId: c.ID, Number: number,
		}, signer.key)
		if err != nil {
			t.Fatal(err)
		}
		return h.OnRefusal(t.Context(), l.peer(t), envelope)
	}
	mustFail(t, refuse(newLaptop(t, "x"), "forged", o.GetNumber()), fault.Denied, "cannot be taken")
	if err := refuse(l, "forged", o.GetNumber()+7); err != nil || h.cut(c.ID).OrderState != order.Drafted {
		t.Fatalf("a word on another signature: order %s, %v", h.cut(c.ID).OrderState, err)
	}
	if err := refuse(l, "forged", o.GetNumber()); err != nil || h.cut(c.ID).OrderState != order.Refused {
		t.Fatalf("order %s, %v", h.cut(c.ID).OrderState, err)
	}
	if o = h.collect(l); o == nil {
		t.Fatal("after one refusal the order is not offered again")
	}
	if err := refuse(l, "stale", o.GetNumber()); err != nil || h.collect(l) != nil {
		t.Errorf("after two it is offered again at once, %v", err)
	}
	h.advance(time.Minute)
	h.obey(l)
	h.want(c.ID, cut.Settled)
}

func TestAnOrderOfAnotherDeviceCannotBeTouched(t *testing.T) {
	h := newHarness(t)
	l, other := h.enrol("a"), h.enrol("b")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	h.received(other, o)
	if got := h.cut(c.ID).OrderState; got != order.Drafted {
		t.Errorf("another device's word made it %s", got)
	}
	if _, err := h.PendingOrder(t.Context(), l.peer(t), []byte("short")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short challenge: %v", err)
	}
}

// An agent's own seal, in each state its cut can be in.
func TestAnAgentsOwnSealMovesItsCutAsTheTableSays(t *testing.T) {
	hold := func(h *harness, l *laptop) {
		h.group("vip", 1)
		if _, err := h.AssignDevice(h.t.Context(), admin, l.DeviceID, "", "vip"); err != nil {
			h.t.Fatal(err)
		}
		h.ask(admin, l.DeviceID, cut.Seal)
	}
	cases := []struct {
		name  string
		setUp func(*harness, *laptop, string)
		want  cut.State
		kind  cutoffv1.OrderKind
	}{
		{"no row", func(*harness, *laptop, string) {}, cut.Settled, 0},
		{"held", func(h *harness, l *laptop, _ string) { hold(h, l) }, cut.Settled, 0},
		{"refused", func(h *harness, l *laptop, id string) {
			hold(h, l)
			if _, err := h.Refuse(h.t.Context(), bob, id, "no"); err != nil {
				h.t.Fatal(err)
			}
		}, cut.Lifting, cutoffv1.OrderKind_ORDER_KIND_LIFT},
		{"lapsed", func(h *harness, l *laptop, _ string) {
			hold(h, l)
			h.advance(25 * time.Hour)
			if err := h.LapseHeld(h.t.Context()); err != nil {
				h.t.Fatal(err)
			}
		}, cut.Settled, 0},
		{"open, its order not delivered", func(h *harness, l *laptop, _ string) {
			h.ask(admin, l.DeviceID, cut.Seal)
		}, cut.Open, cutoffv1.OrderKind_ORDER_KIND_SEAL},
		{"settled", func(h *harness, l *laptop, _ string) {
			h.ask(admin, l.DeviceID, cut.Seal)
			h.obey(l)
		}, cut.Settled, 0},
		{"lifting", func(h *harness, l *laptop, id string) {
			h.ask(admin, l.DeviceID, cut.Seal)
			h.obey(l)
			if _, err := h.Lift(h.t.Context(), admin, id, "found"); err != nil {
				h.t.Fatal(err)
			}
		}, cut.Lifting, cutoffv1.OrderKind_ORDER_KIND_LIFT},
		{"lifted before anything was delivered", func(h *harness, l *laptop, id string) {
			h.ask(admin, l.DeviceID, cut.Seal)
			if _, err := h.Lift(h.t.Context(), admin, id, "found"); err != nil {
				h.t.Fatal(err)
			}
			h.want(id, cut.Lifted)
		}, cut.Lifting, cutoffv1.OrderKind_ORDER_KIND_LIFT},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			h := withClouds(t)
			l := h.enrol("a")
			id := h.view(l.DeviceID).ReservedCut
			x.setUp(h, l, id)
			before := 0
			if c, err := h.Cut(t.Context(), id); err == nil {
				before = len(c.Steps)
			}
			if refused := h.receipt(l, ownSeal(l, id)); refused != "" {
				t.Fatal(refused)
			}
			c := h.cut(id)
			// A cut whose steps are open does not settle; only the local half counts here.
			if c.State != x.want && (x.want != cut.Settled || c.State != cut.Open || len(c.Steps) == 0) {
				t.Errorf("the cut is %s, want %s", c.State, x.want)
			}
			if len(c.Steps) != before {
				t.Errorf("cloud steps were planned: %v", actions(c.Steps))
			}
			if len(c.Items) != 2 || h.view(l.DeviceID).State != device.Sealed || h.view(l.DeviceID).CutID != id {
				t.Errorf("%d items, device %+v", len(c.Items), h.view(l.DeviceID).Device)
			}
			o := h.collect(l)
			if o.GetKind() != x.kind {
				t.Fatalf("the device gets %v, want %v", o.GetKind(), x.kind)
			}
			if x.kind == cutoffv1.OrderKind_ORDER_KIND_LIFT && len(o.GetNextGrant()) == 0 {
				t.Error("the lift has no next grant")
			}
		})
	}
}

func TestALetThroughAfterAnOwnSealRunsTheCloudStepsAndSendsNoOrder(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	id := h.view(l.DeviceID).ReservedCut
	h.receipt(l, ownSeal(l, id))
	c := h.want(id, cut.Settled)
	if c.LetThrough || c.Cause != cut.Expiry || len(c.Steps) != 0 {
		t.Fatalf("got %+v", c)
	}
	got := h.ask(admin, l.DeviceID, cut.Seal)
	if got.ID != id || got.State != cut.Open || !got.LetThrough || len(got.Steps) != 1 || h.collect(l) != nil {
		t.Errorf("got %+v", got)
	}
	h.work(proved)
	h.want(id, cut.Settled)
}

func TestApprovingAHeldCutWhoseDeviceSealedItselfRunsItsSteps(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	h.group("vip", 1)
	if _, err := h.AssignDevice(t.Context(), admin, l.DeviceID, "", "vip"); err != nil {
		t.Fatal(err)
	}
	c := h.ask(admin, l.DeviceID, cut.Seal)
	h.receipt(l, ownSeal(l, c.ID))
	if got := h.cut(c.ID); got.LetThrough || got.PendingCase != c.CaseID || len(got.Steps) != 0 {
		t.Fatalf("got %+v", got)
	}
	if got, err := h.Approve(t.Context(), bob, c.ID, "yes"); err != nil || !got.LetThrough || len(got.Steps) != 1 || got.PendingCase != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestARestoredServerTakesTheAnswerToAnOrderItForgot(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	id := h.view(l.DeviceID).ReservedCut
	r := ownSeal(l, id)
	r.Cause, r.OrderId, r.OrderNumber = cutoffv1.Cause_CAUSE_ORDER, "ord_forgotten", 9
	if refused := h.receipt(l, r); refused != "" {
		t.Fatal(refused)
	}
	if c := h.want(id, cut.Settled); len(c.Items) != 2 || c.LetThrough {
		t.Errorf("got %+v", c)
	}
}

func TestCutsAreListedNewestFirstWithTheirExposure(t *testing.T) {
	h := newHarness(t)
	a, b := h.enrol("a"), h.enrol("b")
	first := h.ask(admin, a.DeviceID, cut.Seal)
	h.obey(a)
	h.advance(time.Second)
	second := h.ask(admin, b.DeviceID, cut.Purge)
	cuts, err := h.Cuts(t.Context(), flow.CutFilter{})
	if err != nil || len(cuts) != 2 || cuts[0].ID != second.ID || cuts[1].ID != first.ID {
		t.Fatalf("got %+v, %v", cuts, err)
	}
	if len(cuts[1].Items) != 0 || h.Exposure(&cuts[0]).String() != "unbounded" || h.Exposure(&cuts[1]).String() != "none" {
		t.Errorf("exposures %s and %s", h.Exposure(&cuts[0]), h.Exposure(&cuts[1]))
	}
}

func TestAWatcherIsToldOfChangesUntilItStops(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	changed, stop := h.Watch(c.ID)
	h.obey(l)
	select {
	case <-changed:
	default:
		t.Fatal("nothing was told")
	}
	stop()
	if _, err := h.Lift(t.Context(), admin, c.ID, "found"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("told after it stopped")
	default:
	}
}

func TestAllItemsOfALongReceiptAreKeptAndReplaced(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	r := answerTo(o)
	r.Items, r.Complete = nil, false
	for i := range 37 {
		r.Items = append(r.Items, &cutoffv1.Item{
			Id: fmt.Sprintf("it_%02d", i), Product: "aws", User: "ann", Path: fmt.Sprintf("~/%02d", i), Action: "edit",
			Outcome: cutoffv1.Outcome_OUTCOME_RETRYING, Detail: "busy", Regain: "sign-in", Confidence: "high",
			Identifiers: []*cutoffv1.Identifier{{Kind: "n", Value: strconv.Itoa(i)}},
		})
	}
	for part, outcome := range []cutoffv1.Outcome{cutoffv1.Outcome_OUTCOME_RETRYING, cutoffv1.Outcome_OUTCOME_VERIFIED} {
		r.Part, r.Complete = uint32(part), outcome == cutoffv1.Outcome_OUTCOME_VERIFIED
		for _, i := range r.GetItems() {
			i.Outcome = outcome
		}
		if refused := h.receipt(l, r); refused != "" {
			t.Fatal(refused)
		}
		got := h.cut(c.ID).Items
		if len(got) != len(r.GetItems()) {
			t.Fatalf("part %d: %d items, want %d", part, len(got), len(r.GetItems()))
		}
		for n, i := range got {
			want := r.GetItems()[n]
			if i.ID != want.GetId() || i.Path != want.GetPath() || i.Identifiers[0].Value != strconv.Itoa(n) ||
				i.Regain != "sign-in" || i.Confidence != "high" || string(i.Outcome) != map[int]string{0: "retrying", 1: "verified"}[part] {
				t.Errorf("part %d, item %d: %+v", part, n, i)
			}
		}
	}
}

func TestTheWordThatAnOrderCameRidesWithTheReceiptAndKeepsItsTime(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	came := h.Now()
	h.OnOrderReceived(l.peer(t), o.GetOrderId())
	h.advance(100 * time.Millisecond)
	if err := h.KeepReceived(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := h.cut(c.ID).OrderState; got != order.Drafted {
		t.Errorf("the word did not wait for the receipt: %s", got)
	}
	if refused := h.receipt(l, answerTo(o)); refused != "" {
		t.Fatal(refused)
	}
	if got := h.cut(c.ID); got.OrderState != order.Done || !got.DeliveredAt.Equal(came) {
		t.Errorf("order %s, delivered at %s, want %s", got.OrderState, got.DeliveredAt, came)
	}
	if slices.Contains(h.recorded(l.DeviceID), "order.delivered") {
		t.Error("a word of its own was recorded as well")
	}
}

func TestTheWordThatAnOrderCameIsKeptIfTheReceiptIsLate(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	c := h.ask(admin, l.DeviceID, cut.Seal)
	o := h.collect(l)
	came := h.Now()
	h.OnOrderReceived(l.peer(t), o.GetOrderId())
	h.advance(time.Second)
	if err := h.KeepReceived(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := h.cut(c.ID); got.OrderState != order.Delivered || !got.DeliveredAt.Equal(came) {
		t.Errorf("order %s, delivered at %s, want %s", got.OrderState, got.DeliveredAt, came)
	}
}
