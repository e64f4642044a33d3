package flow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/order"
	"cutoff/server/store"
)

// pass lets time go by while the server runs and its clock is right.
func (h *harness) pass(d time.Duration) {
	h.t.Helper()
	h.advance(d)
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error {
		p, err := tx.Pulse(h.t.Context())
		if err != nil {
			return err
		}
		p.At = h.Now()
		return tx.PutPulse(h.t.Context(), p)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.watch()
}

func (h *harness) watch() {
	h.t.Helper()
	if err := h.WatchSilence(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// contact is a hello that says what the device holds.
func (h *harness) contact(l *laptop, order, lease uint64) {
	h.t.Helper()
	if _, err := h.OnHello(h.t.Context(), l.peer(h.t), l.hello(h.t, order, lease), binding); err != nil {
		h.t.Fatal(err)
	}
}

// leased is a device of a group that was granted a lease; the brake is wide.
func leased(t *testing.T, h *harness, hostname, group string) *laptop {
	t.Helper()
	l := newLaptop(t, hostname)
	result, err := h.Enroll(t.Context(), l.request(t, h.token(group, 1, time.Hour), hostname))
	if err != nil {
		t.Fatal(err)
	}
	l.EnrollResult = result
	h.contact(l, 0, 0)
	h.lease(l.peer(t))
	return l
}

func wide(_ *harness, c *flow.Config) {
	c.Brake = flow.BrakeLimits{Machine: 1000, MachinePercent: 100, GroupPercent: 100}
}

const hour = time.Hour

func TestTheServerCutsASilentDeviceUnderItsReservedIdAndRunsTheCloudSteps(t *testing.T) {
	h := withClouds(t)
	h.config.Brake = flow.BrakeLimits{GroupPercent: 100}
	h.restart(h.store)
	l := leased(t, h, "stolen", "default")
	h.inventory(l)
	reserved := h.view(l.DeviceID).ReservedCut
	h.pass(72*hour - time.Second)
	if v := h.view(l.DeviceID); v.CutID != "" || v.Quiet.Word != "warned" || v.Todo == "" || !v.Quiet.SealAt.Equal(h.Now().Add(time.Second)) {
		t.Fatalf("before the deadline: %+v, %q", v.Quiet, v.Todo)
	}
	h.pass(time.Second)
	c := h.want(reserved, cut.Open)
	if c.Cause != cut.Expiry || c.Level != cut.Seal || !c.LetThrough || c.OrderKind != order.Seal || len(c.Steps) == 0 {
		t.Fatalf("got %+v", c)
	}
	if v := h.view(l.DeviceID); v.Quiet.Word != "sealed" || v.Level != "seal" || !strings.Contains(v.Todo, "find the device") {
		t.Fatalf("got %+v, %q", v.Quiet, v.Todo)
	}
	before := len(h.recorded(l.DeviceID))
	h.watch()
	h.ask(robot, l.DeviceID, cut.Seal)
	if n := len(h.recorded(l.DeviceID)); n != before {
		t.Errorf("it was cut again: %d records more", n-before)
	}
}

// Whoever acts first, agent, server or operator: it is one cut.
func TestAgentServerAndOperatorMakeOneCut(t *testing.T) {
	for _, script := range []string{"own watch", "watch own", "watch order own", "ask own", "watch ask own", "own ask watch"} {
		t.Run(script, func(t *testing.T) {
			h := newHarnessWith(t, wide)
			l := leased(t, h, "one", "default")
			reserved := h.view(l.DeviceID).ReservedCut
			h.advance(72 * hour)
			for _, step := range strings.Fields(script) {
				switch step {
				case "own":
					h.contact(l, h.view(l.DeviceID).OrderNumber, 1)
					if refused := h.receipt(l, ownSeal(l, reserved)); refused != "" {
						t.Fatal(refused)
					}
				case "watch":
					h.pass(0)
				case "ask":
					if c := h.ask(admin, l.DeviceID, cut.Seal); c.ID != reserved || c.Cause != cut.Operator {
						t.Fatalf("asked for %+v", c)
					}
				case "order":
					h.obey(l)
				}
			}
			all, err := h.Cuts(t.Context(), flow.CutFilter{})
			if err != nil || len(all) != 1 || all[0].ID != reserved || !all[0].State.Standing() {
				t.Fatalf("cuts %+v, %v", all, err)
			}
			if c := h.cut(reserved); len(c.Items) != 2 {
				t.Errorf("items %+v", c.Items)
			}
			if v := h.view(l.DeviceID); v.State != device.Sealed {
				t.Errorf("the device is %s", v.State)
			}
		})
	}
}

func TestAPersonsWordMakesASilencesCutThatPersons(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "stolen", "default")
	h.pass(72 * hour)
	id := h.view(l.DeviceID).CutID
	c := h.ask(admin, l.DeviceID, cut.Seal)
	if c.ID != id || c.Cause != cut.Operator || c.Actor != "alice" || !slices.Contains(h.recorded(l.DeviceID), "cut.taken-over") {
		t.Fatalf("got %+v", c)
	}
	h.contact(l, 0, 1)
	h.obey(l)
	h.posture(l, "good", "good")
	if c = h.cut(id); c.State != cut.Settled {
		t.Fatalf("the thief's contact ended it: %s", c.State)
	}
}

func TestTheSecondDeadlineShredsBehindTheBrakeAndNeverADeviceInContact(t *testing.T) {
	h := newHarnessWith(t, wide)
	gone, back := leased(t, h, "gone", "default"), leased(t, h, "back", "default")
	h.pass(72 * hour)
	escrow := h.cut(h.view(gone.DeviceID).CutID).Escrow
	h.advance(24 * hour)
	h.contact(back, 0, 1) // it is kept: sealed, then silent again
	h.obey(back)
	h.pass(10*24*hour - time.Second)
	if c := h.cut(h.view(gone.DeviceID).CutID); c.Level != cut.Seal {
		t.Fatal("purged before its time")
	}
	h.pass(time.Second)
	c := h.cut(h.view(gone.DeviceID).CutID)
	if c.Level != cut.Purge || c.OrderKind != order.Purge || c.State != cut.Open {
		t.Fatalf("got %+v", c)
	}
	if _, err := h.vault.Unwrap(escrow, nil); err == nil {
		t.Error("the key is there")
	}
	if !slices.Contains(h.recorded(gone.DeviceID), "escrow.shredded") {
		t.Error("no evidence of the shredding")
	}
	if c := h.cut(h.view(back.DeviceID).CutID); c.Level != cut.Seal {
		t.Errorf("a device heard 11 days ago is purged: %+v", c)
	}
	h.pass(4 * 24 * hour)
	if c := h.cut(h.view(back.DeviceID).CutID); c.Level != cut.Purge {
		t.Errorf("silent for 14 days since it was heard last: %+v", c)
	}
}

// Half a fleet is silent in the same minute: a few are cut, the others wait for
// one word of a person, none is forgotten, and who comes back is left alone.
func TestTheBrakeHoldsAMassExpiryAsDecisionsOfAPerson(t *testing.T) {
	h := newHarness(t)
	all := make([]*laptop, 8)
	for i := range all {
		all[i] = leased(t, h, fmt.Sprint("host", i), "default")
	}
	h.pass(72 * hour)
	states := map[cut.State]int{}
	var held cut.Cut
	cuts, err := h.Cuts(t.Context(), flow.CutFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cuts {
		states[c.State]++
		if c.State == cut.Held {
			held = c
		}
	}
	if states[cut.Open] != 3 || states[cut.Held] != 5 || !strings.Contains(held.HeldReason, "the brake") {
		t.Fatalf("states %v, held for %q", states, held.HeldReason)
	}
	if v := h.view(held.DeviceID); v.Quiet.Word != "held" || !strings.Contains(v.Todo, "approve "+held.ID) {
		t.Errorf("shown as %+v, %q", v.Quiet, v.Todo)
	}
	// One of the held comes back; approving the rest leaves it alone.
	i := slices.IndexFunc(all, func(l *laptop) bool { return l.DeviceID == held.DeviceID })
	h.contact(all[i], 0, 1)
	if _, refused := h.lease(all[i].peer(t)); refused != "" {
		t.Fatalf("who is back is refused its lease: %s", refused)
	}
	h.want(held.ID, cut.Lapsed)
	if _, err := h.Approve(t.Context(), admin, held.CaseID, "they are gone"); err != nil {
		t.Fatal(err)
	}
	h.watch()
	h.want(held.ID, cut.Lapsed)
	open := 0
	for j, l := range all {
		if c := h.cut(h.view(l.DeviceID).ReservedCut); j != i && c.State == cut.Open && c.LetThrough {
			open++
		}
	}
	if open != 7 {
		t.Errorf("%d open after the approval, want 7", open)
	}
}

func TestARefusedSilenceIsNotAskedAgainForADay(t *testing.T) {
	h := newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Brake = flow.BrakeLimits{Machine: 1, GroupPercent: 1} })
	first, l := leased(t, h, "first", "default"), leased(t, h, "l", "default")
	h.pass(72 * hour)
	id := h.view(l.DeviceID).ReservedCut
	if h.view(l.DeviceID).CutID == "" {
		t.Fatal("not held")
	}
	if h.cut(id).State != cut.Held {
		id, l = h.view(first.DeviceID).ReservedCut, first
	}
	if _, err := h.Refuse(t.Context(), admin, id, "on holiday"); err != nil {
		t.Fatal(err)
	}
	h.pass(23 * hour)
	h.want(id, cut.Refused)
	h.pass(hour)
	if c := h.cut(id); c.State == cut.Refused {
		t.Errorf("never asked again: %+v", c)
	}
	_ = l
}

func TestADeviceComesBackByItselfOnlyWhereItMay(t *testing.T) {
	no, yes := false, true
	for name, c := range map[string]struct {
		change flow.GroupChange
		facts  []string
		disk   string
		boot   []string
		ask    bool
		lifted bool
		todo   string
	}{
		"sealed by its silence alone":       {disk: "good", lifted: true},
		"it does not pass policy":           {disk: "bad", todo: "does not pass policy"},
		"its group wants a person":          {change: flow.GroupChange{AutoLift: &no}, disk: "good", todo: "a person's word"},
		"its group is privileged":           {change: flow.GroupChange{Privileged: &yes}, disk: "good", todo: "a person's word"},
		"its clock was below the mark":      {facts: []string{"clock-below-mark"}, disk: "good", todo: "clock-below-mark"},
		"its lease could not be read":       {facts: []string{"standing-grant"}, disk: "good", todo: "standing-grant"},
		"a person asked for it meanwhile":   {ask: true, disk: "good"},
		"two machines have taken turns":     {boot: []string{"a", "b", "a"}, disk: "good", todo: "clone"},
		"it reported nothing since":         {disk: ""},
		"rebooted, which is nobody's fault": {boot: []string{"a", "b"}, disk: "good", lifted: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarnessWith(t, wide)
			if _, err := h.SetGroup(t.Context(), admin, "laptops", c.change); err != nil {
				t.Fatal(err)
			}
			h.apply("groups:\n  laptops:\n    rules:\n      - {name: disk, when: \"posture.disk_encrypted\", consequence: seal}\n")
			l := leased(t, h, "back", "laptops")
			id := h.view(l.DeviceID).ReservedCut
			h.pass(72 * hour)
			if c.ask {
				h.ask(admin, l.DeviceID, cut.Seal)
			}
			h.contact(l, 0, 1)
			for _, boot := range c.boot {
				hello := l.say(t, &cutoffv1.Hello{DeviceId: l.DeviceID, HighestLease: 1, BootId: boot, ChannelBinding: binding, RosterVersion: 1})
				if _, err := h.OnHello(t.Context(), l.peer(t), hello, binding); err != nil {
					t.Fatal(err)
				}
			}
			r := ownSeal(l, id)
			r.Facts = c.facts
			if refused := h.receipt(l, r); refused != "" {
				t.Fatal(refused)
			}
			h.obey(l)
			if c.disk != "" {
				h.posture(l, c.disk, "good")
			}
			got := h.cut(id)
			if lifted := got.State == cut.Lifting; lifted != c.lifted {
				t.Fatalf("the cut is %s, its device has %v", got.State, h.view(l.DeviceID).Facts)
			}
			if v := h.view(l.DeviceID); c.todo != "" && !strings.Contains(v.Todo, c.todo) {
				t.Errorf("to do: %q, want %q", v.Todo, c.todo)
			}
			if !c.lifted {
				if _, err := h.Lift(t.Context(), admin, id, "looked at"); err != nil {
					t.Fatal(err)
				}
			}
			if o := h.obey(l); o.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT {
				t.Fatalf("got %v", o)
			}
			h.want(id, cut.Lifted)
			h.watch() // its lease is old, but it was trusted anew
			if v := h.view(l.DeviceID); v.State != device.Trusted || v.CutID != "" {
				t.Errorf("got %s, cut %q", v.State, v.CutID)
			}
			_, refused := h.lease(l.peer(t))
			if clone := len(c.boot) == 3; clone != (refused == "clone") {
				t.Errorf("lease refused %q", refused)
			}
		})
	}
}

