package purge_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
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

// A provider that takes the question and never answers has three seconds, and
// every removal is done long before.
func TestAProviderThatHangsHoldsUpNoRemoval(t *testing.T) {
	release := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hung.Close()
	defer close(release)
	b := vaultHome(t, hung.URL)
	u := user("alice")
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret) // treated later than the token
	r := b.purge()
	if len(r.Items) != 2 || !r.Complete {
		t.Fatalf("items %s", list(r.Items))
	}
	for _, i := range r.Items {
		if i.GetOutcome() != verified {
			t.Errorf("%s: %s %s", i.GetPath(), i.GetOutcome(), i.GetDetail())
		}
		if before := r.FinishedBoot - time.Duration(i.GetRemovedBootMs())*time.Millisecond; before < 2*time.Second {
			t.Errorf("%s went %v before the end: it waited for the provider", i.GetPath(), before)
		}
	}
	if got := valueOf(at(t, r.Items, u.Home+"/.vault-token"), "self-revocation"); !strings.HasSuffix(got, " unreachable") {
		t.Errorf("self-revocation %q", got)
	}
}

// The node's key goes last, and the machine's own program logs the node out: a
// purge's first run asks nothing that may cut the network. The server answers as
// tailscaled's LocalAPI (v1.98.10, ipn/localapi) does.
func TestATailscaleNodeLogsItselfOutLast(t *testing.T) {
	root := user("root")
	if root.Name != "root" {
		t.Skip("the machine's stores are root's")
	}
	b := newBench(t, platformtest.Users()...)
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Policies: []string{"network"}} }
	b.root.File(root, "/var/lib/tailscale/tailscaled.state", `{"_machinekey":"`+secret+`"}`)
	b.root.Folder(root, "/run/tailscale", 0o755)
	listener, err := net.Listen("unix", b.root.Path("/run/tailscale/tailscaled.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	var guard sync.Mutex
	daemon := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard.Lock()
		defer guard.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		if r.Host != "local-tailscaled.sock" || r.Referer() != "" || r.Header.Get("Origin") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	daemon.Listener = listener
	daemon.Start()
	defer daemon.Close()
	b.purge()
	if len(asked) > 0 {
		t.Fatalf("before the receipt: asked %q", asked)
	}
	i := at(t, b.purgeAndSweep("cut_2").Items, "/var/lib/tailscale/tailscaled.state")
	want(t, i, "delete", verified, "deleted")
	if got := valueOf(i, "self-revocation"); got != "local-tailscaled.sock revoked" {
		t.Errorf("self-revocation %q", got)
	}
	if !slices.Equal(asked, []string{"POST /localapi/v0/logout"}) {
		t.Errorf("asked %q", asked)
	}
	noSecretBelow(t, b.root.Dir)
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
