package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A tool's refresh token is ended by the agent itself, at the provider that its
// id token names, before anybody with rights there is asked.
func TestAPurgeEndsATokenAtItsRealProvider(t *testing.T) {
	w := newWorld(t)
	oauth, err := w.stack.StartOAuth(w.ctx(), "alice@example.com", "pass-word", "client-secret", "admin-token")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := oauth.SignInTool(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	other, err := oauth.SignInTool(w.ctx()) // of another device
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(w.laptop.Root, "home/alice/.kube/cache/oidc-login")
	text, err := json.Marshal(map[string]string{"id_token": mine.ID, "refresh_token": mine.Refresh})
	if err != nil {
		t.Fatal(err)
	}
	writeAs(t, filepath.Join(cache, "5d41402abc"), text, filepath.Join(w.laptop.Root, "home/alice"))
	var c struct {
		Items []struct {
			Path        string
			Identifiers []struct{ Kind, Value string }
		}
	}
	id := w.open("purge")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	w.cli(&c, "cut", "show", id)
	said := ""
	for _, i := range c.Items {
		for _, name := range i.Identifiers {
			if name.Kind == "self-revocation" && strings.HasSuffix(i.Path, "/oidc-login") {
				said = name.Value
			}
		}
	}
	if !strings.HasSuffix(said, " revoked") {
		t.Errorf("the receipt says %q of the token, want that its provider revoked it", said)
	}
	if err := oauth.RefreshTool(w.ctx(), mine); err == nil {
		t.Error("the provider still takes the token")
	}
	if err := oauth.RefreshTool(w.ctx(), other); err != nil {
		t.Errorf("another device's token: %v", err)
	}
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
