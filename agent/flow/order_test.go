package flow_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

const (
	seal    = cutoffv1.OrderKind_ORDER_KIND_SEAL
	purging = cutoffv1.OrderKind_ORDER_KIND_PURGE
	lift    = cutoffv1.OrderKind_ORDER_KIND_LIFT
)

func connected(s *seen) bool { return len(s.hellos) > 0 && len(s.nonces) > 0 }

func receipts(n int) func(*seen) bool { return func(s *seen) bool { return len(s.receipts) >= n } }

func TestAnOrderIsCarriedOutAndAnsweredByASignedReceipt(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.command(seal, "cut_1")
	s.until("a receipt", receipts(1))
	r := s.seen.receipts[0]
	if r.GetCutId() != "cut_1" || r.GetOrderId() != "ord_1" || r.GetOrderNumber() != 1 || r.GetPart() != 0 ||
		r.GetKind() != seal || r.GetCause() != cutoffv1.Cause_CAUSE_ORDER || !r.GetComplete() || len(r.GetItems()) != 2 {
		t.Errorf("receipt: %v", r)
	}
	if m.has("credentials") || m.has("token") || !m.has("notes") {
		t.Error("a seal takes the secrets and only them")
	}
	s.until("the order received and a fresh challenge", func(s *seen) bool {
		return len(s.received) == 1 && s.received[0] == "ord_1" && len(s.challenges) == 2
	})
}

func TestASealIsLiftedAndTheNextGrantIsKept(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.command(seal, "cut_reserved")
	s.until("a receipt", receipts(1))
	s.until("a fresh challenge", func(s *seen) bool { return len(s.challenges) == 2 })
	// A full disk made the seal use up the room kept for it.
	if err := os.Remove(filepath.Join(string(m.state), "reserve")); err != nil {
		t.Fatal(err)
	}
	s.command(lift, "cut_reserved")
	s.until("a receipt of the lift", receipts(2))
	if _, err := os.Stat(filepath.Join(string(m.state), "reserve")); err != nil {
		t.Errorf("no room is reserved after the lift: %v", err)
	}
	if r := s.seen.receipts[1]; r.GetKind() != lift || r.GetPart() != 0 {
		t.Errorf("receipt: %v", r)
	}
	if !m.has("credentials") || !m.has("token") {
		t.Error("the secrets are not back")
	}
	s.until("a lease asked for anew", func(s *seen) bool { return len(s.nonces) >= 2 })
	for _, raw := range m.state.Grants() {
		grant := &cutoffv1.StandingGrant{}
		if err := signed.Peek(raw, signed.TypeGrant, grant); err != nil || grant.GetCutId() != "cut_next" {
			t.Errorf("grant: %v, %v", grant, err)
		}
	}
}

func TestForgedReplayedStaleAndForeignOrdersAreRefusedOverTheWire(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	refused := 0
	want := func(reason string) {
		t.Helper()
		refused++
		s.until("a refusal as "+reason, func(s *seen) bool {
			of := s.refusalsOf("order")
			return len(of) >= refused && of[refused-1].GetReason() == reason
		})
	}
	newest := func() []byte { return s.seen.challenges[len(s.seen.challenges)-1] }
	make := func(change func(*cutoffv1.Order), key any) []byte {
		s.mu.Lock()
		defer s.mu.Unlock()
		o := s.orderMessage(seal, "cut_1", newest())
		change(o)
		signer := s.order
		if key != nil {
			signer = newKey(t)
		}
		return s.seal(signed.TypeOrder, o, signer)
	}
	same := func(*cutoffv1.Order) {}

	s.pushOrder(make(same, "another key"))
	want("forged")
	tampered := make(same, nil)
	tampered = bytes.Replace(tampered, []byte("lost laptop"), []byte("lost tablet"), 1)
	s.pushOrder(tampered)
	want("forged")
	s.pushOrder([]byte("garbage"))
	want("malformed")
	s.pushOrder(make(func(o *cutoffv1.Order) { o.DeviceId = "dev_other" }, nil))
	want("foreign")
	s.pushOrder(make(func(o *cutoffv1.Order) { o.Challenge = bytes.Repeat([]byte{7}, 32) }, nil))
	want("stale")
	s.pushOrder(make(func(o *cutoffv1.Order) { o.Kind = 0 }, nil))
	want("malformed")
	old := make(same, nil)
	m.passes(16 * time.Minute)
	s.pushOrder(old)
	want("stale")
	if m.runs != 0 || !m.has("credentials") {
		t.Fatal("a refused order was carried out")
	}

	m.passes(10 * time.Minute)
	s.until("a fresh challenge", func(s *seen) bool { return len(s.challenges) >= 2 })
	good := s.command(seal, "cut_1")
	s.until("a receipt", receipts(1))
	s.pushOrder(good)
	want("replayed")
	if len(s.seen.receipts) != 1 {
		t.Error("a replayed order was answered")
	}
}

