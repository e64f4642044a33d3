package flow_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

func TestACutIsDurableWithItsOrderAndItsStepsBeforeOpenReturns(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("ann-laptop")
	h.inventory(l)
	h.belongs("ann@example.com", l.DeviceID)
	reserved := h.view(l.DeviceID).ReservedCut

	c := h.ask(admin, "ann-laptop", cut.Seal)
	if c.ID != reserved || c.State != cut.Open || c.OrderState != order.Drafted || c.OrderKind != order.Seal {
		t.Fatalf("got %+v", c)
	}
	want := []string{"git delete-key", "idp device-record", "idp end-sessions", "none none"}
	if got := actions(c.Steps); !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
	if h.wakes[l.DeviceID] != 1 {
		t.Errorf("the stream was woken %d times", h.wakes[l.DeviceID])
	}
	if got := h.Exposure(&c).String(); got != "unbounded" {
		t.Errorf("exposure %s of a cut nobody has answered", got)
	}
	h.restart(h.store)
	if again := h.cut(c.ID); again.State != cut.Open || len(again.Steps) != 4 || h.view(l.DeviceID).CutID != c.ID {
		t.Errorf("after a restart: %+v", again)
	}
	if _, refused := h.lease(l.peer(t)); refused != "cut" {
		t.Errorf("a cut device was refused its lease for %q", refused)
	}
}

func TestAskingAgainAnswersTheSameCut(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	first := h.ask(admin, l.DeviceID, cut.Seal)
	second := h.ask(bob, l.DeviceID, cut.Seal)
	if second.ID != first.ID || second.CaseID != first.CaseID || second.Actor != "alice" {
		t.Errorf("got %+v after %+v", second, first)
	}
	if n := len(h.recorded(l.DeviceID)); n != len(h.recorded(l.DeviceID)) || h.wakes[l.DeviceID] != 1 {
		t.Errorf("asking again did something: %d records, %d wakes", n, h.wakes[l.DeviceID])
	}
}

func TestAPurgeAfterASealEscalatesTheSameCutAndNeverBack(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	sealed := h.ask(admin, l.DeviceID, cut.Seal)
	purge := h.ask(admin, l.DeviceID, cut.Purge)
	if purge.ID != sealed.ID || purge.CaseID != sealed.CaseID || purge.Level != cut.Purge || purge.OrderKind != order.Purge {
		t.Fatalf("got %+v", purge)
	}
	if again := h.ask(bob, l.DeviceID, cut.Seal); again.Level != cut.Purge || again.OrderKind != order.Purge {
		t.Errorf("a seal took the purge back: %+v", again)
	}
	if o := h.obey(l); o.GetKind().String() != "ORDER_KIND_PURGE" {
		t.Errorf("the device got %v", o)
	}
	if h.collect(l) != nil {
		t.Error("the superseded order is still handed out")
	}
}

// The default brake of a fleet of 12: a person may cut 3 within the hour.
func TestThePersonsBrakeHoldsTheFourthDeviceWithinTheHour(t *testing.T) {
	h := newHarness(t)
	all := h.fleet("default", 12)
	for i, id := range all[:3] {
		if c := h.ask(admin, id, cut.Seal); c.State != cut.Open {
			t.Fatalf("device %d is %s: %s", i, c.State, c.HeldReason)
		}
	}
	held := h.ask(admin, all[3], cut.Seal)
	if held.State != cut.Held || held.OrderState != order.None || held.HeldReason == "" {
		t.Fatalf("the fourth is %+v", held)
	}
	if c := h.ask(admin, all[0], cut.Purge); c.State != cut.Open || c.Level != cut.Purge {
		t.Errorf("an escalation was braked: %+v", c)
	}
	if c := h.ask(admin, all[1], cut.Seal); c.State != cut.Open {
		t.Errorf("a repeat was braked: %+v", c)
	}
	if c := h.ask(bob, all[4], cut.Seal); c.State != cut.Open {
		t.Errorf("another person is braked by it: %+v", c)
	}
	if c := h.ask(robot, all[5], cut.Seal); c.State != cut.Open {
		t.Errorf("the machine is braked by it: %+v", c)
	}
	h.advance(time.Hour)
	if c := h.ask(admin, all[6], cut.Seal); c.State != cut.Open {
		t.Errorf("after the window: %+v", c)
	}
}

