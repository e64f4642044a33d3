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

func TestSetGroupRefusesDeadlinesOutOfOrder(t *testing.T) {
	h := newHarness(t)
	of := func(d time.Duration) *time.Duration { return &d }
	word, three := "never", 6
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