func TestTheSameCutAgainIsAnsweredAndChangesNothing(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.command(seal, "cut_1")
	s.until("a fresh challenge", func(s *seen) bool { return len(s.receipts) == 1 && len(s.challenges) == 2 })
	s.command(seal, "cut_1")
	s.until("an answer to the second order", receipts(2))
	if r := s.seen.receipts[1]; r.GetOrderId() != "ord_2" || r.GetPart() != 0 || len(r.GetItems()) != 2 {
		t.Errorf("receipt: %v", r)
	}
}

func TestAPurgeEndsASealUnderWay(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	hold := make(chan struct{})
	m.set(func() { m.hold = hold })
	m.boot()
	s.until("a connection", connected)
	s.command(seal, "cut_1")
	s.until("a fresh challenge", func(s *seen) bool { return len(s.challenges) == 2 })
	m.eventually("the seal is under way", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.runs == 1 })
	m.set(func() { m.hold = nil })
	s.command(purging, "cut_1")
	s.until("a receipt", receipts(1))
	if r := s.seen.receipts[0]; r.GetKind() != purging || r.GetOrderId() != "ord_2" {
		t.Errorf("receipt: %v", r)
	}
	if m.has("credentials") || m.has("credentials.sealed") {
		t.Error("the purge left something")
	}
}

func TestAReceiptIsSentAgainUntilItIsAcknowledged(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	s.set(func() { s.withhold = true })
	a := m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("a receipt", receipts(1))
	a.stop()
	s.set(func() { s.withhold = false })
	a = m.boot()
	s.until("the receipt again", receipts(2))
	tries := 0
	m.eventually("the acknowledgement is journalled", func() bool {
		// What the agent answers after the acknowledgement says that it has it.
		tries++
		s.push(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Plan{Plan: &cutoffv1.PlanRequest{PlanId: "p"}}})
		s.until("an answer", func(s *seen) bool { return len(s.plans) >= tries })
		a.stop()
		_, f, _, j := m.assemble()
		left, err := f.Receipts()
		_ = j.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			a = m.boot()
			s.until("one more try", receipts(2+tries))
		}
		return len(left) == 0
	})
	if a, b := s.seen.receipts[0], s.seen.receipts[1]; a.GetOrderId() != b.GetOrderId() || a.GetPart() != b.GetPart() {
		t.Errorf("got %v then %v", a, b)
	}
}

func TestAnAgentKilledInTheMiddleFinishesAfterItsRestart(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.set(func() { m.hold = make(chan struct{}) })
	a := m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("the order received", func(s *seen) bool { return len(s.received) == 1 })
	a.stop()
	if !m.has("credentials") {
		t.Fatal("it was carried out already")
	}
	m.set(func() { m.hold = nil })
	s.grpc.Stop() // no network is needed to resume
	m.boot()
	m.eventually("the secrets are gone", func() bool { return !m.has("credentials") && !m.has("token") })
	s.start(s.address, s.serverCertificate("/server"))
	s.until("the receipt", receipts(1))
}

func TestWhatComesBackIsSweptAndReportedAsALaterPart(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("a receipt", receipts(1))
	m.write("credentials")
	m.passes(61 * time.Second)
	m.eventually("the sweep", func() bool { return !m.has("credentials") })
}

func TestAnInventoryIsSentWhenTheServerWantsOneAndAPlanWhenAsked(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	s.set(func() { s.inventory = true })
	m.enrol(s)
	m.boot()
	s.until("an inventory", func(s *seen) bool { return len(s.inventory) == 1 && len(s.inventory[0].GetItems()) == 1 })
	s.push(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Plan{Plan: &cutoffv1.PlanRequest{PlanId: "p1"}}})
	s.until("a plan", func(s *seen) bool {
		return len(s.plans) == 1 && s.plans[0].GetPlanId() == "p1" && len(s.plans[0].GetItems()) == 1
	})
	if !m.has("credentials") {
		t.Error("a plan touched something")
	}
}
