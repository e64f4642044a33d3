package flow

import (
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Greeting is what a hello needs of the agent's memory.
type Greeting struct {
	HighestOrder uint64
	HighestLease uint64
	BootID       string
	Challenge    []byte
	// CatalogueNumber and Catalogue name the kept catalogue; 0 is none.
	CatalogueNumber uint64
	Catalogue       string
}

// Greet draws the challenge of a new stream. It may be called from any
// goroutine.
func (f *Flow) Greet() (Greeting, error) {
	now := f.config.Clock()
	highestOrder, highestLease, err := f.config.Journal.Numbers()
	if err != nil {
		return Greeting{}, err
	}
	challenge, err := f.challenges.Draw(now.Boot)
	held, content := f.config.Scope.Held()
	return Greeting{
		HighestOrder: highestOrder, HighestLease: highestLease, BootID: now.BootID, Challenge: challenge,
		CatalogueNumber: held, Catalogue: content,
	}, err
}

// Opened tells of a stream the server has welcomed.
func (f *Flow) Opened(link Link, welcome *cutoffv1.Welcome) {
	f.do(func() { f.opened(link, welcome) })
}

// Closed tells that the stream has ended.
func (f *Flow) Closed() {
	f.do(func() { f.loop.link, f.loop.reported = nil, 0; f.quiet(f.config.Clock()) })
}

// Received hands over a message.
func (f *Flow) Received(m *cutoffv1.ConnectResponse) { f.do(func() { f.received(m) }) }

// RosterRefused reports a roster that was refused.
func (f *Flow) RosterRefused(reason string, version uint64) {
	f.do(func() {
		f.refuse("roster", &order.Refused{Reason: order.Reason(reason), Number: version}, f.config.Clock())
	})
}

// Receipts are those not acknowledged yet. It may be called from any goroutine.
func (f *Flow) Receipts() ([][]byte, error) { return f.config.Journal.Unacknowledged() }

func (f *Flow) send(m *cutoffv1.ConnectRequest) {
	if f.loop.link != nil {
		f.loop.link.Send(m)
	}
}

// minInterval bounds how often a server may want reports.
const minInterval = time.Second

func (f *Flow) opened(link Link, welcome *cutoffv1.Welcome) {
	s, now := &f.loop, f.config.Clock()
	s.link = link
	s.refusals = 0
	if ms := welcome.GetReportIntervalMs(); ms > 0 {
		s.interval = min(24*time.Hour, max(minInterval, milliseconds(ms)))
	}
	s.due.challenge = now.Boot + challengeEvery
	s.due.report = now.Boot + spread(s.interval)
	s.due.retry = 0
	s.reportNow = true
	receipts, err := f.config.Journal.Unacknowledged()
	if err != nil {
		f.config.Log.Error("kept receipts cannot be read", "err", err)
	}
	for _, envelope := range receipts {
		f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Receipt{Receipt: envelope}})
	}
	s.reported = 0
	f.reportRefusals(now)
	s.due.ask = now.Boot + askAgain
	f.ask(now)
	if len(s.facts) > 0 {
		f.report(now)
	}
	f.observe(job{posture: true})
	f.wantInventory(welcome.GetInventory(), now)
}

// wantInventory plans a scan, at most one every few minutes however often the
// server or the network comes back.
func (f *Flow) wantInventory(wanted bool, now lease.Reading) {
	s := &f.loop
	s.wants = wanted
	if !wanted {
		return
	}
	s.due.inventory = now.Boot
	if s.scanned != 0 {
		s.due.inventory = max(s.due.inventory, s.scanned+scanEvery)
	}
}

func (f *Flow) received(m *cutoffv1.ConnectResponse) {
	switch what := m.GetMessage().(type) {
	case *cutoffv1.ConnectResponse_Order:
		f.ordered(what.Order)
	case *cutoffv1.ConnectResponse_Lease:
		f.granted(what.Lease)
	case *cutoffv1.ConnectResponse_ReceiptAck:
		f.acknowledged(what.ReceiptAck)
	case *cutoffv1.ConnectResponse_Plan:
		f.planRequested(what.Plan)
	case *cutoffv1.ConnectResponse_Catalogue:
		f.rescoped(what.Catalogue)
	default:
		f.config.Log.Debug("message ignored")
	}
}

// ordered takes an order: verify, journal, and only then act.
func (f *Flow) ordered(raw []byte) {
	now := f.config.Clock()
	state, err := f.knowledge(now)
	if err != nil {
		f.config.Log.Error("journal cannot be read", "err", err)
		return
	}
	verified, err := order.Open(raw, state)
	var refused *order.Refused
	if errors.As(err, &refused) {
		f.orderRefused(refused, now)
		return
	}
	if verified.Kind() == cutoffv1.OrderKind_ORDER_KIND_UNINSTALL {
		f.loop.refusals = 0
		f.permit(verified, now)
		f.sendChallenge(now)
		return
	}
	w, err := f.config.Journal.Begin(verified)
	if err != nil {
		f.config.Log.Error("order not journalled", "order_id", verified.OrderID(), "err", err)
		return
	}
	cutID := w.CutID() // once dispatched, the warrant is the actor's
	f.enqueue(w)
	f.dispatch()
	f.loop.refusals = 0
	f.config.Log.Info("order accepted", "order_id", verified.OrderID(), "cut_id", cutID, "kind", verified.Kind().String())
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_OrderReceived{
		OrderReceived: &cutoffv1.OrderReceived{OrderId: verified.OrderID()},
	}})
	f.sendChallenge(now)
}

// orderRefused reports the refusal. The next challenge waits a little, and
// longer each time: a server that signs wrongly must not be spun with.
func (f *Flow) orderRefused(refused *order.Refused, now lease.Reading) {
	f.config.Log.Warn("order refused", "reason", string(refused.Reason), "err", refused)
	f.refuse("order", refused, now)
	f.loop.due.challenge = now.Boot + backoff(f.loop.refusals, challengeEvery)
	f.loop.refusals++
}

// refuse sends a signed Refusal.
func (f *Flow) refuse(what string, refused *order.Refused, now lease.Reading) {
	envelope, err := signed.Seal(signed.TypeRefusal, &cutoffv1.Refusal{
		DeviceId: f.config.DeviceID, What: what, Reason: string(refused.Reason), CutId: refused.CutID,
		Number: refused.Number, At: timestamppb.New(now.Wall),
	}, f.config.Key)
	if err != nil {
		f.config.Log.Error("refusal not signed", "err", err)
		return
	}
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Refusal{Refusal: envelope}})
}

func (f *Flow) sendChallenge(now lease.Reading) {
	if f.loop.link == nil {
		return
	}
	challenge, err := f.challenges.Draw(now.Boot)
	if err != nil {
		f.config.Log.Error("challenge not drawn", "err", err)
		return
	}
	f.loop.due.challenge = now.Boot + challengeEvery
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Challenge{
		Challenge: &cutoffv1.Challenge{Challenge: challenge},
	}})
}

func (f *Flow) acknowledged(ack *cutoffv1.ReceiptAck) {
	f.heard()
	if ack.GetRefused() != "" {
		f.config.Log.Warn("the server will never take this receipt", "cut_id", ack.GetCutId(), "reason", ack.GetRefused())
	}
	err := f.config.Journal.Acknowledge(ack.GetCutId(), ack.GetOrderId(), ack.GetPart())
	if err != nil && !errors.Is(err, journal.ErrUnverified) {
		f.config.Log.Error("acknowledgement not journalled", "err", err)
	}
	f.handed()
}
