package purge_test

import (
	"os"
	"strings"
	"testing"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
	"cutoff/proto/addition"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

const acmeProduct = `id: org-acme
product: Acme
credentials:
  - {id: org-acme-token, what: Its token, danger: 1, paths: {linux: [~/.acme/token]}, format: text, contains: acme_pat_, action: delete, regain: sign-in}
  - {id: org-acme-profiles, what: Its profiles, danger: 1, paths: {linux: [~/.acme/*.json]}, format: json, key: auth.token, secrets: [auth.token], action: edit, regain: none}
  - {id: org-acme-aws, what: An attempt on another product, danger: 1, paths: {linux: [~/.aws/credentials]}, format: ini, contains: default, secrets: [region], action: edit, regain: none}
  - {id: org-acme-ssh, what: An attempt on who may log in, danger: 1, paths: {linux: [~/.ssh/auth*]}, format: ini, contains: "ssh-", action: delete, regain: none}
  - {id: org-acme-vault, what: Its vault, danger: 1, paths: {linux: [~/.acme/vault]}, format: text, contains: ACMEVAULT, action: delete, regain: none, policy: vaults}
`

func acmeScope(t *testing.T, policies ...string) func() catalogue.Scope {
	t.Helper()
	added, err := catalogue.Added([]addition.File{{Name: "acme.yaml", YAML: acmeProduct}}, "linux")
	if err != nil {
		t.Fatal(err)
	}
	return func() catalogue.Scope { return catalogue.Scope{Version: "7", Added: added, Policies: policies} }
}

// acmeHome has each entry's file, and beside each a look-alike that fails its
// test.
func acmeHome(t *testing.T) (*bench, platformtest.User) {
	t.Helper()
	u := user("alice")
	b := newBench(t, u)
	for name, content := range map[string]string{
		".acme/token": "acme_pat_" + secret, ".acme/vault": "ACMEVAULT " + secret,
		".acme/work.json": `{"auth": {"token": "` + secret + `", "user": "alice"}}`,
		".acme/ui.json":   `{"theme": "dark"}`, ".acme/broken.json": `{"auth": {"token": "KEEP`,
		".aws/credentials":     "[default]\nregion = eu\naws_secret_access_key = " + secret + "\n",
		".ssh/authorized_keys": "ssh-ed25519 KEEP alice\n",
	} {
		b.root.File(u, u.Home+"/"+name, content)
	}
	b.config.Scope = acmeScope(t)
	return b, u
}

func has(b *bench, name string) bool {
	_, err := os.Lstat(b.root.Path(name))
	return err == nil
}

func remove(t *testing.T, b *bench, name string) {
	t.Helper()
	if err := os.Remove(b.root.Path(name)); err != nil {
		t.Fatal(err)
	}
}

func byPath(items []*cutoffv1.Item, u platformtest.User) map[string]*cutoffv1.Item {
	out := map[string]*cutoffv1.Item{}
	for _, i := range items {
		out[strings.TrimPrefix(i.GetPath(), u.Home+"/")] = i
	}
	return out
}

func TestAddedEntriesTakeWhatPassesTheirTestAndLeaveTheRest(t *testing.T) {
	b, u := acmeHome(t)
	r := b.purge()
	items := byPath(r.Items, u)
	for name, want := range map[string]string{".acme/token": "org-acme delete deleted", ".acme/work.json": "org-acme edit edited",
		".aws/credentials": "aws delete deleted", ".acme/vault": "org-acme left skipped-policy"} {
		i := items[name]
		if got := i.GetProduct() + " " + i.GetAction() + " " + i.GetDetail(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{".acme/ui.json", ".acme/broken.json", ".ssh/authorized_keys", ".acme/vault", ".acme/work.json"} {
		if !has(b, u.Home+"/"+name) {
			t.Errorf("%s is gone", name)
		}
	}
	if items[".ssh/authorized_keys"] != nil || items[".acme/ui.json"] != nil || items[".acme/broken.json"] != nil {
		t.Error("what no entry may touch is listed")
	}
	if want := catalogue.Version() + "+7"; r.CatalogueVersion != want {
		t.Errorf("catalogue version %q, want %q", r.CatalogueVersion, want)
	}
}

func TestWhatAPolicyMustAllowStaysAndLivesOn(t *testing.T) {
	b, u := acmeHome(t)
	planned, err := purge.Plan(t.Context(), b.config)
	if err != nil {
		t.Fatal(err)
	}
	for where, list := range map[string][]*cutoffv1.Item{"plan": planned, "purge": b.purge().Items} {
		i := byPath(list, u)[".acme/vault"]
		if i.GetAction() != "left" || i.GetOutcome() != cutoffv1.Outcome_OUTCOME_UNSUPPORTED || i.GetDetail() != "skipped-policy" || !i.GetResidualUnbounded() {
			t.Errorf("%s: %v", where, i)
		}
	}
	b.config.Scope = acmeScope(t, "vaults")
	if i := byPath(b.purge().Items, u)[".acme/vault"]; i.GetDetail() != "deleted" || i.GetOutcome() != verified {
		t.Errorf("once allowed: %v", i)
	}
}

func TestAnAddedEntryNeverTouchesWhatLiesOutsideTheHome(t *testing.T) {
	b, u := acmeHome(t)
	b.root.File(u, "/srv/acme/token", "acme_pat_KEEP")
	remove(t, b, u.Home+"/.acme/token")
	b.root.Link(u, u.Home+"/.acme/token", "/srv/acme/token")
	remove(t, b, u.Home+"/.acme/work.json")
	b.root.Link(u, u.Home+"/.acme/work.json", u.Home+"/.ssh/authorized_keys")
	items := byPath(b.purge().Items, u)
	if i := items[".acme/token"]; i.GetAction() != "left" || i.GetDetail() != "link-outside" {
		t.Errorf("a link out of the home: %v", i)
	}
	for _, name := range []string{"/srv/acme/token", u.Home + "/.ssh/authorized_keys"} {
		if !has(b, name) {
			t.Errorf("%s is gone", name)
		}
	}
}