// The report may come before the receipt, or after it.
func TestAReceiptAfterTheReportLiftsToo(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "back", "default")
	id := h.view(l.DeviceID).ReservedCut
	h.advance(72 * hour)
	h.contact(l, 0, 1)
	h.posture(l, "good", "good")
	h.advance(time.Second)
	if refused := h.receipt(l, ownSeal(l, id)); refused != "" {
		t.Fatal(refused)
	}
	if c := h.want(id, cut.Lifting); c.LiftActor != "lease" {
		t.Errorf("lifted by %q", c.LiftActor)
	}
}

// Somebody keeps a device from the server, which is no word of the device: what
// follows is a seal that ends at contact, under the machine's own budget.
func TestForgedSilenceSealsAFewAndEndsAtContact(t *testing.T) {
	h := newHarness(t)
	var all []*laptop
	for i := range 20 {
		all = append(all, leased(t, h, fmt.Sprint("h", i), "default"))
	}
	h.pass(72 * hour)
	h.pass(30 * time.Minute)
	open := 0
	for _, l := range all {
		if c := h.cut(h.view(l.DeviceID).ReservedCut); c.LetThrough {
			if open++; c.Level != cut.Seal {
				t.Errorf("a machine destroyed: %+v", c)
			}
		}
	}
	if open != 3 {
		t.Fatalf("%d of 20 cut, want 3", open)
	}
	if c := h.ask(admin, all[19].DeviceID, cut.Seal); !c.LetThrough {
		t.Errorf("a person's budget is used up by the machine: %+v", c)
	}
	for _, l := range all[:19] {
		h.contact(l, h.view(l.DeviceID).OrderNumber, 1)
		if o := h.collect(l); o != nil {
			h.receipt(l, answerTo(o))
		}
		h.posture(l, "good", "good")
		if o := h.collect(l); o != nil {
			h.receipt(l, answerTo(o))
		}
		if v := h.view(l.DeviceID); v.CutID != "" || v.State != device.Trusted {
			t.Fatalf("%s is %s under %q", v.Hostname, v.State, v.CutID)
		}
	}
}

