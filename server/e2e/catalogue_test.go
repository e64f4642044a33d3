package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"cutoff/server/e2e/stack"
)

const acme = `id: org-acme
product: Acme CLI
credentials:
  - id: org-acme-token
    what: The token of the company's own command line
    danger: 30
    paths: {linux: [~/.acme/token, ~/.acme/notes]}
    format: text
    contains: acme_pat_
    action: delete
    regain: sign-in
`

// change is what `catalogue show` says.
type change struct {
	ID    string `json:"change_id"`
	State string `json:"state"`
	Count struct {
		Devices, Answered, Matching, Items int
	} `json:"count"`
	CanaryPlanned int `json:"canary_planned"`
	CanaryItems   int `json:"canary_items"`
}

func (w *world) change(id string) change {
	w.t.Helper()
	var c change
	w.cli(&c, "catalogue", "show", id)
	return c
}

// own writes a file of alice's.
func (w *world) own(name, content string) string {
	w.t.Helper()
	home := filepath.Join(w.laptop.Root, "home", "alice")
	path := filepath.Join(home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		for _, p := range []string{filepath.Dir(path), path} {
			if err := os.Lchown(p, w.laptop.Users[0].UID, w.laptop.Users[0].UID); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return path
}

func TestAnAddedEntryIsCountedApprovedByAnotherTriedOnTheCanaryAndThenCut(t *testing.T) {
	w := newWorld(t)
	token, notes := w.own(".acme/token", "acme_pat_0123456789"), w.own(".acme/notes", "nothing secret")
	w.cli(nil, "group", "set", "pilots")
	w.cli(nil, "device", "assign", "alice-laptop", "--group", "pilots")
	file := filepath.Join(w.dir, "acme.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(acme, "~/.acme/notes", "/etc/shadow", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var exit *stack.Exit
	err := w.server.CLI(w.ctx(), "", nil, "catalogue", "propose", file, "--canary", "pilots")
	if !errors.As(err, &exit) || exit.Status != 2 || !strings.Contains(err.Error(), "acme.yaml:7:") {
		t.Errorf("a file of the system: %v", err)
	}
	if err := os.WriteFile(file, []byte(acme), 0o600); err != nil {
		t.Fatal(err)
	}
	var c change
	w.cli(&c, "catalogue", "propose", file, "--canary", "pilots", "--reason", "the company's command line")
	if c.State != "proposed" || c.Count.Answered != 1 || c.Count.Items != 1 || c.Count.Matching != 1 {
		t.Fatalf("the proposal is %+v", c)
	}
	if err := w.server.CLI(w.ctx(), "", nil, "catalogue", "approve", c.ID); !errors.As(err, &exit) || exit.Status != 1 {
		t.Errorf("the asker approves: %v, want exit status 1", err)
	}

	const password = "a long pass phrase 7"
	if err := w.server.CLI(w.ctx(), password, nil, "user", "create", "bob", "--role", "admin", "--password-file", "-"); err != nil {
		t.Fatal(err)
	}
	ctx := tab(t)
	press(t, ctx, "sign in", chromedp.Navigate(w.server.Console+"/login"), chromedp.SendKeys("#name", "bob"), chromedp.SendKeys("#password", password),
		chromedp.Click("main button[type=submit]"), chromedp.WaitVisible("#found"))
	press(t, ctx, "the catalogue", chromedp.Navigate(w.server.Console+"/catalogue"), chromedp.WaitVisible(".change"))
	shoot(t, ctx, "catalogue-proposed")
	press(t, ctx, "approve", chromedp.Click("form[action$='/approve'] button"))
	w.until("the canary's report", func() bool { c := w.change(c.ID); return c.CanaryPlanned == 1 && c.CanaryItems == 1 })
	press(t, ctx, "the catalogue again", chromedp.Navigate(w.server.Console+"/catalogue"), chromedp.WaitVisible("form[action$='/promote']"))
	shoot(t, ctx, "catalogue-canary")
	press(t, ctx, "promote", chromedp.Click("form[action$='/promote'] button"))
	w.until("everybody's", func() bool { return w.change(c.ID).State == "active" })

	// What was taken survives a restart, and a cut goes by it.
	w.restartAgent()
	id := w.open("purge")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	if _, err := os.Lstat(token); err == nil {
		t.Error("the added entry's file is left")
	}
	if _, err := os.Lstat(notes); err != nil {
		t.Error("a file that fails the content test is gone")
	}
	found := false
	for _, i := range w.cut(id).Items {
		found = found || i.Product == "org-acme" && i.Outcome == "verified"
	}
	if !found {
		t.Error("the receipt does not list the added entry's item")
	}
	w.cli(nil, "evidence", "check")
}
