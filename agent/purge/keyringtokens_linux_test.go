package purge_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
)

// trusting is this test's executable under a name beside which a certificate
// lies: a child of it trusts that, and no other.
func trusting(t *testing.T, s *httptest.Server) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(platformtest.Open(t), "trusting")
	if err := os.Link(self, name); err != nil {
		data, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(name+".pem", text, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func trustingChild() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	if filepath.Base(self) == "trusting" {
		os.Setenv("SSL_CERT_FILE", self+".pem")
	}
}

// gitlabServer answers as GitLab's API is described: personal access tokens tell
// their id and end themselves.
type gitlabServer struct {
	mu    sync.Mutex
	alive map[string]bool
	calls int
}

func (s *gitlabServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	token := r.Header.Get("PRIVATE-TOKEN")
	switch {
	case r.URL.Path != "/api/v4/personal_access_tokens/self":
		w.WriteHeader(http.StatusNotFound)
	case !s.alive[token]:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodDelete:
		s.alive[token] = false
		w.WriteHeader(http.StatusNoContent)
	default:
		fmt.Fprint(w, `{"id":42,"user_id":7,"name":"laptop","active":true}`)
	}
}

// Tokens that lie in a keyring only are read before their items go, and their
// provider ends them.
func TestAPurgeEndsTokensThatOnlyAKeyringHolds(t *testing.T) {
	gitlab := &gitlabServer{alive: map[string]bool{secret: true}}
	front := httptest.NewTLSServer(gitlab)
	defer front.Close()
	host := strings.TrimPrefix(front.URL, "https://")
	b := newBench(t, carol())
	b.config.Self = trusting(t, front)
	k := newKeyring(t, b.root, carol())
	k.store(secret, "GitLab", "service", "glab:"+host, "username", "")
	k.store(secret+"2", "GitHub", "service", "gh:github.com", "username", "carol")
	k.store(secret+"3", "Docker Credentials", "label", "Docker Credentials", "docker_cli", "1", "server", "https://ghcr.io", "username", "carol")
	k.store(secret+"4", "Docker Credentials", "label", "Docker Credentials", "docker_cli", "1", "server", "https://registry.example", "username", "carol")
	k.store("hers", "Mail", "service", "imap.example", "username", "carol")
	r := b.purge()
	var said []string
	for _, i := range prefixed(r.Items, "keyring:") {
		want(t, i, "keyring-delete", verified, "deleted")
		said = append(said, i.GetProduct()+" "+valueOf(i, "self-revocation"))
	}
	slices.Sort(said)
	// A trial asks nobody but this machine; a registry of no known provider is
	// not asked at all.
	expected := []string{"docker ", "docker github.com unreachable", "gh github.com unreachable", "glab " + host + " revoked-probed"}
	if !slices.Equal(said, expected) {
		t.Errorf("the receipt says %q, want %q", said, expected)
	}
	if gitlab.alive[secret] {
		t.Error("the token is alive")
	}
	if !k.has("service", "imap.example") {
		t.Error("an item went that is nobody's token")
	}
	noSecretBelow(t, b.state)
}

// A keyring that is locked shows nothing, and nobody is asked.
func TestALockedKeyringsTokensAreNotAskedFor(t *testing.T) {
	gitlab := &gitlabServer{alive: map[string]bool{secret: true}}
	front := httptest.NewTLSServer(gitlab)
	defer front.Close()
	b := newBench(t, carol())
	b.config.Self = trusting(t, front)
	k := newKeyring(t, b.root, carol())
	k.store(secret, "GitLab", "service", "glab:"+strings.TrimPrefix(front.URL, "https://"), "username", "")
	k.lock()
	want(t, only(t, b.purge().Items, "keyring:"), "left", blocked, "locked")
	if gitlab.calls > 0 {
		t.Errorf("%d calls", gitlab.calls)
	}
}

// An inventory reads a keyring's token only where the group opted in, and then
// once for as long as the item stays as it is.
func TestAGroupThatOptedInHasAKeyringsTokensNamedOnce(t *testing.T) {
	gitlab := &gitlabServer{alive: map[string]bool{secret: true}}
	front := httptest.NewTLSServer(gitlab)
	defer front.Close()
	b := newBench(t, carol())
	b.config.Self = trusting(t, front)
	b.config.Names = &purge.Names{}
	k := newKeyring(t, b.root, carol())
	k.store(secret, "GitLab", "service", "glab:"+strings.TrimPrefix(front.URL, "https://"), "username", "")
	b.plan()
	if gitlab.calls > 0 {
		t.Fatalf("%d calls for a group that did not opt in", gitlab.calls)
	}
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Version: "1", Enrich: true} }
	for range 3 {
		if i := only(t, b.plan(), "keyring:"); valueOf(i, "gitlab-token-id") != "42" {
			t.Fatalf("names %v", i.GetIdentifiers())
		}
	}
	if gitlab.calls != 1 {
		t.Errorf("%d calls, want one", gitlab.calls)
	}
}
