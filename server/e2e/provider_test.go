package e2e

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cutoff/server/e2e/stack"
)

// tool is a command-line tool's side of an OAuth server.
type tool interface {
	SignInTool(context.Context) (stack.Tokens, error)
	RefreshTool(context.Context, stack.Tokens) error
}

// A tool's refresh token is ended by the agent itself, at the provider that its
// id token names, before anybody with rights there is asked. The receipt says
// what each provider did; what the other device holds goes on.
func TestAPurgeEndsATokenAtItsRealProvider(t *testing.T) {
	w := newWorld(t)
	oauth, err := w.stack.StartOAuth(w.ctx(), "alice@example.com", "pass-word", "client-secret", "admin-token")
	if err != nil {
		t.Fatal(err)
	}
	node, err := w.stack.StartOIDCProvider(w.ctx(), "oidcprovider/provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	glewlwyd, err := w.stack.StartGlewlwyd(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	providers := []struct {
		name, issuer string
		tool         tool
		word         string
		mine, other  stack.Tokens
	}{
		{name: "zitadel", issuer: oauth.Issuer, tool: oauth, word: "revoked"},
		{name: "oidc-provider", issuer: node.Issuer, tool: node, word: "revoked"},
		// It takes a revocation only of clients with a secret, which no cache holds.
		{name: "glewlwyd", issuer: glewlwyd.Issuer, tool: glewlwyd, word: "refused"},
	}
	home := filepath.Join(w.laptop.Root, "home/alice")
	for i := range providers {
		p := &providers[i]
		if p.mine, err = p.tool.SignInTool(w.ctx()); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		if p.other, err = p.tool.SignInTool(w.ctx()); err != nil { // on another device
			t.Fatalf("%s: %v", p.name, err)
		}
		text, err := json.Marshal(map[string]string{"id_token": p.mine.ID, "refresh_token": p.mine.Refresh})
		if err != nil {
			t.Fatal(err)
		}
		writeAs(t, filepath.Join(home, ".kube/cache/oidc-login", p.name), text, home)
	}
	if err := node.UserInfo(w.ctx(), providers[1].mine); err != nil {
		t.Fatalf("oidc-provider, the access token before: %v", err)
	}
	id := w.open("purge")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	residual, said := w.selfRevocations(id, "/oidc-login")
	if residual != "unbounded" {
		t.Errorf("one token goes on without an end, and the receipt says until %q", residual)
	}
	for _, p := range providers {
		if word := said[hostOf(t, p.issuer)]; word != p.word {
			t.Errorf("the receipt says %q of %s, want %q", word, p.name, p.word)
		}
		if err := p.tool.RefreshTool(w.ctx(), p.mine); (err == nil) != (p.word == "refused") {
			t.Errorf("%s: the receipt says %q, and a refresh answers: %v", p.name, p.word, err)
		}
		if err := p.tool.RefreshTool(w.ctx(), p.other); err != nil {
			t.Errorf("%s: another device's token: %v", p.name, err)
		}
	}
	// With its refresh token the whole grant goes, of this device only.
	if err := node.UserInfo(w.ctx(), providers[1].mine); err == nil {
		t.Error("oidc-provider still takes the access token")
	}
	if err := node.UserInfo(w.ctx(), providers[1].other); err != nil {
		t.Errorf("oidc-provider, another device's access token: %v", err)
	}
}

// selfRevocations are until when what was at a place may still work, and a
// receipt's words of the tokens in it, by host.
func (w *world) selfRevocations(id, place string) (residual string, said map[string]string) {
	w.t.Helper()
	said = map[string]string{}
	for _, i := range w.itemsAt(id, place) {
		residual = i.Residual
		for _, name := range i.Identifiers {
			if host, word, ok := strings.Cut(name.Value, " "); ok && name.Kind == "self-revocation" {
				said[host] = word
			}
		}
	}
	return residual, said
}

// identifiers are the names of what was at a place, by kind.
func (w *world) identifiers(id, place string) map[string]string {
	w.t.Helper()
	names := map[string]string{}
	for _, i := range w.itemsAt(id, place) {
		for _, name := range i.Identifiers {
			names[name.Kind] = name.Value
		}
	}
	return names
}

// shownItem is an item of a cut, as `cut show` has it.
type shownItem struct {
	Path        string
	Residual    string `json:"residual_until"`
	Identifiers []struct{ Kind, Value string }
}

func (w *world) itemsAt(id, place string) []shownItem {
	w.t.Helper()
	var c struct{ Items []shownItem }
	w.cli(&c, "cut", "show", id)
	return slices.DeleteFunc(c.Items, func(i shownItem) bool { return !strings.HasSuffix(i.Path, place) })
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// writeAs writes a file and its folders as the owner of home.
func writeAs(t *testing.T, name string, text []byte, home string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(home)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := owner(info)
	for at := name; at != home; at = filepath.Dir(at) {
		if err := os.Lchown(at, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}
