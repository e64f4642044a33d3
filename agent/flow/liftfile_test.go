package flow_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"cutoff/agent/flow"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// sealedFar is a machine without a network that has sealed itself.
func sealedFar(t *testing.T) *far {
	t.Helper()
	f := newFar(t)
	f.passes(3 * time.Hour)
	f.eventually("the seal", func() bool { return !f.has("credentials") && contains([]byte(f.status()), `"cuts":["cut_reserved"]`) })
	return f
}

// ask makes a request for a lift.
func (f *far) ask() *cutoffv1.LiftRequest {
	f.t.Helper()
	return f.askFor("cut_reserved")
}

func (f *far) askFor(want string) *cutoffv1.LiftRequest {
	f.t.Helper()
	var file []byte
	f.eventually("a request", func() bool {
		cutID, made, err := f.agent.flow.RequestLift(context.Background())
		if err != nil && !errors.Is(err, flow.ErrBusy) {
			f.t.Fatal(err)
		}
		file = made
		return cutID == want
	})
	keys, err := signed.NewKeys(f.server.deviceKey)
	if err != nil {
		f.t.Fatal(err)
	}
	r := &cutoffv1.LiftRequest{}
	if _, err := signed.Open(file, signed.TypeLiftAsk, keys, r); err != nil {
		f.t.Fatal(err)
	}
	return r
}

// answerTo is what the server answers to r.
func (f *far) answerTo(r *cutoffv1.LiftRequest, kind cutoffv1.OrderKind, change func(*cutoffv1.LiftAnswer)) []byte {
	f.t.Helper()
	recipient, err := age.ParseX25519Recipient(r.GetRecipient())
	if err != nil {
		f.t.Fatal(err)
	}
	plain, err := proto.Marshal(f.keys)
	if err != nil {
		f.t.Fatal(err)
	}
	var keys bytes.Buffer
	w, err := age.Encrypt(&keys, recipient)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = w.Write(plain)
	if err = errors.Join(err, w.Close()); err != nil {
		f.t.Fatal(err)
	}
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	m := &cutoffv1.LiftAnswer{
		DeviceId: f.server.deviceID, CutId: r.GetCutId(), Challenge: r.GetChallenge(), Keys: keys.Bytes(),
		Order: f.server.orderFor(kind, r.GetCutId(), r.GetChallenge()),
	}
	if change != nil {
		change(m)
	}
	raw, err := signed.Seal(signed.TypeLiftAnswer, m, f.server.order)
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

func TestNothingButALiftOfTheCutThatWasAskedForComesByFile(t *testing.T) {
	f := sealedFar(t)
	if _, err := f.agent.flow.AnswerLift(context.Background(), []byte("x")); !errors.Is(err, flow.ErrNotAsked) {
		t.Errorf("an answer nobody asked for: %v", err)
	}
	r := f.ask()
	if len(r.GetReceipts()) != 1 {
		t.Errorf("the request carries %d receipts", len(r.GetReceipts()))
	}
	const lift = cutoffv1.OrderKind_ORDER_KIND_LIFT
	for what, tt := range map[string]struct {
		file []byte
		want order.Reason
	}{
		"a purge":                {f.answerTo(r, cutoffv1.OrderKind_ORDER_KIND_PURGE, nil), order.Malformed},
		"a seal":                 {f.answerTo(r, cutoffv1.OrderKind_ORDER_KIND_SEAL, nil), order.Malformed},
		"another device's":       {f.answerTo(r, lift, func(m *cutoffv1.LiftAnswer) { m.DeviceId = "dev_2" }), order.Foreign},
		"to another challenge":   {f.answerTo(r, lift, func(m *cutoffv1.LiftAnswer) { m.Challenge = make([]byte, 32) }), order.Stale},
		"with an order's body":   {f.answerTo(r, lift, func(m *cutoffv1.LiftAnswer) { m.CutId = "cut_2" }), order.Malformed},
		"with a forged order":    {f.answerTo(r, lift, func(m *cutoffv1.LiftAnswer) { m.Order = []byte("x") }), order.Malformed},
		"garbage, or none of it": {[]byte("x"), order.Malformed},
	} {
		var refused *order.Refused
		if _, err := f.agent.flow.AnswerLift(context.Background(), tt.file); !errors.As(err, &refused) || refused.Reason != tt.want {
			t.Errorf("%s: %v, want %s", what, err, tt.want)
		}
	}
	if f.has("credentials") {
		t.Fatal("something was lifted")
	}
	// An agent that restarts still knows what it asked.
	answer := f.answerTo(r, lift, nil)
	f.restart()
	if cutID, err := f.agent.flow.AnswerLift(context.Background(), answer); err != nil || cutID != "cut_reserved" {
		t.Fatalf("lifting %q, %v", cutID, err)
	}
}

func TestAnAnswerIsGoodForADayAndOneBoot(t *testing.T) {
	f := sealedFar(t)
	r := f.ask()
	answer := f.answerTo(r, cutoffv1.OrderKind_ORDER_KIND_LIFT, nil)
	f.passes(25 * time.Hour)
	if _, err := f.agent.flow.AnswerLift(context.Background(), answer); !errors.Is(err, flow.ErrNotAsked) {
		t.Errorf("a day later: %v", err)
	}
	answer = f.answerTo(f.ask(), cutoffv1.OrderKind_ORDER_KIND_LIFT, nil)
	f.agent.stop()
	f.reboots("boot-2", time.Minute)
	f.agent = f.boot()
	if _, err := f.agent.flow.AnswerLift(context.Background(), answer); !errors.Is(err, flow.ErrNotAsked) {
		t.Errorf("after a boot: %v", err)
	}
	later := f.ask()
	if _, err := f.agent.flow.AnswerLift(context.Background(), answer); err == nil {
		t.Error("an answer to an earlier request was taken")
	}
	if _, err := f.agent.flow.AnswerLift(context.Background(), f.answerTo(later, cutoffv1.OrderKind_ORDER_KIND_LIFT, nil)); err != nil {
		t.Error(err)
	}
}
