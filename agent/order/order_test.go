package order_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

const device = "dev_1"

// bench holds the server's keys and one agent's knowledge.
type bench struct {
	orders, leases ed25519.PrivateKey
	state          order.State
	recipient      string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{}
	_, b.orders, _ = ed25519.GenerateKey(rand.Reader)
	_, b.leases, _ = ed25519.GenerateKey(rand.Reader)
	escrow, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b.recipient = escrow.Recipient().String()
	orders, _ := signed.NewKeys(b.orders.Public().(ed25519.PublicKey))
	leases, _ := signed.NewKeys(b.leases.Public().(ed25519.PublicKey))
	b.state = order.State{
		DeviceID: device, OrderKeys: orders, LeaseKeys: leases, Challenges: &order.Challenges{}, HighestOrder: 4,
		HighestLease: 4, Now: order.Moment{Boot: time.Hour, BootID: "boot", Wall: time.Unix(1_800_000_000, 0)},
	}
	return b
}

func (b *bench) order(t testing.TB) *cutoffv1.Order {
	t.Helper()
	challenge, err := b.state.Challenges.Draw(b.state.Now.Boot)
	if err != nil {
		t.Fatal(err)
	}
	return &cutoffv1.Order{
		OrderId: "ord_1", CutId: "cut_1", CaseId: "case_1", DeviceId: device, Number: 5, Challenge: challenge,
		Kind: cutoffv1.OrderKind_ORDER_KIND_SEAL, EscrowRecipient: b.recipient,
	}
}

func (b *bench) lease() *cutoffv1.Lease {
	return &cutoffv1.Lease{
		DeviceId: device, Number: 4, Nonce: make([]byte, 32), WarnMs: 1000, SealMs: 2000, RenewMs: 500,
		AtExpiry: cutoffv1.AtExpiry_AT_EXPIRY_SEAL, CutId: "cut_1", EscrowRecipient: b.recipient,
	}
}

func (b *bench) grant() *cutoffv1.StandingGrant {
	return &cutoffv1.StandingGrant{DeviceId: device, CutId: "cut_1", EscrowRecipient: b.recipient}
}

func seal(t testing.TB, kind string, m proto.Message, key ed25519.PrivateKey) []byte {
	t.Helper()
	raw, err := signed.Seal(kind, m, key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAnOrderForThisDeviceAndItsChallengeIsVerified(t *testing.T) {
	b := newBench(t)
	v, err := order.Open(seal(t, signed.TypeOrder, b.order(t), b.orders), b.state)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Valid() || v.Kind() != cutoffv1.OrderKind_ORDER_KIND_SEAL || v.Cause() != cutoffv1.Cause_CAUSE_ORDER ||
		v.CutID() != "cut_1" || v.CaseID() != "case_1" || v.OrderID() != "ord_1" || v.Number() != 5 ||
		v.Recipient() != b.recipient || v.At() != b.state.Now {
		t.Errorf("got %+v", v)
	}
	if (order.Verified{}).Valid() {
		t.Error("the zero value is valid")
	}
}

func TestEachWayAnOrderCanBeWrongIsRefusedByItsName(t *testing.T) {
	cases := []struct {
		name   string
		want   order.Reason
		change func(*cutoffv1.Order, *order.State)
	}{
		{"for another device", order.Foreign, func(o *cutoffv1.Order, _ *order.State) { o.DeviceId = "dev_2" }},
		{"when the agent has no id", order.Foreign, func(o *cutoffv1.Order, s *order.State) { o.DeviceId, s.DeviceID = "", "" }},
		{"with the number accepted last", order.Replayed, func(o *cutoffv1.Order, _ *order.State) { o.Number = 4 }},
		{"without a number", order.Replayed, func(o *cutoffv1.Order, _ *order.State) { o.Number = 0 }},
		{"without a kind", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.Kind = 0 }},
		{"to uninstall, with something to seal to", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.Kind = cutoffv1.OrderKind_ORDER_KIND_UNINSTALL }},
		{"of a kind from the future", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.Kind = 99 }},
		{"to seal to nobody", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.EscrowRecipient = "" }},
		{"to seal to something else", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.EscrowRecipient = "age1x" }},
		{"without a cut", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.CutId = "" }},
		{"with a path for a cut", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.CutId = "../../etc" }},
		{"with a reason of a megabyte", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.Reason = strings.Repeat("x", 1<<20) }},
		{"with a next grant that is none", order.Malformed, func(o *cutoffv1.Order, _ *order.State) { o.NextGrant = []byte("x") }},
		{"for a challenge never drawn", order.Stale, func(o *cutoffv1.Order, _ *order.State) { o.Challenge = bytes.Repeat([]byte{1}, 32) }},
		{"for no challenge", order.Stale, func(o *cutoffv1.Order, _ *order.State) { o.Challenge = nil }},
		{"for a challenge of an earlier process", order.Stale, func(_ *cutoffv1.Order, s *order.State) { s.Challenges = &order.Challenges{} }},
		{"when nothing was drawn", order.Stale, func(_ *cutoffv1.Order, s *order.State) { s.Challenges = nil }},
		{"15 minutes late", order.Stale, func(_ *cutoffv1.Order, s *order.State) { s.Now.Boot += order.Validity + 1 }},
		{"when nobody is trusted", order.Forged, func(_ *cutoffv1.Order, s *order.State) { s.OrderKeys = nil }},
		{"when only lease keys are trusted", order.Forged, func(_ *cutoffv1.Order, s *order.State) { s.OrderKeys = s.LeaseKeys }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			o := b.order(t)
			c.change(o, &b.state)
			v, err := order.Open(seal(t, signed.TypeOrder, o, b.orders), b.state)
			var refused *order.Refused
			if !errors.As(err, &refused) || refused.Reason != c.want || v.Valid() {
				t.Fatalf("got %v, valid %v; want %s", err, v.Valid(), c.want)
			}
			if strings.Contains(refused.CutID, "/") {
				t.Errorf("the refusal repeats %q", refused.CutID)
			}
		})
	}
}

