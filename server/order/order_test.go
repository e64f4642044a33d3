package order_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"math"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/order"
)

func TestEveryPairOfStateAndEventMovesAsTheTableSaysOrNotAtAll(t *testing.T) {
	events := []order.Event{order.Deliver, order.Complete, order.Answer, order.Refuse, order.Supersede}
	// A row a state, a column an event; "" is a move that is not allowed.
	want := map[order.State][]order.State{
		order.None:       {"", "", "", "", ""},
		order.Drafted:    {order.Delivered, order.Done, order.Partial, order.Refused, order.Superseded},
		order.Delivered:  {order.Delivered, order.Done, order.Partial, order.Refused, order.Superseded},
		order.Refused:    {order.Delivered, order.Done, order.Partial, order.Refused, order.Superseded},
		order.Partial:    {order.Partial, order.Done, order.Partial, "", order.Superseded},
		order.Done:       {order.Done, order.Done, order.Partial, "", ""},
		order.Superseded: {order.Superseded, order.Superseded, order.Superseded, order.Superseded, ""},
	}
	for from, row := range want {
		for i, event := range events {
			got, err := order.Next(from, event)
			switch {
			case row[i] == "" && !errors.Is(err, order.ErrTransition):
				t.Errorf("%s %s: got %s, want it refused", from, event, got)
			case row[i] != "" && (err != nil || got != row[i]):
				t.Errorf("%s %s: got %s, %v; want %s", from, event, got, err, row[i])
			}
		}
	}
}

func TestAnOrderIsDueUntilItIsAnswered(t *testing.T) {
	due := map[order.State]bool{order.Drafted: true, order.Delivered: true, order.Refused: true}
	for _, s := range []order.State{
		order.None, order.Drafted, order.Delivered, order.Done, order.Partial, order.Refused, order.Superseded,
	} {
		if s.Due() != due[s] {
			t.Errorf("%s: due is %t", s, s.Due())
		}
	}
}

func TestNumbersOnlyRise(t *testing.T) {
	for _, c := range []struct{ stored, seen, want uint64 }{{0, 0, 1}, {7, 3, 8}, {3, 7, 8}} {
		if got, err := order.NextNumber(c.stored, c.seen); err != nil || got != c.want {
			t.Errorf("after %d and %d: got %d, %v, want %d", c.stored, c.seen, got, err, c.want)
		}
	}
	if _, err := order.NextNumber(math.MaxInt64, 1); !errors.Is(err, order.ErrExhausted) {
		t.Errorf("the last number was followed by one: %v", err)
	}
}

func TestASignedOrderSaysWhatTheRowSays(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := order.Order{
		ID: "ord_1", CutID: "cut_1", CaseID: "case_1", DeviceID: "dev_1", Kind: order.Purge,
		Recipient: "age1x", Reason: "lost on a train",
	}
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	challenge := make([]byte, 32)
	envelope, err := o.Sign(key, challenge, 9, at)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signed.NewKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	got := &cutoffv1.Order{}
	if _, err := signed.Open(envelope, signed.TypeOrder, keys, got); err != nil {
		t.Fatal(err)
	}
	if got.GetOrderId() != "ord_1" || got.GetCutId() != "cut_1" || got.GetCaseId() != "case_1" || got.GetDeviceId() != "dev_1" ||
		got.GetKind() != cutoffv1.OrderKind_ORDER_KIND_PURGE || got.GetNumber() != 9 || string(got.GetChallenge()) != string(challenge) ||
		got.GetReason() != "lost on a train" || !got.GetIssuedAt().AsTime().Equal(at) {
		t.Errorf("got %v", got)
	}
	if _, err := (&order.Order{Kind: "wipe"}).Sign(key, challenge, 1, at); err == nil {
		t.Error("an order of no known kind was signed")
	}
}
