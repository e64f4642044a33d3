package flow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

const encryptedDisks = `groups:
  default:
    rules:
      - {name: firewall, when: "posture.firewall_on", consequence: warn}
      - {name: disk, when: "posture.disk_encrypted", consequence: seal, grace: 1h}
`

func (h *harness) apply(yaml string) {
	h.t.Helper()
	_, problems, err := h.ApplyPolicy(h.t.Context(), admin, yaml)
	if err != nil || len(problems) > 0 {
		h.t.Fatal(err, problems)
	}
}

// posture reports a posture of two facts: good, bad or unknown.
func (h *harness) posture(l *laptop, disk, firewall string) {
	h.t.Helper()
	fact := func(name, word string) *cutoffv1.Fact {
		if word == "unknown" {
			return &cutoffv1.Fact{Name: name, State: cutoffv1.FactState_FACT_STATE_UNKNOWN, Reason: "no permission"}
		}
		return &cutoffv1.Fact{
			Name: name, State: cutoffv1.FactState_FACT_STATE_KNOWN, Value: &cutoffv1.Fact_Flag{Flag: word == "good"},
		}
	}
	err := h.OnReport(h.t.Context(), flow.Peer{DeviceID: l.DeviceID}, &cutoffv1.Report{Facts: []*cutoffv1.Fact{
		fact("disk_encrypted", disk), fact("firewall_on", firewall),
	}})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestReportsWarnAndSealAsThePolicySays(t *testing.T) {
	// A line is "disk firewall after", what follows is the state then and whether
	// a cut stands.
	for name, c := range map[string]struct {
		reports []string
		state   device.State
		cut     bool
	}{
		"good":                            {[]string{"good good"}, device.Trusted, false},
		"a warning":                       {[]string{"good bad"}, device.Warned, false},
		"a warning that is mended":        {[]string{"good bad", "good good"}, device.Trusted, false},
		"within the grace":                {[]string{"bad good", "59m", "bad good"}, device.Trusted, false},
		"past the grace":                  {[]string{"bad good", "1h", "bad good"}, device.Warned, true},
		"unknown is not good":             {[]string{"unknown good", "1h", "unknown good"}, device.Warned, true},
		"mended within the grace":         {[]string{"bad good", "59m", "good good", "2m", "bad good"}, device.Trusted, false},
		"reported again after the cut":    {[]string{"bad good", "1h", "bad good", "bad good"}, device.Warned, true},
		"mended after the cut keeps it":   {[]string{"bad good", "1h", "bad good", "good good"}, device.Trusted, true},
		"unknown firewall warns as a bad": {[]string{"good unknown"}, device.Warned, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.apply(encryptedDisks)
			l := h.enrol("reporter")
			for range 3 { // a fleet, so that the brake lets one through
				h.enrol("other")
			}
			for _, step := range c.reports {
				if wait, err := time.ParseDuration(step); err == nil {
					h.advance(wait)
					continue
				}
				disk, firewall, _ := strings.Cut(step, " ")
				h.posture(l, disk, firewall)
			}
			v := h.view(l.DeviceID)
			if v.State != c.state || (v.CutID != "") != c.cut {
				t.Fatalf("state %s, cut %q; want %s, cut %v", v.State, v.CutID, c.state, c.cut)
			}
			if len(v.Posture) != 2 || !v.PostureAt.Equal(h.Now()) || !v.LastContact.Equal(h.Now()) {
				t.Fatalf("posture %+v at %s", v.Posture, v.PostureAt)
			}
			_, refused := h.lease(l.peer(t))
			if (refused == "cut") != c.cut {
				t.Fatalf("lease refused %q, cut %v", refused, c.cut)
			}
			if !c.cut {
				return
			}
			if v.CutID != v.ReservedCut || v.Level != "seal" {
				t.Fatalf("cut %s level %q, reserved %s", v.CutID, v.Level, v.ReservedCut)
			}
			if n := count(h.recorded(l.DeviceID), "cut.opened"); n != 1 {
				t.Fatalf("%d cuts opened in evidence, want 1: %v", n, h.recorded(l.DeviceID))
			}
			got, err := h.Cut(t.Context(), v.CutID)
			if err != nil || got.Cause != cut.Policy || !strings.Contains(got.Reason, "disk") {
				t.Fatalf("cut %+v, %v", got, err)
			}
			if h.wakes[l.DeviceID] == 0 {
				t.Fatal("the device was not woken")
			}
		})
	}
}