func TestAnExtensionMovesTheServersDeadlinesToo(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "ship", "default")
	until := h.Now().Add(120 * hour)
	err := h.store.Store.Update(t.Context(), func(tx *store.Tx) error { return tx.SetExtended(t.Context(), l.DeviceID, until) })
	if err != nil {
		t.Fatal(err)
	}
	h.lease(l.peer(t)) // a later lease does not take it back: it may still be redeemed
	h.pass(119 * hour)
	if v := h.view(l.DeviceID); v.CutID != "" {
		t.Fatal("cut before the end of its extension")
	}
	h.pass(hour)
	if v := h.view(l.DeviceID); v.CutID == "" {
		t.Fatal("not cut at the end of its extension")
	}
}

func TestALiftedDeviceThatIsAwayHasTheTimeOfALease(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "away", "default")
	h.pass(72 * hour)
	id := h.view(l.DeviceID).CutID
	if _, err := h.Lift(t.Context(), admin, id, "it is in the mail"); err != nil {
		t.Fatal(err)
	}
	h.pass(71 * hour)
	if v := h.view(l.DeviceID); v.CutID != "" {
		t.Fatalf("cut again: %+v", v.Device)
	}
	h.pass(hour)
	if v := h.view(l.DeviceID); v.CutID == "" || v.CutID == id {
		t.Fatalf("cut %q", v.CutID)
	}
}

