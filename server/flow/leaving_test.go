package flow_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// leaves hands in an agent's last word and returns the fact it is.
func (h *harness) leaves(l *laptop, change func(*cutoffv1.Leaving)) (string, error) {
	h.t.Helper()
	said := &cutoffv1.Leaving{DeviceId: l.DeviceID, Reason: cutoffv1.LeavingReason_LEAVING_REASON_STOPPED, ChannelBinding: binding}
	change(said)
	envelope, err := signed.Seal(signed.TypeLeaving, said, l.key)
	if err != nil {
		h.t.Fatal(err)
	}
	ack, err := h.OnLeaving(h.t.Context(), l.peer(h.t), envelope, binding)
	return ack.GetFact(), err
}

func because(r cutoffv1.LeavingReason) func(*cutoffv1.Leaving) {
	return func(m *cutoffv1.Leaving) { m.Reason = r }
}

func TestAnAgentsLastWordShortensTheDeadlineUnlessItIsOrderly(t *testing.T) {
	const (
		stopped  = cutoffv1.LeavingReason_LEAVING_REASON_STOPPED
		disabled = cutoffv1.LeavingReason_LEAVING_REASON_DISABLED
		removed  = cutoffv1.LeavingReason_LEAVING_REASON_REMOVED
		shutdown = cutoffv1.LeavingReason_LEAVING_REASON_SHUTDOWN
		restart  = cutoffv1.LeavingReason_LEAVING_REASON_RESTART
	)
	for _, c := range []struct {
		reason cutoffv1.LeavingReason
		fact   string
		after  time.Duration
	}{
		{stopped, "stopped", 4 * hour},
		{disabled, "disabled", 4 * hour},
		{removed, "removed", 4 * hour},
		{0, "stopped", 4 * hour},
		{shutdown, "", 72 * hour},
		{restart, "", 4*hour + 10*time.Minute},
	} {
		t.Run(c.reason.String(), func(t *testing.T) {
			h := newHarnessWith(t, wide)
			l := leased(t, h, "left", "default")
			fact, err := h.leaves(l, because(c.reason))
			if err != nil || fact != c.fact {
				t.Fatalf("fact %q, %v; want %q", fact, err, c.fact)
			}
			if v := h.view(l.DeviceID); (c.fact != "") != slices.Contains(v.Facts, c.fact) {
				t.Fatalf("facts %v", v.Facts)
			}
			h.pass(c.after - time.Second)
			if v := h.view(l.DeviceID); v.CutID != "" || c.fact != "" && v.Quiet.Word != "warned" {
				t.Fatalf("before its deadline: cut %q, silence %q", v.CutID, v.Quiet.Word)
			}
			h.pass(time.Second)
			cutID := h.view(l.DeviceID).CutID
			if cutID == "" {
				t.Fatal("not cut at its deadline")
			}
			// Back again: who was stopped is looked at by a person.
			h.contact(l, 0, 1)
			h.obey(l)
			h.posture(l, "good", "good")
			state := h.cut(cutID).State
			if alone := state == cut.Lifting; alone != (c.fact == "") {
				t.Errorf("back: the cut is %s", state)
			}
		})
	}
}

func TestAnAgentThatIsBackInTimeHadOnlyStopped(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "l", "default")
	if _, err := h.leaves(l, because(0)); err != nil {
		t.Fatal(err)
	}
	h.pass(hour)
	h.contact(l, 0, 1)
	h.lease(l.peer(t))
	if v := h.view(l.DeviceID); len(v.Facts) > 0 || v.Silence.LeftReason != "" {
		t.Fatalf("facts %v, left %q", v.Facts, v.Silence.LeftReason)
	}
	if kinds := h.recorded(l.DeviceID); !slices.Contains(kinds, "device.left") || !slices.Contains(kinds, "device.returned") {
		t.Errorf("evidence %v", kinds)
	}
	h.pass(71 * hour)
	if v := h.view(l.DeviceID); v.CutID != "" {
		t.Error("cut before the end of its lease")
	}
}

