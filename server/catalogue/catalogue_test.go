package catalogue_test

import (
	"strings"
	"testing"
	"time"

	"cutoff/proto/addition"
	"cutoff/server/catalogue"
)

func TestAChangeGoesOnlyTheWayThatIsWrittenDown(t *testing.T) {
	states := []catalogue.State{catalogue.Proposed, catalogue.Canary, catalogue.Active, catalogue.Withdrawn, ""}
	events := []catalogue.Event{catalogue.Approve, catalogue.Promote, catalogue.Withdraw, ""}
	want := map[string]catalogue.State{
		"proposed approve": catalogue.Canary, "proposed withdraw": catalogue.Withdrawn,
		"canary promote": catalogue.Active, "canary withdraw": catalogue.Withdrawn, "active withdraw": catalogue.Withdrawn,
	}
	for _, from := range states {
		for _, event := range events {
			to, err := catalogue.Next(from, event)
			allowed, ok := want[string(from)+" "+string(event)]
			if ok != (err == nil) || ok && to != allowed {
				t.Errorf("%s, %s: got %s, %v", from, event, to, err)
			}
		}
	}
}

func file(product, contains string) addition.File {
	return addition.File{Name: product + ".yaml", YAML: "id: org-" + product + "\nproduct: X\ncredentials:\n  - {id: org-" + product +
		"-t, what: t, danger: 1, paths: {linux: [~/.x/t]}, format: text, contains: " + contains + ", action: delete, regain: none}\n"}
}

func TestWhatAGroupGoesByIsTheUnionOfWhatReachesIt(t *testing.T) {
	at := catalogue.Step{Actor: "bob", At: time.Unix(1, 0)}
	changes := []catalogue.Change{
		{State: catalogue.Canary, Version: 3, Canary: "pilots", Approved: at, Files: []addition.File{file("acme", "third")}},
		{State: catalogue.Active, Version: 5, Canary: "pilots", Approved: at, Promoted: at, Files: []addition.File{file("acme", "fifth"), file("beta", "beta-1")}},
		{State: catalogue.Active, Version: 2, Canary: "pilots", Approved: at, Promoted: at, Files: []addition.File{file("acme", "second")}},
		{State: catalogue.Withdrawn, Version: 7, Canary: "pilots", Approved: at, Files: []addition.File{file("gone", "gone-1")}},
		{State: catalogue.Proposed, Canary: "pilots", Files: []addition.File{file("later", "later-1")}},
	}
	for group, want := range map[string]struct {
		acme    string
		version int64
	}{"pilots": {"third", 7}, "default": {"fifth", 5}} {
		files := catalogue.Effective(changes, group)
		if len(files) != 2 || !strings.Contains(files[0].YAML, want.acme) || !strings.Contains(files[1].YAML, "beta-1") {
			t.Errorf("%s: %v", group, files)
		}
		if v := catalogue.Version(changes, &catalogue.Choices{}, group); v != want.version {
			t.Errorf("%s: version %d, want %d", group, v, want.version)
		}
	}
}

func TestChoicesSayWhatTheyWiden(t *testing.T) {
	none := catalogue.Choices{}
	all := catalogue.Choices{Everything: true, Policies: []string{"gnupg"}, Accounts: []string{"example.com"}, Enrich: true, WorkTrees: []string{"~/src"}}
	if w := none.Wider(&all); !strings.Contains(w, "keyring") || !strings.Contains(w, "gnupg") || !strings.Contains(w, "example.com") {
		t.Errorf("wider: %q", w)
	}
	if w := all.Wider(&none); w != "" {
		t.Errorf("narrower is called wider: %q", w)
	}
	if w := none.Wider(&catalogue.Choices{Enrich: true, WorkTrees: []string{"~/src"}}); w != "" {
		t.Errorf("what takes nothing away is called wider: %q", w)
	}
	if err := all.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []catalogue.Choices{{Policies: []string{"all"}}, {Accounts: []string{"com"}}, {WorkTrees: []string{"/"}}} {
		if bad.Check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
