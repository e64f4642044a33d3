package api

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode"

	"google.golang.org/grpc"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// Why a stream is ended by this side.
var (
	errReplaced = fault.New(fault.Conflict, "a newer stream of this device took over")
	errDrained  = fault.New(fault.Unavailable, "the server is going away; come back later")
	errSlow     = fault.New(fault.Limited, "the stream did not take what was sent")
)

// turn says where a session stands with the hub's deliveries.
type turn int

const (
	idle turn = iota
	queued
	running
	// runAgain: something came while it ran.
	runAgain
)

// fresh is how old a challenge may be to be signed for in advance. An agent takes
// an order within 15 minutes of drawing its challenge.
const fresh = 14 * time.Minute

// maxPlans bounds dry runs one device is asked at once.
const maxPlans = 4

// session is one agent's stream. Several goroutines send on it, one receives.
type session struct {
	peer   flow.Peer
	stream grpc.BidiStreamingServer[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]
	// ctx ends with the stream; cancel ends it from this side.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// turn belongs to the hub and is guarded by its mutex.
	turn turn
	// looking: it waits in the hub's line for a catalogue; the hub's too.
	looking bool

	mu sync.Mutex
	// challenge is the newest one not yet answered by an order, drawn at the
	// time came or just before.
	challenge []byte
	came      time.Time
	// ready is an order signed already, for the challenge it took.
	ready []byte
	// working: an order was sent and its receipt has not come. A fresh challenge
	// alone does not make the server send it again.
	working bool
	// missed: something was due while there was no challenge to answer.
	missed bool
	// held is the catalogue the device says it keeps.
	held flow.HeldCatalogue
	// asked are dry runs not sent yet; plans wait for their answers. Both are
	// nil on most streams, for ever.
	asked []*cutoffv1.PlanRequest
	plans map[string]chan *cutoffv1.PlanResult

	sending sync.Mutex
	over    bool
}

// send hands m to the stream. It waits for a slow device up to sendTime and
// then ends the stream: the device finds the same in the rows when it is back.
func (s *session) send(m *cutoffv1.ConnectResponse) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.over {
		return errDrained
	}
	watchdog := time.AfterFunc(sendTime, func() { s.end(errSlow) })
	defer watchdog.Stop()
	return s.stream.Send(m)
}

// end makes the stream's handler return with why. That is for the log: the
// agent sees its stream cancelled, for grpc answers a broken-off receive itself.
func (s *session) end(why error) { s.cancel(why) }

// close keeps later sends from touching the stream, whose handler returns.
func (s *session) close() {
	s.cancel(context.Canceled)
	s.sending.Lock()
	defer s.sending.Unlock()
	s.over = true
}

// renew replaces the challenge that the next order answers, and reports whether
// that is a reason to look for one.
func (s *session) renew(challenge []byte) (look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.challenge, s.came = challenge, time.Now()
	look = !s.working || s.missed
	s.missed = false
	return look
}

// answered notes that the device has nothing to work on any more, and reports
// whether something was due to it meanwhile.
func (s *session) answered() (look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = false
	return s.missed
}

// open is a challenge an order may be signed for in advance: one the agent will
// still take by the time it comes.
func (s *session) open() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.came) > fresh {
		return nil
	}
	return s.challenge
}

// push makes order the next thing to be sent, if the challenge it answers is
// still open. If another order took that, this one is due beside it.
func (s *session) push(challenge, order []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.challenge, challenge) {
		s.challenge, s.ready = nil, order
		return
	}
	s.missed = s.missed || s.ready != nil
}

// wanted notes that an order may be due beside the one that is ready.
func (s *session) wanted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed = s.missed || s.ready != nil
}

// take removes the challenge, or the order that took it, and what is to be
// asked. An order that was ready counts as sent.
func (s *session) take() (messages []*cutoffv1.ConnectResponse, order, challenge []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, plan := range s.asked {
		messages = append(messages, &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Plan{Plan: plan}})
	}
	s.asked = nil
	if s.ready != nil {
		order, s.ready, s.working = s.ready, nil, true
		return messages, order, nil
	}
	challenge, s.challenge = s.challenge, nil
	s.missed = challenge == nil
	return messages, nil, challenge
}

// sent notes that an order goes out.
func (s *session) sent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = true
}

// giveBack puts a challenge that no order answered back, unless the agent has
// sent a newer one.
func (s *session) giveBack(challenge []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.challenge == nil {
		s.challenge = challenge
	}
}

// ask queues a dry run for the device and returns where its answer arrives.
func (s *session) ask(plan *cutoffv1.PlanRequest) (<-chan *cutoffv1.PlanResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.plans) >= maxPlans {
		return nil, fault.New(fault.Limited, "the device is answering others already")
	}
	if s.plans == nil {
		s.plans = make(map[string]chan *cutoffv1.PlanResult)
	}
	answer := make(chan *cutoffv1.PlanResult, 1)
	s.plans[plan.GetPlanId()] = answer
	s.asked = append(s.asked, plan)
	return answer, nil
}

// forget drops a dry run nobody waits for any more.
func (s *session) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.plans, id)
	if len(s.plans) == 0 {
		s.plans = nil
	}
}

// planned passes the device's answer on to who waits for it, once.
func (s *session) planned(plan *cutoffv1.PlanResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer, ok := s.plans[plan.GetPlanId()]; ok {
		delete(s.plans, plan.GetPlanId())
		answer <- plan
	}
}

// cause is why the stream ended: what this side said, else err.
func (s *session) cause(err error) error {
	if why := context.Cause(s.ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why
	}
	return err
}

// printable makes text from a device fit for a person's terminal: one line,
// at most n characters, no control characters.
func printable(text string, n int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(clean); len(runes) > n {
		clean = string(runes[:n]) + "…"
	}
	return clean
}