func TestAChallengeAnswersOneOrder(t *testing.T) {
	b := newBench(t)
	first := b.order(t)
	second := proto.Clone(first).(*cutoffv1.Order)
	second.Number, second.OrderId = 6, "ord_2"
	if _, err := order.Open(seal(t, signed.TypeOrder, first, b.orders), b.state); err != nil {
		t.Fatal(err)
	}
	var refused *order.Refused
	if _, err := order.Open(seal(t, signed.TypeOrder, second, b.orders), b.state); !errors.As(err, &refused) || refused.Reason != order.Replayed {
		t.Errorf("got %v, want replayed", err)
	}
}

func TestARefusedOrderDoesNotSpendItsChallenge(t *testing.T) {
	b := newBench(t)
	o := b.order(t)
	bad := proto.Clone(o).(*cutoffv1.Order)
	bad.Number = 1
	if _, err := order.Open(seal(t, signed.TypeOrder, bad, b.orders), b.state); err == nil {
		t.Fatal("an old number was taken")
	}
	if _, err := order.Open(seal(t, signed.TypeOrder, o, b.orders), b.state); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestALeaseExpiresOnlyWhenElapsedTimeSaysSo(t *testing.T) {
	b := newBench(t)
	lease := seal(t, signed.TypeLease, b.lease(), b.leases)
	grant := seal(t, signed.TypeGrant, b.grant(), b.leases)
	if v, err := order.Expired(lease, grant, b.state, 2*time.Second-1); !errors.Is(err, order.ErrNotExpired) || v.Valid() {
		t.Errorf("before the deadline: %v", err)
	}
	v, err := order.Expired(lease, nil, b.state, 2*time.Second)
	if err != nil || v.Kind() != cutoffv1.OrderKind_ORDER_KIND_SEAL || v.Cause() != cutoffv1.Cause_CAUSE_EXPIRY ||
		v.LeaseNumber() != 4 || v.StandingGrant() || v.DropRegainable() || v.CutID() != "cut_1" || v.Recipient() != b.recipient {
		t.Errorf("got %+v, %v", v, err)
	}
	harder := b.lease()
	harder.AtExpiry = cutoffv1.AtExpiry_AT_EXPIRY_PURGE
	v, err = order.Expired(seal(t, signed.TypeLease, harder, b.leases), nil, b.state, time.Hour)
	if err != nil || v.Kind() != cutoffv1.OrderKind_ORDER_KIND_SEAL || !v.DropRegainable() {
		t.Errorf("a group that purges at expiry: %+v, %v; an agent alone only ever seals", v, err)
	}
}

func TestALeaseThatCannotBeReadIsAnExpiredOne(t *testing.T) {
	b := newBench(t)
	grant := seal(t, signed.TypeGrant, b.grant(), b.leases)
	old, foreign := b.lease(), b.lease()
	old.Number, old.SealMs = 3, time.Hour.Milliseconds()
	foreign.DeviceId = "dev_2"
	for name, lease := range map[string][]byte{
		"none": nil, "garbage": []byte("garbage"), "by the order key": seal(t, signed.TypeLease, b.lease(), b.orders),
		"an older one put back": seal(t, signed.TypeLease, old, b.leases),
		"another device's":      seal(t, signed.TypeLease, foreign, b.leases), "the grant": grant,
	} {
		v, err := order.Expired(lease, grant, b.state, 0)
		if err != nil || !v.StandingGrant() || v.Kind() != cutoffv1.OrderKind_ORDER_KIND_SEAL || v.CutID() != "cut_1" {
			t.Errorf("%s: got %+v, %v", name, v, err)
		}
		if v, err := order.Expired(lease, []byte("garbage"), b.state, time.Hour); !errors.Is(err, order.ErrNoTrust) || v.Valid() {
			t.Errorf("%s without a grant: got %+v, %v", name, v, err)
		}
	}
}

func TestTamperingEndsALeaseWhoseGroupDoesNotOnlyWantToHearOfIt(t *testing.T) {
	b := newBench(t)
	l := b.lease()
	v, err := order.Tampered(seal(t, signed.TypeLease, l, b.leases), b.state)
	if err != nil || !v.Valid() || v.Kind() != cutoffv1.OrderKind_ORDER_KIND_SEAL || v.LeaseNumber() != 4 || v.CutID() != "cut_1" {
		t.Errorf("got %+v, %v", v, err)
	}
	l.OnTamper = cutoffv1.OnTamper_ON_TAMPER_REPORT
	if v, err := order.Tampered(seal(t, signed.TypeLease, l, b.leases), b.state); !errors.Is(err, order.ErrNotExpired) || v.Valid() {
		t.Errorf("report only: %v", err)
	}
	if v, err := order.Tampered(seal(t, signed.TypeLease, l, b.orders), b.state); !errors.Is(err, order.ErrNoTrust) || v.Valid() {
		t.Errorf("a lease that cannot be read: %v", err)
	}
}

func TestANewLeaseMustAnswerTheNonceAndBeHigher(t *testing.T) {
	b := newBench(t)
	b.state.HighestLease = 3
	nonce := make([]byte, 32)
	good := seal(t, signed.TypeLease, b.lease(), b.leases)
	if _, err := order.NewLease(good, nonce, b.state); err != nil {
		t.Fatal(err)
	}
	b.state.HighestLease = 4
	var refused *order.Refused
	if _, err := order.NewLease(good, nonce, b.state); !errors.As(err, &refused) || refused.Reason != order.Replayed {
		t.Errorf("the same number: %v", err)
	}
	b.state.HighestLease = 3
	for _, other := range [][]byte{nil, bytes.Repeat([]byte{1}, 32)} {
		if _, err := order.NewLease(good, other, b.state); !errors.As(err, &refused) || refused.Reason != order.Stale {
			t.Errorf("another nonce: %v", err)
		}
	}
}

// FuzzOpen holds that no bytes but the ones the server signed are verified.
func FuzzOpen(f *testing.F) {
	b := newBench(f)
	good := seal(f, signed.TypeOrder, b.order(f), b.orders)
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:len(good)/2])
	for i := 0; i < len(good); i += 7 {
		changed := bytes.Clone(good)
		changed[i] ^= 0x40
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := order.Open(raw, b.state)
		var refused *order.Refused
		switch {
		case bytes.Equal(raw, good):
		case err == nil || v.Valid():
			t.Fatalf("verified %x", raw)
		case !errors.As(err, &refused):
			t.Fatalf("error %v is not a refusal", err)
		}
	})
}

// FuzzExpired holds that a lease or grant the server did not sign moves nothing
// before its time.
func FuzzExpired(f *testing.F) {
	b := newBench(f)
	lease := seal(f, signed.TypeLease, b.lease(), b.leases)
	grant := seal(f, signed.TypeGrant, b.grant(), b.leases)
	f.Add(lease, grant)
	f.Add([]byte{}, grant)
	f.Add(lease, []byte{})
	f.Add(grant, lease)
	f.Add(lease[1:], grant[1:])
	f.Fuzz(func(t *testing.T, l, g []byte) {
		v, err := order.Expired(l, g, b.state, time.Second)
		switch {
		case bytes.Equal(l, lease):
			if !errors.Is(err, order.ErrNotExpired) {
				t.Fatalf("a good lease: %v", err)
			}
		case bytes.Equal(g, grant):
			if err != nil || !v.StandingGrant() || v.CutID() != "cut_1" {
				t.Fatalf("the standing grant: %v", err)
			}
		case !errors.Is(err, order.ErrNoTrust) || v.Valid():
			t.Fatalf("moved by %x and %x: %v", l, g, err)
		}
	})
}