func TestNobodyElseTakesADevicesLeave(t *testing.T) {
	h := newHarnessWith(t, wide)
	l, other := leased(t, h, "l", "default"), leased(t, h, "other", "default")
	envelope, err := signed.Seal(signed.TypeLeaving, &cutoffv1.Leaving{DeviceId: l.DeviceID, ChannelBinding: binding}, other.key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.OnLeaving(t.Context(), l.peer(t), envelope, binding)
	mustFail(t, err, fault.Denied, "forged")
	_, err = h.leaves(l, func(m *cutoffv1.Leaving) { m.DeviceId = other.DeviceID })
	mustFail(t, err, fault.Denied, "another device's")
	_, err = h.leaves(l, func(m *cutoffv1.Leaving) { m.ChannelBinding = []byte("recorded on another connection!!") })
	mustFail(t, err, fault.Denied, "another connection")
	if v := h.view(l.DeviceID); len(v.Facts) > 0 {
		t.Errorf("facts %v", v.Facts)
	}
}

func TestAPermittedRemovalIsOrderly(t *testing.T) {
	removed := func(number uint64) func(*cutoffv1.Leaving) {
		return func(m *cutoffv1.Leaving) {
			m.Reason, m.OrderNumber = cutoffv1.LeavingReason_LEAVING_REASON_REMOVED, number
		}
	}
	h := newHarnessWith(t, wide)
	l := leased(t, h, "old", "default")
	if fact, err := h.leaves(l, removed(1)); err != nil || fact != "removed" {
		t.Fatalf("a made-up permission: fact %q, %v", fact, err)
	}
	h.contact(l, 0, 1)
	v, err := h.PermitRemoval(t.Context(), admin, "old", "replaced")
	if err != nil || v.Removal != "permitted" {
		t.Fatalf("%q, %v", v.Removal, err)
	}
	if _, err := h.PermitRemoval(t.Context(), admin, "old", "again"); err != nil {
		t.Fatal(err)
	}
	o := h.collect(l)
	if o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_UNINSTALL || o.GetCutId() == "" || o.GetReason() != "replaced" {
		t.Fatalf("order %v", o)
	}
	answer := answerTo(o)
	answer.Items = nil
	for range 2 {
		if refused := h.receipt(l, answer); refused != "" {
			t.Fatal(refused)
		}
	}
	if v := h.view(l.DeviceID); v.Removal != "confirmed" || v.State != device.Trusted || h.collect(l) != nil {
		t.Fatalf("%q, %s", v.Removal, v.State)
	}
	if fact, err := h.leaves(l, removed(o.GetNumber())); err != nil || fact != "" {
		t.Fatalf("fact %q, %v", fact, err)
	}
	if v := h.view(l.DeviceID); v.State != device.Retired || len(v.Facts) > 0 {
		t.Errorf("the device is %s, facts %v", v.State, v.Facts)
	}
	h.pass(1000 * hour)
	if cuts, err := h.Cuts(t.Context(), flow.CutFilter{}); err != nil || len(cuts) > 0 {
		t.Errorf("cuts %v, %v", cuts, err)
	}
}

func TestAConfirmedRemovalWhoseLastWordWasLostIsOrderlyToo(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "old", "default")
	if _, err := h.PermitRemoval(t.Context(), admin, "old", "replaced"); err != nil {
		t.Fatal(err)
	}
	h.obey(l)
	h.pass(72 * hour)
	if v := h.view(l.DeviceID); v.State != device.Retired || v.CutID != "" {
		t.Errorf("the device is %s under %q", v.State, v.CutID)
	}
}

func TestACutTakesThePermissionBack(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "old", "default")
	if _, err := h.PermitRemoval(t.Context(), admin, "old", "replaced"); err != nil {
		t.Fatal(err)
	}
	h.ask(bob, l.DeviceID, cut.Seal)
	if o := h.obey(l); o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_SEAL {
		t.Fatalf("order %v", o)
	}
	if o := h.collect(l); o != nil {
		t.Errorf("still permitted: %v", o)
	}
	_, err := h.PermitRemoval(t.Context(), admin, "old", "replaced")
	mustFail(t, err, fault.Conflict, "a cut stands")
	_, err = h.PermitRemoval(t.Context(), robot, "old", "")
	mustFail(t, err, fault.Denied, "only a person")
}

