package connector_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"cutoff/server/e2e/stack"
)

// glewlwyd is a real one, from Debian.
type glewlwyd struct {
	t     *testing.T
	base  string
	admin *http.Client
	real  *stack.Glewlwyd
}

func startGlewlwyd(t *testing.T) *glewlwyd {
	t.Helper()
	s := &stack.Stack{Dir: t.TempDir()}
	real, err := s.StartGlewlwyd(t.Context())
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		real.Kill()
		if log, err := os.ReadFile(real.Log); err == nil && t.Failed() {
			t.Logf("glewlwyd said: %s", log)
		}
	})
	return &glewlwyd{t: t, base: real.Base, admin: real.Admin, real: real}
}

// send sends one request with a JSON body (nil: none).
func (g *glewlwyd) send(c *http.Client, method, path string, body any) (int, []byte) {
	status, data, err := g.real.Send(g.t.Context(), c, method, path, body)
	if err != nil {
		return 0, nil
	}
	return status, data
}

// tokens are what a device keeps after its user signed in.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// signIn signs a user in on a device and returns its tokens.
func (g *glewlwyd) signIn(user, agent string) tokens {
	g.t.Helper()
	status, data := g.token(agent, url.Values{
		"grant_type": {"password"}, "username": {user}, "password": {stack.GlewlwydPassword(user)}, "scope": {"openid corp"},
	})
	var got tokens
	if err := json.Unmarshal(data, &got); err != nil || status != 200 || got.Refresh == "" {
		g.t.Fatalf("sign in: %d %s", status, data)
	}
	return got
}

func (g *glewlwyd) token(agent string, form url.Values) (int, []byte) {
	g.t.Helper()
	req, err := http.NewRequest("POST", g.base+"/api/oidc/token", strings.NewReader(form.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", agent)
	req.SetBasicAuth("app1", stack.GlewlwydSecret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, _ := io.ReadAll(res.Body)
	return res.StatusCode, data
}

// refreshes reports whether a refresh token still brings an access token.
func (g *glewlwyd) refreshes(refresh string) bool {
	g.t.Helper()
	status, _ := g.token("probe", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	return status == 200
}

// works reports whether an access token is still taken.
func (g *glewlwyd) works(access string) bool {
	g.t.Helper()
	req, err := http.NewRequest("GET", g.base+"/api/oidc/userinfo", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+access)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode == 200
}

// browse signs a user in by browser; the session is alive while it may list
// its profiles.
func (g *glewlwyd) browse(user string) (alive func() bool) {
	g.t.Helper()
	b, err := g.real.Browse(g.t.Context(), user, stack.GlewlwydPassword(user))
	if err != nil {
		g.t.Fatal(err)
	}
	return func() bool {
		status, _ := g.send(b, "GET", "/api/profile_list", nil)
		return status == 200
	}
}
