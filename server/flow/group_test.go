package flow_test

import (
	"testing"
	"time"

	"cutoff/server/fault"
	"cutoff/server/flow"
)

func TestTheDefaultGroupIsThere(t *testing.T) {
	h := newHarness(t)
	all, err := h.Groups(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name != "default" || all[0].Seal != 72*time.Hour || all[0].AtExpiry != "seal" || all[0].Devices != 0 {
		t.Fatalf("groups %+v", all)
	}
}

func TestSetGroupChangesOnlyWhatIsGiven(t *testing.T) {
	h := newHarness(t)
	seconds := func(n time.Duration) *time.Duration { d := n * time.Second; return &d }
	v, err := h.SetGroup(t.Context(), admin, "demo", flow.GroupChange{
		Renew: seconds(1), Warn: seconds(2), Seal: seconds(3), Purge: seconds(4),
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Renew != time.Second || v.Purge != 4*time.Second || v.Report != 5*time.Minute {
		t.Fatalf("group %+v", v.Group)
	}
	purge := "purge"
	if v, err = h.SetGroup(t.Context(), admin, "demo", flow.GroupChange{AtExpiry: &purge}); err != nil {
		t.Fatal(err)
	}
	if v.AtExpiry != "purge" || v.Warn != 2*time.Second {
		t.Fatalf("group %+v", v.Group)
	}
	l := newLaptop(t, "short")
	result, err := h.Enroll(t.Context(), l.request(t, h.token("demo", 1, time.Hour), "short"))
	if err != nil {
		t.Fatal(err)
	}
	l.EnrollResult = result
	lease, _ := h.lease(l.peer(t))
	if lease.GetSealMs() != 3000 || lease.GetAtExpiry().String() != "AT_EXPIRY_PURGE" {
		t.Fatalf("lease %v", lease)
	}
}

func TestAPrivilegedGroupHasShortDeadlinesAndNobodyComesBackAlone(t *testing.T) {
	h := newHarness(t)
	yes, help, report, toll := true, "Call IT: 555 0100", "report", 10*time.Minute
	v, err := h.SetGroup(t.Context(), admin, "admins", flow.GroupChange{Privileged: &yes, Help: &help, OnTamper: &report, BootToll: &toll})
	if err != nil {
		t.Fatal(err)
	}
	if v.Seal != 4*time.Hour || v.Purge != 24*time.Hour || v.Stopped != 15*time.Minute || v.AutoLift || !v.Privileged {
		t.Fatalf("group %+v", v.Group)
	}
	_, err = h.SetGroup(t.Context(), admin, "admins", flow.GroupChange{AutoLift: &yes})
	mustFail(t, err, fault.Invalid, "lifted by a person")
	l := newLaptop(t, "root")
	if l.EnrollResult, err = h.Enroll(t.Context(), l.request(t, h.token("admins", 1, time.Hour), "root")); err != nil {
		t.Fatal(err)
	}
	lease, _ := h.lease(l.peer(t))
	if lease.GetOnTamper().String() != "ON_TAMPER_REPORT" || lease.GetBootTollMs() != 600_000 || lease.GetHelp() != help {
		t.Fatalf("lease %v", lease)
	}
	all, err := h.Groups(t.Context(), admin)
	if err != nil || all[0].Group != v.Group {
		t.Fatalf("kept %+v, %v", all, err)
	}
}

func TestSetGroupRefusesDeadlinesOutOfOrder(t *testing.T) {
	h := newHarness(t)
	of := func(d time.Duration) *time.Duration { return &d }
	word, three, yes, lines := "never", 6, true, "call\nus"
	for name, c := range map[string]struct {
		change flow.GroupChange
		says   string
	}{
		"below a second":        {flow.GroupChange{Renew: of(time.Second - time.Millisecond)}, "renew is 999ms"},
		"not whole ms":          {flow.GroupChange{Warn: of(time.Hour + time.Microsecond)}, "millisecond"},
		"longer than a year":    {flow.GroupChange{Purge: of(10_000 * time.Hour)}, "purge is"},
		"renew at warn":         {flow.GroupChange{Renew: of(48 * time.Hour)}, "renew (48h0m0s) must be shorter than warn (48h0m0s)"},
		"warn after seal":       {flow.GroupChange{Warn: of(100 * time.Hour)}, "warn (100h0m0s) must be shorter than seal"},
		"seal after purge":      {flow.GroupChange{Seal: of(15 * 24 * time.Hour)}, "seal (360h0m0s) must be shorter than purge"},
		"an unknown expiry":     {flow.GroupChange{AtExpiry: &word}, "seal or purge"},
		"more people than five": {flow.GroupChange{Approvals: &three}, "approvals"},
		"an unknown answer":     {flow.GroupChange{OnTamper: &word}, "seal or report"},
		"a toll like a lease":   {flow.GroupChange{BootToll: of(72 * time.Hour)}, "boot toll"},
		"two lines of help":     {flow.GroupChange{Help: &lines}, "one line"},
		"privileged, by itself": {flow.GroupChange{Privileged: &yes, AutoLift: &yes}, "auto-lift stays off"},
		"no report":             {flow.GroupChange{Report: of(0)}, "report is 0s"},
	} {
		_, err := h.SetGroup(t.Context(), admin, "default", c.change)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		mustFail(t, err, fault.Invalid, c.says)
	}
	for _, bad := range []string{"", "Big", "-x", "a b", "../x"} {
		_, err := h.SetGroup(t.Context(), admin, bad, flow.GroupChange{})
		mustFail(t, err, fault.Invalid, "not a group's name")
	}
	all, err := h.Groups(t.Context(), admin)
	if err != nil || len(all) != 1 || all[0].Warn != 48*time.Hour {
		t.Fatalf("groups %+v, %v", all, err)
	}
}