func TestAllLocalActorsAreOnePersonForTheBrake(t *testing.T) {
	h := newHarness(t)
	all := h.fleet("default", 5)
	h.ask(local0, all[0], cut.Seal)
	h.ask(local7, all[1], cut.Seal)
	h.ask(local0, all[2], cut.Seal)
	held := h.ask(local7, all[3], cut.Seal)
	if held.State != cut.Held {
		t.Fatalf("the fourth is %s", held.State)
	}
	_, err := h.Approve(t.Context(), local0, held.ID, "")
	mustFail(t, err, fault.Denied, "who asked")
	if c, err := h.Approve(t.Context(), bob, held.ID, "seen"); err != nil || c.State != cut.Open {
		t.Errorf("got %+v, %v", c, err)
	}
}

// A table of fleets: how many a person and the machine may cut before the next
// one is held.
func TestTheBrakesLimitsFollowTheFleetAndTheGroup(t *testing.T) {
	cases := []struct {
		name          string
		fleet, others int
		actor         flow.Actor
		limits        flow.BrakeLimits
		want          int
	}{
		{"a person in a small fleet", 10, 0, admin, flow.BrakeLimits{}, 3},
		{"a person in a fleet of 100: five percent", 100, 0, admin, flow.BrakeLimits{}, 5},
		{"the machine in a fleet of 100", 100, 0, robot, flow.BrakeLimits{}, 5},
		{"the machine in a group of four of many: half", 4, 60, robot, flow.BrakeLimits{}, 2},
		{"the machine in a group of three: half, rounded up", 3, 60, robot, flow.BrakeLimits{}, 2},
		{"the machine in a group of one", 1, 60, robot, flow.BrakeLimits{}, 1},
		{"raised in the configuration", 12, 0, admin, flow.BrakeLimits{People: 7}, 7},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHarnessWith(t, func(_ *harness, config *flow.Config) { config.Brake = c.limits })
			h.group("g", 0)
			h.group("h", 0)
			all := h.fleet("g", c.fleet)
			h.fleet("h", c.others)
			got := 0
			for _, id := range all {
				if h.ask(c.actor, id, cut.Seal).State == cut.Held {
					break
				}
				got++
			}
			if got != c.want {
				t.Errorf("%d were let through, want %d", got, c.want)
			}
		})
	}
}

func TestAPersonsCaseIsHeldWholeAndLetThroughWhole(t *testing.T) {
	h := withClouds(t)
	all := h.fleet("default", 8)
	p := h.belongs("ann@example.com", all[:5]...)
	caseID, cuts, err := h.Open(t.Context(), flow.OpenRequest{
		Person: "ann@example.com", Level: cut.Seal, Cause: cut.Operator, Reason: "left", Actor: admin,
	})
	if err != nil || len(cuts) != 6 {
		t.Fatalf("%d cuts, %v", len(cuts), err)
	}
	for _, c := range cuts {
		if c.State != cut.Held || c.CaseID != caseID || len(c.Steps) != 0 || c.OrderState != order.None {
			t.Errorf("%s is %s with %d steps, order %s", c.ID, c.State, len(c.Steps), c.OrderState)
		}
	}
	if _, err := h.Approve(t.Context(), bob, cuts[2].ID, "yes"); err != nil {
		t.Fatal(err)
	}
	cuts, err = h.Case(t.Context(), caseID)
	if err != nil || len(cuts) != 6 {
		t.Fatalf("%d cuts, %v", len(cuts), err)
	}
	for _, c := range cuts {
		want := []string{"idp device-record"}
		if c.DeviceID == "" {
			want = []string{"idp all-keys", "idp disable-user", "idp end-sessions"}
			if c.PersonID != p.ID {
				t.Errorf("the person's cut is of %q", c.PersonID)
			}
		}
		if got := actions(c.Steps); c.State != cut.Open || !slices.Equal(got, want) {
			t.Errorf("%s of %q is %s with %v, want %v", c.ID, c.DeviceID, c.State, got, want)
		}
	}
}

func TestADeviceCutNeverBlocksSignIn(t *testing.T) {
	h := withClouds(t)
	all := h.fleet("default", 2)
	h.belongs("ann@example.com", all...)
	c := h.ask(admin, all[0], cut.Purge)
	if got, want := actions(c.Steps), []string{"idp device-record", "idp end-sessions"}; !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}

