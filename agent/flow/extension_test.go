package flow_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/flow"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/extension"
	"cutoff/proto/signed"
)

// far is a machine without a network that holds a lease of one hour to the
// warning and two to the seal, with codes.
type far struct {
	*machine
	server *server
	agent  *agent
	codes  []extension.Code
	issued time.Time
	// keys are what answers to a lift carry; spent is the lease it ran out of.
	keys  *cutoffv1.LiftKeys
	spent []byte
}

// keysFor puts keys into the next answers.
func (f *far) keysFor(names ...string) {
	for _, name := range names {
		f.keys.Keys = append(f.keys.Keys, &cutoffv1.LiftKey{ItemId: "item_" + name, Key: []byte("key")})
	}
}

func newFar(t *testing.T) *far {
	t.Helper()
	s, m := newServer(t), newMachine(t)
	f := &far{machine: m, server: s, issued: m.clock().Wall, keys: &cutoffv1.LiftKeys{}}
	salt := make([]byte, extension.SaltSize)
	s.terms.Codes, s.terms.IssuedAt = &cutoffv1.LeaseCodes{Salt: salt}, timestamppb.New(f.issued)
	for range 2 {
		var c extension.Code
		_, _ = rand.Read(c[:])
		hash, err := c.Hash(salt)
		if err != nil {
			t.Fatal(err)
		}
		f.codes = append(f.codes, c)
		s.terms.Codes.Codes = append(s.terms.Codes.Codes, &cutoffv1.LeaseCode{Hash: hash, AddMs: (24 * time.Hour).Milliseconds()})
	}
	m.enrol(s)
	f.agent = m.boot()
	s.until("a connection", connected)
	m.settled()
	s.grpc.Stop()
	var err error
	if f.spent, err = m.state.Lease(); err != nil {
		t.Fatal(err)
	}
	return f
}

// restart stops the agent and starts it again.
func (f *far) restart() {
	f.t.Helper()
	f.agent.stop()
	f.agent = f.boot()
}

