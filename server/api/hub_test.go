package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// nextOrder is the next message, which must be an order.
func nextOrder(t *testing.T, opened stream) string {
	t.Helper()
	m, err := opened.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if m.GetOrder() == nil {
		t.Fatalf("got %v, want an order", m)
	}
	return string(m.GetOrder())
}

func TestAWakeDeliversTheDueOrderForTheNewestChallenge(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 'a')
	s.orders.set(d.id, "first:")
	s.hub.Wake(d.id)
	if got, want := nextOrder(t, opened), "first:"+string(challengeOf('a')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	// The challenge is spent: a second order waits for the next one.
	s.orders.set(d.id, "second:")
	s.hub.Wake(d.id)
	err := opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Challenge{
		Challenge: &cutoffv1.Challenge{Challenge: challengeOf('b')},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := nextOrder(t, opened), "second:"+string(challengeOf('b')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnOrderDueBeforeTheContactIsDeliveredAtIt(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	s.orders.set(d.id, "waiting:")
	opened := s.connect(d, 'a')
	if got, want := nextOrder(t, opened), "waiting:"+string(challengeOf('a')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnOrderWhoseHintWasLostIsFoundByTheReconciler(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 'a')
	s.orders.set(d.id, "unhinted:") // and no Wake
	if got, want := nextOrder(t, opened), "unhinted:"+string(challengeOf('a')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheNewestStreamOfADeviceWins(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	old := s.connect(d, 'a')
	young := s.connect(d, 'b')
	_, err := old.Recv()
	wantCode(t, err, codes.Canceled)
	s.orders.set(d.id, "order:")
	s.hub.Wake(d.id)
	if got, want := nextOrder(t, young), "order:"+string(challengeOf('b')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !s.hub.Connected(d.id) || s.hub.Count() != 1 {
		t.Errorf("connected %v, %d streams, want one", s.hub.Connected(d.id), s.hub.Count())
	}
}

func TestADeviceThatLeavesIsNotConnected(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 'a')
	if err := opened.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	s.until("gone", func() bool { return !s.hub.Connected(d.id) })
}

func TestADeviceIsAskedWhatACutWouldRemove(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 'a')
	go func() {
		for {
			m, err := opened.Recv()
			if err != nil {
				return
			}
			if plan := m.GetPlan(); plan != nil {
				_ = opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Plan{Plan: &cutoffv1.PlanResult{
					PlanId: plan.GetPlanId(), Items: []*cutoffv1.Item{{Id: "item", Product: "aws"}},
				}}})
			}
		}
	}()
	items, err := s.hub.PlanDevice(t.Context(), d.id)
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != 1 || items[0].GetProduct() != "aws" {
		t.Errorf("got %v, want the one item", items)
	}
	if _, err := s.hub.PlanDevice(t.Context(), "dev_absent"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a device without a stream: got %v, want Unavailable", err)
	}
}

func TestADeviceThatDoesNotAnswerAPlanIsWaitedForNoLongerThanAsked(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	s.connect(d, 'a')
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.hub.PlanDevice(ctx, d.id); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestAWakeNeverWaitsForAStreamThatIsNotRead(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	slow, quick := s.enrol("slow"), s.enrol("quick")
	s.connect(slow, 'a') // and never read again
	reader := s.connect(quick, 'a')
	// More than the stream's window holds.
	s.orders.set(slow.id, string(make([]byte, 1<<20)))
	s.hub.Wake(slow.id)
	s.until("asked for the slow one", func() bool { return <-s.orders.asked == slow.id })
	s.orders.set(quick.id, "order:")
	began := time.Now()
	s.hub.Wake(slow.id)
	s.hub.Wake(quick.id)
	if took := time.Since(began); took > time.Second {
		t.Errorf("Wake took %s", took)
	}
	if got, want := nextOrder(t, reader), "order:"+string(challengeOf('a')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestADrainTellsEveryStreamAndLetsNoneIn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 'a')
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s.hub.Drain(ctx, 10*time.Second)
	m, err := opened.Recv()
	if err != nil || m.GetDrain().GetAfterMs() != 10_000 {
		t.Errorf("got %v, %v, want a drain of 10 s", m, err)
	}
	_, err = opened.Recv()
	wantCode(t, err, codes.Canceled)

	client, binding := s.dialBound(d)
	again, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = again.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Hello{Hello: &cutoffv1.StreamHello{
		Hello: s.hello(d, <-binding), Challenge: challengeOf('b'),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = again.Recv()
	}
	wantCode(t, err, codes.Unavailable)
}

func TestAnOrderSignedInAdvanceGoesOutAtOnceAndOnlyOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	if s.hub.Challenge(d.id) != nil {
		t.Error("a device without a stream has a challenge")
	}
	opened := s.connect(d, 'a')
	s.until("idle", func() bool { return bytes.Equal(s.hub.Challenge(d.id), challengeOf('a')) })
	s.hub.Push(d.id, challengeOf('a'), []byte("signed"))
	if got := nextOrder(t, opened); got != "signed" {
		t.Errorf("got %q", got)
	}
	if s.hub.Challenge(d.id) != nil {
		t.Error("the challenge it answers is still open")
	}

	// One for a challenge that is not open any more is not sent: the stream asks
	// what is due, as soon as it can answer.
	s.orders.set(d.id, "anew:")
	s.hub.Push(d.id, challengeOf('a'), []byte("late"))
	if err := opened.Send(challengeMessage('b')); err != nil {
		t.Fatal(err)
	}
	if got, want := nextOrder(t, opened), "anew:"+string(challengeOf('b')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnOrderThatFollowsOneSignedInAdvanceIsNotForgotten(t *testing.T) {
	t.Parallel()
	t.Run("to be signed at contact", func(t *testing.T) {
		t.Parallel()
		followsOneSigned(t, func(s *stack, d *device) { s.hub.Wake(d.id) })
	})
	t.Run("signed for the same challenge", func(t *testing.T) {
		t.Parallel()
		followsOneSigned(t, func(s *stack, d *device) { s.hub.Push(d.id, challengeOf('a'), []byte("too late")) })
	})
}

func followsOneSigned(t *testing.T, follow func(*stack, *device)) {
	t.Helper()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 'a')
	s.until("idle", func() bool { return bytes.Equal(s.hub.Challenge(d.id), challengeOf('a')) })
	s.hub.Push(d.id, challengeOf('a'), []byte("signed"))
	s.orders.set(d.id, "second:")
	follow(s, d)
	if got := nextOrder(t, opened); got != "signed" {
		t.Errorf("got %q", got)
	}
	if err := opened.Send(challengeMessage('b')); err != nil {
		t.Fatal(err)
	}
	if got, want := nextOrder(t, opened), "second:"+string(challengeOf('b')); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func challengeMessage(b byte) *cutoffv1.ConnectRequest {
	return &cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Challenge{
		Challenge: &cutoffv1.Challenge{Challenge: challengeOf(b)},
	}}
}