func TestACredentialIsCutByItself(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	h.inventory(l)
	var credentials []string
	for _, c := range h.view(l.DeviceID).Credentials {
		credentials = append(credentials, c.ID)
	}
	open := func(id string) cut.Cut {
		_, cuts, err := h.Open(t.Context(), flow.OpenRequest{Credential: id, Level: cut.Seal, Cause: cut.Operator, Reason: "x", Actor: admin})
		if err != nil || len(cuts) != 1 {
			t.Fatalf("%d cuts, %v", len(cuts), err)
		}
		return cuts[0]
	}
	var got []string
	for _, id := range credentials {
		c := open(id)
		if c.DeviceID != "" || c.CredentialID != id || c.OrderState != order.None || open(id).ID != c.ID {
			t.Errorf("got %+v", c)
		}
		got = append(got, actions(c.Steps)...)
	}
	slices.Sort(got)
	if want := []string{"git delete-key", "none none"}; !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}

func TestACredentialNoConnectorReachesKeepsTheCutExposed(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	h.inventory(l)
	c := h.ask(admin, l.DeviceID, cut.Purge)
	h.obey(l)
	c = h.want(c.ID, cut.Settled)
	if len(c.Steps) != 2 || c.Proved() {
		t.Fatalf("%d steps", len(c.Steps))
	}
	for _, s := range c.Steps {
		if s.Connector != revoke.NoConnector || s.Outcome != revoke.Unsupported || s.Open() {
			t.Errorf("step %+v", s)
		}
	}
	if got := h.Exposure(&c).String(); got != "unbounded" {
		t.Errorf("exposure %s", got)
	}
}

func TestAHistoryIsNoStepAndExposesNothing(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	history := &cutoffv1.Item{Id: "it_history", Product: "shell", User: "ann", Path: "~/.bash_history"}
	token := &cutoffv1.Item{Id: "it_token", Product: "npm", User: "ann", Path: "~/.npmrc", ResidualUnbounded: true}
	for _, x := range []struct {
		items []*cutoffv1.Item
		steps int
	}{{[]*cutoffv1.Item{history}, 0}, {[]*cutoffv1.Item{history, token}, 1}} {
		if err := h.OnInventory(t.Context(), l.peer(t), &cutoffv1.Inventory{Items: x.items}); err != nil {
			t.Fatal(err)
		}
		p, err := h.Preview(t.Context(), flow.OpenRequest{Actor: admin, Device: l.DeviceID, Level: cut.Seal})
		if err != nil || len(p.Steps) != x.steps || len(p.Devices[0].Items) != len(x.items) {
			t.Errorf("dry run: got %+v, %v; want %d steps", p, err, x.steps)
		}
	}
	if err := h.OnInventory(t.Context(), l.peer(t), &cutoffv1.Inventory{Items: []*cutoffv1.Item{history}}); err != nil {
		t.Fatal(err)
	}
	c := h.ask(admin, l.DeviceID, cut.Purge)
	h.obey(l)
	c = h.want(c.ID, cut.Settled)
	if len(c.Steps) != 0 || !c.Proved() || h.Exposure(&c).String() != "none" {
		t.Errorf("exposure %s, steps %+v", h.Exposure(&c), c.Steps)
	}
}

func TestAConnectorThatCannotPlanStopsOnlyItself(t *testing.T) {
	h := newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Connectors = &clouds{broken: true} })
	l := h.enrol("a")
	h.inventory(l)
	c := h.ask(admin, l.DeviceID, cut.Seal)
	if got, want := actions(c.Steps), []string{"git delete-key", "idp plan", "none none"}; !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}

