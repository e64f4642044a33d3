package purge_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
)

// vaultServer answers as Vault's HTTP API is described: a token ends itself.
type vaultServer struct {
	mu      sync.Mutex
	revoked bool
	calls   int
}

func (s *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	switch {
	case s.revoked || r.Header.Get("X-Vault-Token") != secret:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/v1/auth/token/revoke-self":
		s.revoked = true
		w.WriteHeader(http.StatusNoContent)
	default:
		fmt.Fprint(w, `{"data":{"accessor":"acc-1","entity_id":"ent-1","display_name":"token-alice"}}`)
	}
}

func vaultHome(t *testing.T, address string) *bench {
	t.Helper()
	u := user("alice")
	b := newBench(t, u)
	b.root.File(u, u.Home+"/.vault-token", secret)
	b.root.File(u, u.Home+"/.profile", "export VAULT_ADDR="+address+"\n")
	return b
}

func TestAPurgeAsksATokensOwnProviderToEndIt(t *testing.T) {
	vault := &vaultServer{}
	front := httptest.NewServer(vault)
	defer front.Close()
	b := vaultHome(t, front.URL)
	r := b.purge()
	if len(r.Items) != 1 || r.Items[0].GetOutcome() != verified || r.Items[0].GetDetail() != "deleted" {
		t.Fatalf("items %s", list(r.Items))
	}
	host := strings.TrimPrefix(front.URL, "http://")
	if got := valueOf(r.Items[0], "self-revocation"); got != host+" revoked-probed" {
		t.Errorf("self-revocation %q, want it probed at %s", got, host)
	}
	if !vault.revoked {
		t.Error("the token is alive")
	}
}

func TestAProviderThatIsNotThereHoldsUpNothing(t *testing.T) {
	b := vaultHome(t, "http://127.0.0.1:1")
	r := b.purge()
	if len(r.Items) != 1 || r.Items[0].GetOutcome() != verified || !r.Complete {
		t.Fatalf("items %s", list(r.Items))
	}
	if got := valueOf(r.Items[0], "self-revocation"); got != "127.0.0.1:1 unreachable" {
		t.Errorf("self-revocation %q", got)
	}
}

func TestASealAndAPlanAskNobody(t *testing.T) {
	vault := &vaultServer{}
	front := httptest.NewServer(vault)
	defer front.Close()
	b := vaultHome(t, front.URL)
	b.config.Names = &purge.Names{}
	b.plan()
	b.seal()
	if vault.calls > 0 {
		t.Errorf("%d calls", vault.calls)
	}
}

func TestAGroupThatOptedInHasTokensNamedOnce(t *testing.T) {
	vault := &vaultServer{}
	front := httptest.NewServer(vault)
	defer front.Close()
	b := vaultHome(t, front.URL)
	b.config.Names = &purge.Names{}
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Version: "1", Enrich: true} }
	for range 3 {
		items := b.plan()
		if len(items) != 1 || valueOf(items[0], "vault-accessor") != "acc-1" {
			t.Fatalf("items %s: %v", list(items), items)
		}
	}
	if vault.calls != 1 {
		t.Errorf("%d calls, want one", vault.calls)
	}
}
