package console_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheCatalogueSaysWhatAChangeWouldTakeAndWhoDecides(t *testing.T) {
	s := newSite(t)
	admin := s.visitor().signIn("admin-ada")
	page := admin.get("/catalogue")
	wantText(t, "the catalogue", page, "org-acme", "2 of 7 answered", "2</b> wait for another person", "the device did not answer in time",
		"1</b> of 2 devices planned with it", "You asked for it, so another person decides.", "every item", "gnupg", "&lt;b&gt;its token")
	if strings.Contains(page.body, "/catalogue/cat_own/approve") {
		t.Error("the asker may approve his own")
	}
	if viewer := s.visitor().signIn("viewer-vic").get("/catalogue"); strings.Contains(viewer.body, `method="post" action="/catalogue`) {
		t.Error("a viewer is shown what he may not do")
	}
	if a := admin.submit("/catalogue", "/catalogue/cat_proposed/approve"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("approve: %d", a.StatusCode)
	}
	if a := admin.submit("/catalogue", "/catalogue/cat_canary/promote"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("promote: %d", a.StatusCode)
	}
	if got := s.changes[0].GetState() + " " + s.changes[1].GetState(); got != "canary active" {
		t.Errorf("states are %s", got)
	}
	if a := s.visitor().signIn("operator-olu").submit("/devices/dev_7f3k2m9q", "/catalogue/cat_own/withdraw"); a.StatusCode != http.StatusForbidden {
		t.Errorf("an operator withdraws: %d", a.StatusCode)
	}
	s.changes = nil
	wantText(t, "nothing added", admin.get("/catalogue"), "Nothing added")
}