// Each script is what devices with one state say, in turn: "hello L boot" holds
// lease L; "ask L" asks for one, holding L. A capital letter is another holder.
func TestClonesAndRollbacksShowInWhatTheySay(t *testing.T) {
	for name, c := range map[string]struct {
		script []string
		fact   string
	}{
		"a device that renews":                     {[]string{"hello 0 a", "ask 0", "ask 1", "ask 2", "hello 3 a"}, ""},
		"answers that were lost":                   {[]string{"hello 0 a", "ask 0", "ask 0", "ask 0", "ask 3", "hello 3 a"}, ""},
		"a lost answer, then a new stream":         {[]string{"hello 0 a", "ask 0", "hello 0 a", "ask 0", "hello 2 b"}, ""},
		"reboots":                                  {[]string{"hello 0 a", "hello 0 b", "hello 0 c", "hello 0 c"}, ""},
		"a state that was put back":                {[]string{"hello 0 a", "ask 0", "ask 1", "hello 2 a", "hello 1 b"}, "rollback"},
		"put back between two requests":            {[]string{"hello 0 a", "ask 0", "ask 1", "ask 2", "ask 1"}, "rollback"},
		"a state that was deleted":                 {[]string{"hello 0 a", "ask 0", "ask 1", "hello 0 b"}, "rollback"},
		"two ask in turn":                          {[]string{"hello 0 a", "ask 0", "ask 1", "ask 1", "ask 2"}, "clone"},
		"two machines connect in turn":             {[]string{"hello 0 a", "hello 0 b", "hello 0 a"}, "clone"},
		"a server whose rows are older (restored)": {[]string{"hello 0 a", "hello 40 a", "ask 40", "ask 41"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarnessWith(t, wide)
			l := h.enrol("l")
			nonce := make([]byte, 32)
			for _, step := range c.script {
				var verb, boot string
				var held uint64
				_, _ = fmt.Sscan(step, &verb, &held, &boot)
				if verb == "ask" {
					if _, _, err := h.GrantLease(t.Context(), l.peer(t), nonce, &held); err != nil {
						t.Fatal(err)
					}
					continue
				}
				hello := l.say(t, &cutoffv1.Hello{DeviceId: l.DeviceID, HighestLease: held, BootId: boot, ChannelBinding: binding})
				if _, err := h.OnHello(t.Context(), l.peer(t), hello, binding); err != nil {
					t.Fatal(err)
				}
			}
			v := h.view(l.DeviceID)
			if c.fact == "" {
				if len(v.Facts) > 0 || v.CutID != "" {
					t.Fatalf("facts %v, cut %q", v.Facts, v.CutID)
				}
				return
			}
			held := h.want(v.CutID, cut.Held)
			if !slices.Contains(v.Facts, c.fact) || held.Cause != cut.Signal || held.Level != cut.Seal || v.Todo == "" {
				t.Fatalf("facts %v, cut %+v, to do %q", v.Facts, held, v.Todo)
			}
			_, refused := h.lease(l.peer(t))
			if (c.fact == "clone") != (refused == "clone") {
				t.Errorf("lease refused %q", refused)
			}
			h.contact(l, 0, v.LeaseNumber+1) // contact does not end it
			h.want(held.ID, cut.Held)
			if _, err := h.DecideDevice(t.Context(), admin, l.DeviceID, true); err != nil {
				t.Fatal(err)
			}
			h.want(held.ID, cut.Refused)
			h.contact(l, 0, 1) // what it says next is what counts
			if v := h.view(l.DeviceID); len(v.Facts) > 0 || v.CutID != "" {
				t.Errorf("admitted, and again: %v, %q", v.Facts, v.CutID)
			}
		})
	}
}

func TestASupersededCertificateOpensAHeldDecision(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "copied", "default")
	next := h.renew(l, l.peer(t))
	for _, chain := range [][][]byte{next, l.Chain} {
		if _, err := h.authenticate(l, chain); err != nil {
			t.Fatal(err)
		}
	}
	v := h.view(l.DeviceID)
	c := h.want(v.CutID, cut.Held)
	if c.OrderState != "none" || c.LetThrough {
		t.Fatalf("got %+v", c)
	}
	if got, err := h.Approve(t.Context(), admin, c.ID, "stolen"); err != nil || got.State != cut.Open {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A server that was restored from a backup knows fewer leases and less time than
// was granted: it holds everything for its clock, adopts the numbers, and nobody
// is taken for a clone.
func TestARestoredServerNeitherCutsNorSuspectsItsFleet(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "l", "default")
	h.watch() // the backup is of now
	h.advance(100 * hour)
	h.restart(h.store)
	h.watch()
	h.beats(6 * time.Minute)
	c := h.want(h.view(l.DeviceID).CutID, cut.Held)
	h.contact(l, 7, 1200)
	h.want(c.ID, cut.Lapsed)
	held := uint64(1200)
	if _, refused, err := h.GrantLease(t.Context(), l.peer(t), make([]byte, 32), &held); err != nil || refused != "" {
		t.Fatal(refused, err)
	}
	v := h.view(l.DeviceID)
	if len(v.Facts) > 0 || v.CutID != "" || v.LeaseNumber != 1201 || v.OrderNumber != 7 {
		t.Errorf("got %+v", v.Device)
	}
}