func TestAReportWithoutAPolicyIsOnlyKept(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("free")
	h.posture(l, "bad", "unknown")
	if v := h.view(l.DeviceID); v.State != device.Trusted || len(v.Posture) != 2 {
		t.Fatalf("device %+v", v.Device)
	}
}

func TestAMalformedReportChangesNothing(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("garbled")
	err := h.OnReport(t.Context(), l.peer(t), &cutoffv1.Report{Facts: []*cutoffv1.Fact{{Name: "os"}, {Name: "os"}}})
	mustFail(t, err, fault.Invalid, "cannot be read")
	if v := h.view(l.DeviceID); len(v.Posture) != 0 || !v.LastContact.IsZero() {
		t.Fatalf("device %+v", v)
	}
}

func TestALeaseIsWithheldWhileACutStandsButNotWhileItIsHeld(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("cut")
	_, cuts, err := h.Open(t.Context(), flow.OpenRequest{
		Device: "cut", Level: cut.Seal, Cause: cut.Operator, Reason: "lost", Actor: admin,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(l.peer(t)); refused != "cut" {
		t.Fatalf("cut is %s, lease refused %q", cuts[0].State, refused)
	}
	two := 2
	if _, err := h.SetGroup(t.Context(), admin, "careful", flow.GroupChange{Approvals: &two}); err != nil {
		t.Fatal(err)
	}
	held := newLaptop(t, "held")
	result, err := h.Enroll(t.Context(), held.request(t, h.token("careful", 1, time.Hour), "held"))
	if err != nil {
		t.Fatal(err)
	}
	held.EnrollResult = result
	_, cuts, err = h.Open(t.Context(), flow.OpenRequest{
		Device: "held", Level: cut.Seal, Cause: cut.Operator, Reason: "lost", Actor: admin,
	})
	if err != nil || cuts[0].State != cut.Held {
		t.Fatalf("cut %+v, %v", cuts, err)
	}
	if _, refused := h.lease(held.peer(t)); refused != "" {
		t.Fatalf("a held cut withheld the lease: %q", refused)
	}
	if v := h.view("held"); v.Level != "" {
		t.Fatalf("a held cut shows level %q", v.Level)
	}
}

func TestAMachineWithAnUnliftedCutEnrolsAnewAsPending(t *testing.T) {
	h := newHarness(t)
	old := h.enrol("stolen")
	if _, _, err := h.Open(t.Context(), flow.OpenRequest{
		Device: "stolen", Level: cut.Seal, Cause: cut.Operator, Reason: "stolen", Actor: admin,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.RetireDevice(t.Context(), admin, old.DeviceID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.authenticate(old, old.Chain); err != nil {
		t.Fatalf("a retired device must still fetch the order of its cut: %v", err)
	}
	again := &laptop{key: newKey(t), anchor: old.anchor}
	h.enrolAs(again, "stolen")
	if !again.Pending {
		t.Fatal("the new enrolment is not pending")
	}
	if _, refused := h.lease(again.peer(t)); refused != "pending" {
		t.Fatalf("refused %q", refused)
	}
	if _, err := h.DecideDevice(t.Context(), admin, again.DeviceID, true); err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(again.peer(t)); refused != "" {
		t.Fatalf("refused %q after a person admitted it", refused)
	}
	third := &laptop{key: newKey(t), anchor: old.anchor}
	h.enrolAs(third, "stolen")
	v, err := h.DecideDevice(t.Context(), admin, third.DeviceID, false)
	if err != nil || v.State != device.Retired {
		t.Fatalf("turned away: %+v, %v", v.Device, err)
	}
	if !slices.Contains(h.recorded(again.DeviceID), "device.admitted") {
		t.Fatal("no evidence of the decision")
	}
}
