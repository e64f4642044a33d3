package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// Orders is what the hub asks when a device may be due one.
type Orders interface {
	// PendingOrder answers the signed order that is due to the device, bound to
	// challenge, or nil.
	PendingOrder(ctx context.Context, peer flow.Peer, challenge []byte) ([]byte, error)
	// OrdersDue names the devices to which an order is due now.
	OrdersDue(ctx context.Context) ([]string, error)
}

const (
	// reconcileEvery is how often one query looks for orders whose hint was lost.
	reconcileEvery = 3 * time.Second
	// deliveries bounds orders being drawn up at once. They wait for a shared
	// commit, so many at once cost little more than one.
	deliveries = 192
	// orderTime bounds drawing up one order.
	orderTime = 15 * time.Second
	// sendTime bounds handing one message to a stream; a device that does not
	// read for so long is cut loose and comes back.
	sendTime = 20 * time.Second
	// planTime is how long a device has to answer what it would remove.
	planTime = 10 * time.Second
)

// Hub holds the streams of connected agents, one a device, and pushes what is
// due to them. All of it is a hint: what an agent misses it finds in the rows
// at its next contact. It holds no goroutine for an idle device.
type Hub struct {
	log *slog.Logger

	mu       sync.Mutex
	sessions map[string]*session
	// due are sessions that wait for a delivery, each at most once.
	due      []*session
	draining bool
	// signal has room for one: there is something in due.
	signal chan struct{}
	// behind are sessions whose catalogue may be old. They have a line of their
	// own, in which no order ever waits.
	behind     []*session
	behindMore chan struct{}
}

// NewHub makes a hub without streams. Run must run for Wake to have effect.
func NewHub(log *slog.Logger) *Hub {
	return &Hub{log: log, sessions: make(map[string]*session), signal: make(chan struct{}, 1), behindMore: make(chan struct{}, 1)}
}

// Wake makes the device's stream, if there is one, look for a due order. It
// never waits.
func (h *Hub) Wake(deviceID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[deviceID]; s != nil {
		s.wanted()
		h.enqueue(s)
	}
}

// Challenge is the newest challenge of the device's stream that no order
// answers yet; nil without one. It never waits.
func (h *Hub) Challenge(deviceID string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[deviceID]; s != nil {
		return s.open()
	}
	return nil
}

// Push hands the device's stream an order that was signed for challenge. If the
// stream has used that challenge, or is another one, it looks for itself. It
// never waits.
func (h *Hub) Push(deviceID string, challenge, order []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[deviceID]; s != nil {
		s.push(challenge, order)
		h.enqueue(s)
	}
}

// Connected reports whether the device has a stream here.
func (h *Hub) Connected(deviceID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[deviceID] != nil
}

// Count is how many devices have a stream here.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// enqueue marks s due; h.mu is held.
func (h *Hub) enqueue(s *session) {
	switch s.turn {
	case idle:
		s.turn = queued
		h.due = append(h.due, s)
		select {
		case h.signal <- struct{}{}:
		default:
		}
	case running:
		s.turn = runAgain
	}
}

// join makes s the device's stream; the older one, if any, is closed. It
// reports false when the server is going away.
func (h *Hub) join(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return false
	}
	if old := h.sessions[s.peer.DeviceID]; old != nil {
		old.end(errReplaced)
	}
	h.sessions[s.peer.DeviceID] = s
	h.enqueue(s)
	h.look(s)
	return true
}

// leave forgets s, unless a newer stream has its place already. It reports
// whether the device has no stream now.
func (h *Hub) leave(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.peer.DeviceID] != s {
		return false
	}
	delete(h.sessions, s.peer.DeviceID)
	return true
}

// Run delivers until ctx ends, and returns when the last delivery has ended.
func (h *Hub) Run(ctx context.Context, orders Orders) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { h.runCatalogues(ctx, orders) })
	slots := make(chan struct{}, deliveries)
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			h.reconcile(ctx, orders)
		case <-h.signal:
		}
		for {
			s := h.next()
			if s == nil {
				break
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			work.Go(func() { h.deliver(ctx, orders, s, func() { <-slots }) })
		}
	}
}

// next takes the first due session, or nil.
func (h *Hub) next() *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.due) == 0 {
		h.due = nil // let go of what a burst allocated
		return nil
	}
	s := h.due[0]
	h.due[0] = nil
	h.due = h.due[1:]
	s.turn = running
	return s
}