func TestWhatCannotBeAskedForIsRefused(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	long := make([]byte, 5000)
	cases := []struct {
		name string
		r    flow.OpenRequest
		kind fault.Kind
	}{
		{"nothing", flow.OpenRequest{Level: cut.Seal, Cause: cut.Operator, Actor: admin}, fault.Invalid},
		{"two things", flow.OpenRequest{Device: "a", Person: "b", Level: cut.Seal, Cause: cut.Operator, Actor: admin}, fault.Invalid},
		{"no level", flow.OpenRequest{Device: "a", Cause: cut.Operator, Actor: admin}, fault.Invalid},
		{"no cause", flow.OpenRequest{Device: "a", Level: cut.Seal, Actor: admin}, fault.Invalid},
		{"nobody", flow.OpenRequest{Device: "a", Level: cut.Seal, Cause: cut.Operator}, fault.Invalid},
		{"a long reason", flow.OpenRequest{
			Device: "a", Level: cut.Seal, Cause: cut.Operator, Actor: admin, Reason: string(long),
		}, fault.Invalid},
		{"a purge by the machine", flow.OpenRequest{Device: "a", Level: cut.Purge, Cause: cut.Policy, Actor: robot}, fault.Denied},
		{"no such device", flow.OpenRequest{Device: "b", Level: cut.Seal, Cause: cut.Operator, Actor: admin}, fault.NotFound},
		{"no such person", flow.OpenRequest{Person: "b", Level: cut.Seal, Cause: cut.Operator, Actor: admin}, fault.NotFound},
		{"no such credential", flow.OpenRequest{Credential: "b", Level: cut.Seal, Cause: cut.Operator, Actor: admin}, fault.NotFound},
	}
	for _, c := range cases {
		if _, _, err := h.Open(t.Context(), c.r); !fault.Is(err, c.kind) {
			t.Errorf("%s: got %v, want kind %d", c.name, err, c.kind)
		}
	}
	if cuts, err := h.Cuts(t.Context(), flow.CutFilter{}); err != nil || len(cuts) != 0 || h.view(l.DeviceID).CutID != "" {
		t.Errorf("%d cuts, %v", len(cuts), err)
	}
}