// file is an extension that the server signs.
func (f *far) file(change func(*cutoffv1.Extension), key ...ed25519.PrivateKey) []byte {
	f.t.Helper()
	e := &cutoffv1.Extension{
		DeviceId: f.server.deviceID, Number: 7, CutId: f.server.cutID, AddMs: (48 * time.Hour).Milliseconds(),
		EndsAt: timestamppb.New(f.issued.Add(50 * time.Hour)), IssuedAt: timestamppb.New(f.issued),
	}
	if change != nil {
		change(e)
	}
	raw, err := signed.Seal(signed.TypeExtension, e, append(key, f.server.lease)[0])
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

func (f *far) take(file []byte) (time.Duration, error) {
	got, err := f.agent.flow.ExtendByFile(context.Background(), file)
	return got.Added, err
}

func (f *far) code(c extension.Code) (time.Duration, error) {
	got, err := f.agent.flow.ExtendByCode(context.Background(), c.String())
	return got.Added, err
}

// sealsAfter fails the test unless the device is whole just before so much of
// the lease is gone, and seals then.
func (f *far) sealsAfter(gone, total time.Duration) {
	f.t.Helper()
	f.passes(total - gone - time.Minute)
	f.eventually("trust in the last minute", func() bool { return contains([]byte(f.status()), `"trust":"warn"`) })
	if !f.has("credentials") {
		f.t.Fatal("sealed before its time")
	}
	f.passes(2 * time.Minute)
	f.eventually("the seal", func() bool { return !f.has("credentials") })
}

func TestACodeCountsOnceAndOverRestarts(t *testing.T) {
	f := newFar(t)
	if added, err := f.code(f.codes[0]); err != nil || added != 24*time.Hour {
		t.Fatalf("added %s, %v", added, err)
	}
	for range 2 {
		if added, err := f.code(f.codes[0]); !errors.Is(err, flow.ErrUsed) {
			t.Fatalf("again: added %s, %v", added, err)
		}
		f.restart()
	}
	f.sealsAfter(0, 26*time.Hour)
	if _, err := f.code(f.codes[1]); !errors.Is(err, flow.ErrSealed) {
		t.Errorf("a code after the seal: %v", err)
	}
}

func TestGuessedCodesGetSlowerOverRestartsAndBootsToo(t *testing.T) {
	f := newFar(t)
	guess := func() error {
		var c extension.Code
		_, _ = rand.Read(c[:])
		_, err := f.code(c)
		return err
	}
	if _, err := f.agent.flow.ExtendByCode(context.Background(), "0000-0000-0000-0000-1"); !errors.Is(err, extension.ErrCode) {
		t.Errorf("a mistyped code: %v", err)
	}
	for range 3 {
		if err := guess(); !errors.Is(err, flow.ErrUnknownCode) {
			t.Fatal(err)
		}
	}
	var soon *flow.TooSoon
	if err := guess(); !errors.As(err, &soon) || soon.Wait <= 0 {
		t.Fatalf("the fourth at once: %v", err)
	}
	f.restart()
	if err := guess(); !errors.As(err, &soon) {
		t.Errorf("a restart gives new tries: %v", err)
	}
	f.passes(time.Minute)
	if err := guess(); !errors.Is(err, flow.ErrUnknownCode) {
		t.Errorf("a minute later: %v", err)
	}
	f.agent.stop()
	f.reboots("boot-2", 10*time.Second)
	f.agent = f.boot()
	if err := guess(); !errors.As(err, &soon) {
		t.Errorf("a boot gives new tries: %v", err)
	}
	f.passes(2 * time.Minute)
	if added, err := f.code(f.codes[0]); err != nil || added != 24*time.Hour {
		t.Errorf("the right one then: %s, %v", added, err)
	}
}

func TestAFileIsForOneDeviceOneReservationAndOneUse(t *testing.T) {
	f := newFar(t)
	stranger := newKey(t)
	refused := func(what string, file []byte, want order.Reason) {
		t.Helper()
		var r *order.Refused
		if added, err := f.take(file); !errors.As(err, &r) || r.Reason != want || added != 0 {
			t.Errorf("%s: %s, %v; want %s", what, added, err, want)
		}
	}
	refused("forged", f.file(nil, stranger), order.Forged)
	refused("signed as an order", f.file(nil, f.server.order), order.Forged)
	refused("another device's", f.file(func(e *cutoffv1.Extension) { e.DeviceId = "dev_2" }), order.Foreign)
	refused("given before a cut", f.file(func(e *cutoffv1.Extension) { e.CutId = "cut_0" }), order.Stale)
	refused("of ten years", f.file(func(e *cutoffv1.Extension) { e.AddMs = (87600 * time.Hour).Milliseconds() }), order.Malformed)
	refused("garbage", []byte("garbage"), order.Malformed)
	file := f.file(nil)
	if added, err := f.take(file); err != nil || added != 48*time.Hour {
		t.Fatalf("added %s, %v", added, err)
	}
	f.restart()
	refused("replayed", file, order.Replayed)
	refused("an older one", f.file(func(e *cutoffv1.Extension) { e.Number = 6 }), order.Replayed)
	if _, err := f.take(f.file(func(e *cutoffv1.Extension) { e.Number = 8 })); !errors.Is(err, flow.ErrNoGain) {
		t.Errorf("one that ends when the lease does by now: %v", err)
	}

	f.server.start(f.server.address, f.server.serverCertificate("/server"))
	f.server.until("the refusals at contact", func(s *seen) bool {
		return len(s.refusalsOf("extension")) == 8
	})
}

// Whoever keeps an old file and sets the clock back gains nothing: its end is
// told by the server's clock at the grant and the time since, which never falls.
func TestAnEndedExtensionStaysEndedWhateverTheClockSays(t *testing.T) {
	f := newFar(t)
	ended := f.file(func(e *cutoffv1.Extension) { e.EndsAt = timestamppb.New(f.issued.Add(90 * time.Minute)) })
	f.passes(30 * time.Minute)
	f.mu.Lock()
	f.now.Wall = f.now.Wall.Add(-1000 * time.Hour)
	f.mu.Unlock()
	if added, err := f.take(ended); !errors.Is(err, flow.ErrNoGain) {
		t.Errorf("with the clock set back: %s, %v", added, err)
	}
	if added, err := f.take(f.file(func(e *cutoffv1.Extension) { e.EndsAt = timestamppb.New(f.issued.Add(3 * time.Hour)) })); err != nil || added != time.Hour {
		t.Errorf("one that ends in three hours added %s, %v", added, err)
	}
	f.sealsAfter(30*time.Minute, 3*time.Hour)
}

func TestWhatIsLeftOfAnExtensionGoesOnBeyondARenewedLease(t *testing.T) {
	f := newFar(t)
	if _, err := f.take(f.file(nil)); err != nil {
		t.Fatal(err)
	}
	f.passes(10 * time.Hour)
	f.server.start(f.server.address, f.server.serverCertificate("/server"))
	f.server.until("another lease", func(s *seen) bool { return len(s.nonces) > 1 })
	f.eventually("the new lease", func() bool { return contains([]byte(f.status()), `"connected":true`) })
	f.agent.stop()
	f.server.grpc.Stop()
	f.agent = f.boot()
	f.sealsAfter(10*time.Hour, 50*time.Hour)
}
