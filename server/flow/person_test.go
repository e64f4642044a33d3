package flow_test

import (
	"slices"
	"testing"

	"cutoff/server/fault"
	"cutoff/server/person"
)

func TestLinkPersonCreatesOnceAndAddsAccounts(t *testing.T) {
	h := newHarness(t)
	okta := person.Account{Connector: "okta", Account: "00u1"}
	github := person.Account{Connector: "github", Account: "ada"}
	first, err := h.LinkPerson(t.Context(), admin, "Ada@Example.com", "Ada", []person.Account{okta})
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.LinkPerson(t.Context(), admin, "ada@example.com", "", []person.Account{github, okta})
	if err != nil {
		t.Fatal(err)
	}
	if second.ID != first.ID || second.Name != "Ada" || second.Email != "ada@example.com" ||
		!slices.Equal(second.Accounts, []person.Account{okta, github}) {
		t.Fatalf("person %+v", second)
	}
	for _, key := range []string{first.ID, "ADA@example.com"} {
		got, err := h.Person(t.Context(), admin, key)
		if err != nil || got.ID != first.ID || len(got.Accounts) != 2 {
			t.Fatalf("by %s: %+v, %v", key, got, err)
		}
	}
	all, err := h.People(t.Context(), admin)
	if err != nil || len(all) != 1 {
		t.Fatalf("people %+v, %v", all, err)
	}
}

func TestLinkPersonRefusesWhatIsNoPerson(t *testing.T) {
	h := newHarness(t)
	for name, c := range map[string]struct {
		email    string
		name     string
		accounts []person.Account
	}{
		"no address":             {"", "", nil},
		"a name with an address": {"Ada <ada@example.com>", "", nil},
		"no domain":              {"ada", "", nil},
		"an account of nobody":   {"ada@example.com", "", []person.Account{{Connector: "okta"}}},
		"an account nowhere":     {"ada@example.com", "", []person.Account{{Account: "ada"}}},
		"an escape sequence":     {"ada@example.com", "a\x1b[2J", nil},
		"accounts without end":   {"ada@example.com", "", manyAccounts(65)},
	} {
		_, err := h.LinkPerson(t.Context(), admin, c.email, c.name, c.accounts)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := h.Person(t.Context(), admin, "ada@example.com")
	mustFail(t, err, fault.NotFound, "no person")
}

func manyAccounts(n int) []person.Account {
	all := make([]person.Account, n)
	for i := range all {
		all[i] = person.Account{Connector: "okta", Account: string(rune('!' + i))}
	}
	return all
}

func TestADeviceIsAssignedToAPersonAndAGroup(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("assigned")
	ada, err := h.LinkPerson(t.Context(), admin, "ada@example.com", "Ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := h.AssignDevice(t.Context(), admin, "assigned", "ada@example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	if v.PersonID != ada.ID || v.Group != "default" {
		t.Fatalf("device %+v", v.Device)
	}
	got, err := h.Person(t.Context(), admin, ada.ID)
	if err != nil || !slices.Equal(got.DeviceIDs, []string{l.DeviceID}) {
		t.Fatalf("person %+v, %v", got, err)
	}
	all, err := h.People(t.Context(), admin)
	if err != nil || !slices.Equal(all[0].DeviceIDs, []string{l.DeviceID}) {
		t.Fatalf("people %+v, %v", all, err)
	}
	for word, bad := range map[string][2]string{"no person": {"bob@example.com", ""}, "no group": {"", "nowhere"}} {
		_, err := h.AssignDevice(t.Context(), admin, "assigned", bad[0], bad[1])
		mustFail(t, err, fault.NotFound, word)
	}
	_, err = h.AssignDevice(t.Context(), admin, "assigned", "", "")
	mustFail(t, err, fault.Invalid, "to whom")
}