func TestWhoNeverComesForALeaseIsSilentFromItsEnrolmentOn(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := h.enrol("new")
	h.pass(71 * hour)
	h.watch()
	if cuts, err := h.Cuts(t.Context(), flow.CutFilter{}); err != nil || len(cuts) > 0 {
		t.Fatal(cuts, err)
	}
	h.pass(2 * hour)
	h.watch()
	if v := h.view(l.DeviceID); v.CutID != v.ReservedCut || v.CutID == "" {
		t.Errorf("its cut is %q, reserved %q", v.CutID, v.ReservedCut)
	}
}

func TestADeviceThatWaitsForAPersonIsNotSilent(t *testing.T) {
	h := newHarnessWith(t, wide)
	old := h.enrol("new")
	h.pass(73 * hour)
	h.watch()
	h.want(h.view(old.DeviceID).ReservedCut, cut.Open)
	again := h.enrol("new")
	if !again.Pending {
		t.Fatal("not pending")
	}
	h.pass(1000 * hour)
	h.watch()
	if v := h.view(again.DeviceID); v.CutID != "" {
		t.Errorf("it was cut as %s", v.CutID)
	}
	if g := h.openGrant(again.Grant); g.GetSealMs() != 0 {
		t.Errorf("its grant runs out after %d ms", g.GetSealMs())
	}
}

func TestOnlySilenceMayPurgeWithoutAPerson(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "a", "default")
	_, _, err := h.Open(t.Context(), flow.OpenRequest{Device: l.DeviceID, Level: cut.Purge, Cause: cut.Policy, Reason: "x", Actor: robot})
	mustFail(t, err, fault.Denied, "only seals")
}
