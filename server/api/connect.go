package api

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

const (
	// helloTime is how long a new stream may take to say who it is.
	helloTime = 15 * time.Second
	// closedTime bounds noting that a stream ended.
	closedTime = 10 * time.Second
	// An agent says a few things a minute; one that says more is slowed down by
	// not being read, which costs nobody else anything.
	messagesPerSecond = 20
	messageBurst      = 200
	// maxID bounds an order's id.
	maxID = 128
)

// Connect holds an agent's stream: hello first, then whatever comes, one
// message after another. What the server has to say on its own account is sent
// by the hub.
func (a *agents) Connect(
	stream grpc.BidiStreamingServer[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse],
) error {
	ctx := stream.Context()
	who, err := peerOf(ctx)
	if err != nil {
		return err
	}
	cancel, ok := ctx.Value(cancelKey{}).(context.CancelCauseFunc)
	if !ok {
		return errors.New("stream has no way to be ended")
	}
	s := &session{peer: who, stream: stream, ctx: ctx, cancel: cancel}
	defer s.close()
	if err := a.greet(s); err != nil {
		return s.cause(err)
	}
	if !a.hub.join(s) {
		return errDrained
	}
	defer a.part(s)
	return s.cause(a.listen(s))
}

// greet reads the hello, has flow verify it and answers the welcome.
func (a *agents) greet(s *session) error {
	late := time.AfterFunc(helloTime, func() {
		s.end(fault.New(fault.Invalid, "no hello within %s", helloTime))
	})
	first, err := s.stream.Recv()
	late.Stop()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return fault.New(fault.Invalid, "the first message must be a hello")
	}
	if len(hello.GetChallenge()) != challengeSize {
		return fault.New(fault.Invalid, "a challenge has %d bytes", challengeSize)
	}
	binding, err := bindingOf(s.ctx)
	if err != nil {
		return err
	}
	welcome, err := a.flow.OnHello(s.ctx, s.peer, hello.GetHello(), binding)
	if err != nil {
		return err
	}
	s.renew(hello.GetChallenge())
	if held := hello.GetCatalogue(); len(held.GetContent()) <= maxContent {
		s.keeps(held)
	}
	if len(welcome.Roster) > 0 {
		if err := s.send(rosterMessage(welcome.Roster)); err != nil {
			return err
		}
	}
	return s.send(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Welcome{
		Welcome: &cutoffv1.Welcome{
			ReportIntervalMs: welcome.ReportInterval.Milliseconds(), Inventory: welcome.Inventory,
		},
	}})
}

// part forgets the stream; when no newer one has taken its place, the device is
// out of contact.
func (a *agents) part(s *session) {
	if !a.hub.leave(s) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), closedTime)
	defer cancel()
	a.flow.OnClosed(ctx, s.peer)
}

// listen handles messages until the stream ends.
func (a *agents) listen(s *session) error {
	pace := rate.NewLimiter(messagesPerSecond, messageBurst)
	for {
		message, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := pace.Wait(s.ctx); err != nil {
			return err
		}
		if err := a.handle(s, message); err != nil {
			return err
		}
	}
}

// handle acts on one message. An error ends the stream: the agent comes back
// and finds the rows as they are. What it merely said wrong is logged and let
// pass, so that one odd report does not cost a device its stream.
func (a *agents) handle(s *session, message *cutoffv1.ConnectRequest) error {
	switch m := message.GetMessage().(type) {
	case *cutoffv1.ConnectRequest_Report:
		return a.lenient(s, "report", a.flow.OnReport(s.ctx, s.peer, m.Report))
	case *cutoffv1.ConnectRequest_Inventory:
		return a.lenient(s, "inventory", a.flow.OnInventory(s.ctx, s.peer, m.Inventory))
	case *cutoffv1.ConnectRequest_Refusal:
		return a.lenient(s, "refusal", a.flow.OnRefusal(s.ctx, s.peer, m.Refusal))
	case *cutoffv1.ConnectRequest_OrderReceived:
		return a.lenient(s, "order received", a.received(s, m.OrderReceived.GetOrderId()))
	case *cutoffv1.ConnectRequest_Lease:
		return a.lease(s, m.Lease)
	case *cutoffv1.ConnectRequest_Leaving:
		return a.lenient(s, "last word", a.leaving(s, m.Leaving))
	case *cutoffv1.ConnectRequest_Receipt:
		return a.receipt(s, m.Receipt)
	case *cutoffv1.ConnectRequest_Challenge:
		return a.challenge(s, m.Challenge.GetChallenge())
	case *cutoffv1.ConnectRequest_Catalogue:
		return a.taken(s, m.Catalogue)
	case *cutoffv1.ConnectRequest_Plan:
		s.planned(m.Plan)
		return nil
	default:
		// A hello out of place, or a message of a newer agent.
		a.log.DebugContext(s.ctx, "message ignored", "device_id", s.peer.DeviceID)
		return nil
	}
}

// lenient lets what is merely invalid or outdated pass.
func (a *agents) lenient(s *session, what string, err error) error {
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		a.log.WarnContext(s.ctx, "agent's message refused", "what", what, "device_id", s.peer.DeviceID, "err", err)
		return nil
	}
	return err
}

func (a *agents) received(s *session, orderID string) error {
	if len(orderID) > maxID {
		return fault.New(fault.Invalid, "an order's id has at most %d bytes", maxID)
	}
	a.flow.OnOrderReceived(s.peer, orderID)
	return nil
}

func (a *agents) challenge(s *session, challenge []byte) error {
	if len(challenge) != challengeSize {
		return fault.New(fault.Invalid, "a challenge has %d bytes", challengeSize)
	}
	if s.renew(challenge) {
		a.hub.Wake(s.peer.DeviceID)
	}
	return nil
}

// leaving keeps the agent's last word, and says so.
func (a *agents) leaving(s *session, envelope []byte) error {
	binding, err := bindingOf(s.ctx)
	if err != nil {
		return err
	}
	ack, err := a.flow.OnLeaving(s.ctx, s.peer, envelope, binding)
	if err != nil {
		return err
	}
	return s.send(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_LeavingAck{LeavingAck: ack}})
}

func (a *agents) lease(s *session, request *cutoffv1.LeaseRequest) error {
	nonce := request.GetNonce()
	if len(nonce) != challengeSize {
		return fault.New(fault.Invalid, "a nonce has %d bytes", challengeSize)
	}
	lease, refused, err := a.flow.GrantLease(s.ctx, s.peer, nonce, request.Held)
	if err != nil {
		return err
	}
	return s.send(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Lease{
		Lease: &cutoffv1.LeaseAnswer{Nonce: nonce, Lease: lease, Refused: refused},
	}})
}

func (a *agents) receipt(s *session, envelope []byte) error {
	ack, err := a.flow.OnReceipt(s.ctx, s.peer, envelope)
	if err != nil {
		return err
	}
	err = s.send(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_ReceiptAck{ReceiptAck: ack}})
	if err != nil {
		return err
	}
	// What the receipt made due, flow has pushed or woken the stream for.
	if s.answered() {
		a.hub.Wake(s.peer.DeviceID)
	}
	return nil
}

func rosterMessage(roster []byte) *cutoffv1.ConnectResponse {
	return &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Roster{Roster: roster}}
}