func TestALargeCaseGoesInBatchesAndIsHeldWhole(t *testing.T) {
	h := newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Connectors = &clouds{} })
	all := h.fleet("default", 250)
	p := h.belongs("ann@example.com")
	err := h.store.Update(t.Context(), func(tx flow.Tx) error {
		for _, id := range all {
			if err := tx.SetAssignment(t.Context(), id, p.ID, "default"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	request := flow.OpenRequest{Person: p.ID, Level: cut.Seal, Cause: cut.Operator, Reason: "x", Actor: admin}
	caseID, cuts, err := h.Open(t.Context(), request)
	if err != nil || len(cuts) != 251 {
		t.Fatalf("%d cuts, %v", len(cuts), err)
	}
	count := func(state cut.State) (n int) {
		cuts, err := h.Cuts(t.Context(), flow.CutFilter{CaseID: caseID, State: state})
		if err != nil {
			t.Fatal(err)
		}
		return len(cuts)
	}
	if n := count(cut.Held); n != 251 {
		t.Fatalf("%d are held", n)
	}
	if _, err := h.Approve(t.Context(), bob, caseID, "yes"); err != nil {
		t.Fatal(err)
	}
	if n := count(cut.Open); n != 251 || len(h.wakes) != 250 {
		t.Fatalf("%d are open, %d devices were woken", n, len(h.wakes))
	}
}

func TestAHeldCaseLapsesAfterADayAndCanBeAskedForAgain(t *testing.T) {
	h := newHarness(t)
	h.group("vip", 1)
	ids := h.fleet("vip", 1)
	c := h.ask(admin, ids[0], cut.Seal)
	h.advance(cut.HeldFor - time.Second)
	if err := h.LapseHeld(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.want(c.ID, cut.Held)
	h.advance(time.Second)
	_, err := h.Approve(t.Context(), bob, c.ID, "late")
	mustFail(t, err, fault.Conflict, "lapsed")
	if err := h.LapseHeld(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.want(c.ID, cut.Lapsed)
	if h.view(ids[0]).CutID != "" {
		t.Error("a lapsed cut is still shown on its device")
	}
	again := h.ask(admin, ids[0], cut.Purge)
	if again.ID != c.ID || again.CaseID == c.CaseID || again.State != cut.Held || again.Level != cut.Purge {
		t.Errorf("asked again: %+v", again)
	}
	if got, err := h.Approve(t.Context(), bob, again.CaseID, "now"); err != nil || got.State != cut.Open || got.OrderKind != order.Purge {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestApprovals(t *testing.T) {
	h := newHarness(t)
	h.group("vip", 2)
	ids := h.fleet("vip", 2)
	c := h.ask(admin, ids[0], cut.Seal)
	if c.State != cut.Held {
		t.Fatalf("the cut is %s", c.State)
	}
	_, err := h.Approve(t.Context(), admin, c.ID, "mine")
	mustFail(t, err, fault.Denied, "who asked")
	_, err = h.Approve(t.Context(), robot, c.ID, "beep")
	mustFail(t, err, fault.Denied, "person")
	if got, err := h.Approve(t.Context(), bob, c.ID, "ok"); err != nil || got.State != cut.Held || len(got.Approvals) != 1 {
		t.Fatalf("after one of two: %+v, %v", got, err)
	}
	_, err = h.Approve(t.Context(), bob, c.ID, "again")
	mustFail(t, err, fault.Conflict, "already")
	if got, err := h.Approve(t.Context(), carol, c.CaseID, "ok"); err != nil || got.State != cut.Open || len(got.Approvals) != 2 {
		t.Fatalf("after two of two: %+v, %v", got, err)
	}
	_, err = h.Approve(t.Context(), local0, c.ID, "")
	mustFail(t, err, fault.Conflict, "not held")

	// The machine's cuts of the group need nobody.
	if got := h.ask(robot, ids[1], cut.Seal); got.State != cut.Open {
		t.Errorf("the machine's cut is %s: %s", got.State, got.HeldReason)
	}
	// An escalation is a decision of its own: it waits beside the cut.
	up := h.ask(admin, ids[0], cut.Purge)
	if up.State != cut.Open || up.Level != cut.Seal || up.PendingCase == "" {
		t.Fatalf("the escalation: %+v", up)
	}
	if got, err := h.Refuse(t.Context(), bob, up.ID, "no"); err != nil || got.State != cut.Open || got.Level != cut.Seal || got.PendingCase != "" {
		t.Fatalf("refused: %+v, %v", got, err)
	}
	up = h.ask(admin, ids[0], cut.Purge)
	for _, who := range []flow.Actor{bob, carol} {
		if _, err := h.Approve(t.Context(), who, up.PendingCase, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.cut(up.ID); got.Level != cut.Purge || got.PendingCase != "" || got.OrderKind != order.Purge {
		t.Errorf("approved: %+v", got)
	}
}

func TestARefusedCutIsNotAskedForAgainByTheMachineAtOnce(t *testing.T) {
	h := newHarness(t)
	h.group("g", 0)
	ids := h.fleet("g", 2)
	h.ask(robot, ids[0], cut.Seal)
	c := h.ask(robot, ids[1], cut.Seal) // half of two is one
	if c.State != cut.Held {
		t.Fatalf("the cut is %s", c.State)
	}
	if got, err := h.Refuse(t.Context(), admin, c.ID, "it is fine"); err != nil || got.State != cut.Refused {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got := h.ask(robot, ids[1], cut.Seal); got.State != cut.Refused || got.CaseID != c.CaseID {
		t.Errorf("the machine asked again: %+v", got)
	}
	if got := h.ask(admin, ids[1], cut.Seal); got.State != cut.Open || got.ID != c.ID {
		t.Errorf("a person asks: %+v", got)
	}
}

func TestAPersonsCutTakesOverOneOfTheMachineThatIsHeld(t *testing.T) {
	h := newHarness(t)
	h.group("g", 0)
	ids := h.fleet("g", 2)
	h.ask(robot, ids[0], cut.Seal)
	held := h.ask(robot, ids[1], cut.Seal)
	got := h.ask(admin, ids[1], cut.Purge)
	if held.State != cut.Held || got.State != cut.Open || got.ID != held.ID || got.Level != cut.Purge || got.Cause != cut.Operator {
		t.Errorf("got %+v", got)
	}
	cuts, err := h.Cuts(t.Context(), flow.CutFilter{DeviceID: ids[1]})
	if err != nil || len(cuts) != 1 {
		t.Errorf("%d cuts of one device, %v", len(cuts), err)
	}
}

func TestAPreviewOpensNothing(t *testing.T) {
	h := withClouds(t)
	l := h.enrol("a")
	h.inventory(l)
	h.belongs("ann@example.com", l.DeviceID)
	before := fmt.Sprint(h.recorded(l.DeviceID))
	p, err := h.Preview(t.Context(), flow.OpenRequest{Device: "a", Level: cut.Seal, Actor: admin})
	if err != nil || len(p.Devices) != 1 || p.Held != "" {
		t.Fatalf("got %+v, %v", p, err)
	}
	d := p.Devices[0]
	if d.Live || d.Problem == "" || len(d.Items) != 2 || !d.AsOf.Equal(h.Now()) {
		t.Errorf("device %+v", d)
	}
	want := []string{"git delete-key", "idp device-record", "idp end-sessions", "none none"}
	if got := actions(p.Steps); !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
	if cuts, err := h.Cuts(t.Context(), flow.CutFilter{}); err != nil || len(cuts) != 0 || fmt.Sprint(h.recorded(l.DeviceID)) != before {
		t.Errorf("%d cuts, %v", len(cuts), err)
	}
}