// reconcile wakes connected devices to which an order is due, in case a hint
// was lost. One query serves all streams.
func (h *Hub) reconcile(ctx context.Context, orders Orders) {
	if h.Count() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	ids, err := orders.OrdersDue(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.log.ErrorContext(ctx, "look for due orders", "err", err)
		}
		return
	}
	for _, id := range ids {
		h.Wake(id)
	}
}

// deliver sends what is due to s: queued requests, then an order. release gives
// up the slot once nothing but a slow stream can be waited for.
func (h *Hub) deliver(ctx context.Context, orders Orders, s *session, release func()) {
	defer h.settle(s)
	messages, order, challenge := s.take()
	var err error
	if order == nil {
		if order, err = h.draw(ctx, orders, s, challenge); order != nil {
			s.sent()
		}
	}
	release()
	if err != nil {
		s.giveBack(challenge)
		if ctx.Err() == nil {
			h.log.ErrorContext(ctx, "draw up a pending order", "device_id", s.peer.DeviceID, "err", err)
		}
		if fault.Of(err) == fault.Denied || fault.Of(err) == fault.Unauthenticated {
			s.end(err)
			return
		}
	}
	if order == nil {
		s.giveBack(challenge)
	} else {
		messages = append(messages, &cutoffv1.ConnectResponse{
			Message: &cutoffv1.ConnectResponse_Order{Order: order},
		})
	}
	for _, m := range messages {
		if err := s.send(m); err != nil {
			s.end(err)
			return
		}
	}
}

func (h *Hub) draw(ctx context.Context, orders Orders, s *session, challenge []byte) ([]byte, error) {
	if len(challenge) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	return orders.PendingOrder(ctx, s.peer, challenge)
}

// settle ends a turn: idle, or queued again if something came meanwhile.
func (h *Hub) settle(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	again := s.turn == runAgain
	s.turn = idle
	if again {
		h.enqueue(s)
	}
}

// PlanDevice asks the device what a cut would remove now and waits for its
// answer, ten seconds at most.
func (h *Hub) PlanDevice(ctx context.Context, deviceID string) ([]*cutoffv1.Item, error) {
	return h.PlanProposal(ctx, deviceID, nil)
}

// PlanProposal is PlanDevice with a proposed catalogue (an envelope) in the place
// of the one the device keeps.
func (h *Hub) PlanProposal(ctx context.Context, deviceID string, proposal []byte) ([]*cutoffv1.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	h.mu.Lock()
	s := h.sessions[deviceID]
	h.mu.Unlock()
	if s == nil {
		return nil, fault.New(fault.Unavailable, "the device is not connected")
	}
	id := rand.Text()
	answer, err := s.ask(&cutoffv1.PlanRequest{PlanId: id, Proposal: proposal})
	if err != nil {
		return nil, err
	}
	defer s.forget(id)
	h.mu.Lock()
	h.enqueue(s)
	h.mu.Unlock()
	select {
	case plan := <-answer:
		if plan.GetError() != "" {
			return nil, fault.New(fault.Unavailable, "the device answered: %s", printable(plan.GetError(), 200))
		}
		return plan.GetItems(), nil
	case <-s.ctx.Done():
		return nil, fault.New(fault.Unavailable, "the device went away before it answered")
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "the device did not answer in time")
	}
}

// Drain tells every stream that the server is going away, with a wait that
// spreads their return, and ends those that have not left when ctx ends.
func (h *Hub) Drain(ctx context.Context, after time.Duration) {
	h.mu.Lock()
	h.draining = true
	all := make([]*session, 0, len(h.sessions))
	for _, s := range h.sessions {
		all = append(all, s)
	}
	h.mu.Unlock()

	message := &cutoffv1.ConnectResponse{
		Message: &cutoffv1.ConnectResponse_Drain{Drain: &cutoffv1.Drain{AfterMs: after.Milliseconds()}},
	}
	var told sync.WaitGroup
	slots := make(chan struct{}, deliveries)
	for _, s := range all {
		slots <- struct{}{}
		told.Go(func() {
			defer func() { <-slots }()
			stop := context.AfterFunc(ctx, func() { s.end(errDrained) })
			defer stop()
			_ = s.send(message) // it goes either way
			s.end(errDrained)
		})
	}
	told.Wait()
}
