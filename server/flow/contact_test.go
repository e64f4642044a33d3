package flow_test

import (
	"slices"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/fault"
)

func TestHelloIsAnsweredWithWhatTheGroupAsks(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("hello")
	welcome, err := h.OnHello(t.Context(), l.peer(t), l.hello(t, 0, 0), binding)
	if err != nil {
		t.Fatal(err)
	}
	if welcome.ReportInterval != 5*time.Minute || !welcome.Inventory || welcome.Roster != nil {
		t.Fatalf("welcome %+v", welcome)
	}
	v := h.view(l.DeviceID)
	if !v.LastContact.Equal(h.Now()) || v.AgentVersion != "1.0.1" {
		t.Fatalf("device %+v", v.Device)
	}
	if err := h.OnInventory(t.Context(), l.peer(t), &cutoffv1.Inventory{}); err != nil {
		t.Fatal(err)
	}
	old := l.say(t, &cutoffv1.Hello{DeviceId: l.DeviceID, ChannelBinding: binding})
	welcome, err = h.OnHello(t.Context(), l.peer(t), old, binding)
	if err != nil {
		t.Fatal(err)
	}
	if welcome.Inventory || len(welcome.Roster) == 0 {
		t.Fatalf("welcome %+v after an inventory, for an agent without a roster", welcome)
	}
}

func TestHelloIsRefusedUnlessThisDeviceSignedItForThisConnection(t *testing.T) {
	h := newHarness(t)
	l, other := h.enrol("mine"), h.enrol("other")
	forged := l.hello(t, 0, 0)
	forged[len(forged)-1] ^= 1
	stranger := *other
	stranger.DeviceID = l.DeviceID
	receipt, err := signed.Seal(signed.TypeReceipt, &cutoffv1.Receipt{DeviceId: l.DeviceID}, l.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		hello   []byte
		binding []byte
	}{
		"nothing":                     {nil, binding},
		"garbage":                     {[]byte("garbage"), binding},
		"a broken signature":          {forged, binding},
		"another device's key":        {stranger.hello(t, 0, 0), binding},
		"another device's hello":      {other.hello(t, 0, 0), binding},
		"an envelope of another type": {receipt, binding},
		"another connection":          {l.hello(t, 0, 0), []byte("another connection")},
		"no connection":               {l.say(t, &cutoffv1.Hello{DeviceId: l.DeviceID}), nil},
	} {
		_, err := h.OnHello(t.Context(), l.peer(t), c.hello, c.binding)
		if !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v := h.view(l.DeviceID); !v.LastContact.IsZero() {
		t.Fatal("a refused hello counted as contact")
	}
}

func TestARestoredServerAdoptsTheNumbersADeviceReports(t *testing.T) {
	const gap = uint64(1) << 32
	for name, c := range map[string]struct {
		order, lease         uint64
		wantOrder, wantLease uint64
		rollback             bool
	}{
		"as stored":                {0, 1, 0, 1, false},
		"below":                    {0, 0, 0, 1, false},
		"above":                    {7, 9, 7, 9, false},
		"just within the gap":      {gap - 1, 1, gap - 1, 1, false},
		"an order far above":       {gap, 5, 0, 5, true},
		"a lease far above":        {3, gap + 1, 3, 1, true},
		"the highest there may be": {1<<64 - 1, 1<<64 - 1, 0, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			l := h.enrol("numbers")
			h.lease(l.peer(t)) // number 1
			if _, err := h.OnHello(t.Context(), l.peer(t), l.hello(t, c.order, c.lease), binding); err != nil {
				t.Fatal(err)
			}
			v := h.view(l.DeviceID)
			if v.OrderNumber != c.wantOrder || v.LeaseNumber != c.wantLease {
				t.Fatalf("order %d lease %d, want %d %d", v.OrderNumber, v.LeaseNumber, c.wantOrder, c.wantLease)
			}
			if got := slices.Contains(v.Facts, "rollback"); got != c.rollback {
				t.Fatalf("facts %v, want rollback %v", v.Facts, c.rollback)
			}
			lease, refused := h.lease(l.peer(t))
			if refused != "" || lease.GetNumber() != c.wantLease+1 {
				t.Fatalf("next lease %v, refused %q", lease, refused)
			}
		})
	}
}

func TestTheEndOfAStreamIsTheLastContact(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("leaving")
	h.advance(time.Minute)
	h.OnClosed(t.Context(), l.peer(t))
	if v := h.view(l.DeviceID); !v.LastContact.Equal(h.Now()) {
		t.Fatalf("last contact %s", v.LastContact)
	}
}
