package connector_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

const installGlewlwyd = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends glewlwyd"

// glewlwyd is a real one, from Debian, on a free port of the loopback.
type glewlwyd struct {
	t     *testing.T
	base  string
	admin *http.Client
}

// startGlewlwyd starts one with a user alice, a client app1 and the OpenID
// Connect plugin, whose access tokens live an hour.
func startGlewlwyd(t *testing.T) *glewlwyd {
	t.Helper()
	const binary, schema = "/usr/bin/glewlwyd", "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	for _, file := range []string{binary, schema} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%s is missing; this test proves revocation against the real server:\n\t%s", file, installGlewlwyd)
		}
	}
	dir := t.TempDir()
	text, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "glewlwyd.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA synchronous = OFF;" + string(text)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	g := &glewlwyd{t: t, base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	conf := fmt.Sprintf(`port=%d
bind_address="127.0.0.1"
external_url="http://127.0.0.1:%d"
login_url="login.html"
api_prefix="api"
static_files_path="%s"
allow_origin="*"
log_mode="console"
log_level="WARNING"
cookie_domain="127.0.0.1"
cookie_secure=0
session_expiration=2419200
session_key="GLEWLWYD2_SESSION_ID"
admin_session_authentication="cookie"
profile_session_authentication="cookie"
allow_multiple_user_per_session=true
login_api_enabled=true
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
user_middleware_module_path="/usr/lib/glewlwyd/user_middleware"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=false
secure_connection_key_file="/nonexistent/cert.key"
secure_connection_pem_file="/nonexistent/cert.pem"
secure_connection_ca_file="/nonexistent/ca.crt"
hash_algorithm = "SHA512"
database = { type = "sqlite3" path = "%s" };
`, port, port, t.TempDir(), filepath.Join(dir, "glewlwyd.db"))
	confFile := filepath.Join(dir, "glewlwyd.conf")
	if err := os.WriteFile(confFile, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "-c", confFile)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("glewlwyd said: %s", log.String())
		}
	})
	g.admin = g.browser()
	eventually(t, "glewlwyd answers", func() bool {
		select {
		case <-ended:
			t.Fatal("glewlwyd ended")
		default:
		}
		status, _ := g.send(g.admin, "POST", "/api/auth", map[string]any{"username": "admin", "password": "password"})
		return status == 200
	})
	g.setUp()
	return g
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually waits for done, and fails the test if it takes too long.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (g *glewlwyd) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 10 * time.Second}
}

// send sends one request with a JSON body (nil: none).
func (g *glewlwyd) send(c *http.Client, method, path string, body any) (int, []byte) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			g.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, g.base+path, reader)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	data, _ := io.ReadAll(res.Body)
	return res.StatusCode, data
}

func (g *glewlwyd) must(method, path string, body any) {
	g.t.Helper()
	if status, data := g.send(g.admin, method, path, body); status != 200 {
		g.t.Fatalf("%s %s: %d %s", method, path, status, data)
	}
}

func (g *glewlwyd) setUp() {
	g.t.Helper()
	g.must("POST", "/api/scope/", map[string]any{
		"name": "corp", "display_name": "corp", "description": "corp", "password_required": true, "password_max_age": 0, "scheme": map[string]any{},
	})
	for _, name := range []string{"alice", "bob"} {
		g.must("POST", "/api/user/", map[string]any{
			"username": name, "password": "pw-" + name + "-1", "name": name, "email": name + "@example.com",
			"scope": []string{"openid", "corp", "g_profile"}, "enabled": true,
		})
	}
	g.must("POST", "/api/client/", map[string]any{
		"client_id": "app1", "client_name": "app1", "password": "app1secret", "confidential": true, "enabled": true,
		"authorization_type": []string{"code", "password", "refresh_token", "client_credentials", "delete_token"},
		"redirect_uri":       []string{"http://127.0.0.1:9/cb"}, "scope": []string{"corp"}, "token_endpoint_auth_method": []string{"client_secret_basic"},
	})
	g.must("POST", "/api/mod/plugin/", map[string]any{
		"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true, "parameters": map[string]any{
			"iss": g.base, "jwt-type": "sha", "jwt-key-size": "256", "key": "0123456789012345678901234567890123",
			"access-token-duration": 3600, "refresh-token-duration": 1209600, "code-duration": 600,
			"refresh-token-rolling": false, "refresh-token-one-use": "never", "allow-non-oidc": true,
			"auth-type-code-enabled": true, "auth-type-token-enabled": false, "auth-type-id-token-enabled": true,
			"auth-type-password-enabled": true, "auth-type-client-enabled": true, "auth-type-refresh-enabled": true, "auth-type-none-enabled": false,
			"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true, "introspection-revocation-auth-scope": []string{},
			"scope": []string{}, "additional-parameters": []string{}, "claims": []string{}, "subject-type": "public", "jwks-show": true,
		},
	})
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
		"grant_type": {"password"}, "username": {user}, "password": {"pw-" + user + "-1"}, "scope": {"openid corp"},
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
	req.SetBasicAuth("app1", "app1secret")
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
	b := g.browser()
	if status, data := g.send(b, "POST", "/api/auth", map[string]any{"username": user, "password": "pw-" + user + "-1"}); status != 200 {
		g.t.Fatalf("sign in by browser: %d %s", status, data)
	}
	return func() bool {
		status, _ := g.send(b, "GET", "/api/profile_list", nil)
		return status == 200
	}
}
