package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Glewlwyd is Debian's OAuth server with the OpenID Connect plugin, users alice
// and bob, a client app1 with a secret and a tool laptop-cli without one. Its
// access tokens live an hour.
type Glewlwyd struct {
	*Process
	Base string
	// Issuer is where its discovery is.
	Issuer string
	// Admin is a browser in which its administrator is signed in.
	Admin *http.Client
}

// GlewlwydSecret is app1's.
const GlewlwydSecret = "app1secret"

// StartGlewlwyd starts one on a free port of the loopback address.
func (s *Stack) StartGlewlwyd(ctx context.Context) (*Glewlwyd, error) {
	const schema = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	text, err := os.ReadFile(schema)
	if err != nil {
		return nil, fmt.Errorf("glewlwyd is not installed, run `make setup` first: %w", err)
	}
	database, conf := filepath.Join(s.Dir, "glewlwyd.db"), filepath.Join(s.Dir, "glewlwyd.conf")
	if _, err := s.Run(ctx, "PRAGMA synchronous = OFF;"+string(text), "/usr/bin/sqlite3", database); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	g := &Glewlwyd{Base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	g.Issuer = g.Base + "/api/oidc"
	settings := strings.NewReplacer("PORT", fmt.Sprint(port), "BASE", g.Base, "DIR", s.Dir, "DATABASE", database).Replace(glewlwydConf)
	if err := os.WriteFile(conf, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	if g.Process, err = s.Start(ctx, "/usr/bin/glewlwyd", nil, "-c", conf); err != nil {
		return nil, err
	}
	if g.Admin, err = g.signInAdmin(ctx); err != nil {
		return nil, err
	}
	return g, g.setUp(ctx)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// signInAdmin waits until the server answers: its first line comes before that.
func (g *Glewlwyd) signInAdmin(ctx context.Context) (*http.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		admin, err := g.Browse(ctx, "admin", "password")
		if err == nil {
			return admin, nil
		}
		select {
		case <-g.ended:
			return nil, fmt.Errorf("%s ended: %w", g.Name, g.err)
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Browse is a browser in which a user signed in.
func (g *Glewlwyd) Browse(ctx context.Context, user, password string) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: stay}
	return b, g.must(ctx, b, http.MethodPost, "/api/auth", map[string]any{"username": user, "password": password})
}

// Send sends one request with a JSON body (nil: none).
func (g *Glewlwyd) Send(ctx context.Context, b *http.Client, method, path string, body any) (int, []byte, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, g.Base+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := b.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

func (g *Glewlwyd) must(ctx context.Context, b *http.Client, method, path string, body any) error {
	status, answer, err := g.Send(ctx, b, method, path, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	return err
}

func (g *Glewlwyd) setUp(ctx context.Context) error {
	for _, made := range []struct {
		path string
		body map[string]any
	}{
		{"/api/scope/", map[string]any{
			"name": "corp", "display_name": "corp", "description": "corp", "password_required": true, "password_max_age": 0, "scheme": map[string]any{},
		}},
		{"/api/user/", glewlwydUser("alice")},
		{"/api/user/", glewlwydUser("bob")},
		{"/api/client/", map[string]any{
			"client_id": "app1", "client_name": "app1", "password": GlewlwydSecret, "confidential": true, "enabled": true,
			"authorization_type": []string{"code", "password", "refresh_token", "client_credentials", "delete_token"},
			"redirect_uri":       []string{redirect}, "scope": []string{"corp"}, "token_endpoint_auth_method": []string{"client_secret_basic"},
		}},
		{"/api/client/", map[string]any{
			"client_id": tool, "client_name": tool, "confidential": false, "enabled": true,
			"authorization_type": []string{"code", "refresh_token", "delete_token"},
			"redirect_uri":       []string{redirect}, "scope": []string{"corp"}, "token_endpoint_auth_method": []string{"none"},
		}},
		{"/api/mod/plugin/", map[string]any{
			"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true, "parameters": map[string]any{
				"iss": g.Issuer, "jwt-type": "sha", "jwt-key-size": "256", "key": "0123456789012345678901234567890123",
				"access-token-duration": 3600, "refresh-token-duration": 1209600, "code-duration": 600,
				"refresh-token-rolling": false, "refresh-token-one-use": "never", "allow-non-oidc": true,
				"auth-type-code-enabled": true, "auth-type-token-enabled": false, "auth-type-id-token-enabled": true,
				"auth-type-password-enabled": true, "auth-type-client-enabled": true, "auth-type-refresh-enabled": true, "auth-type-none-enabled": false,
				"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true, "introspection-revocation-auth-scope": []string{},
				"scope": []string{}, "additional-parameters": []string{}, "claims": []string{}, "subject-type": "public", "jwks-show": true,
			},
		}},
	} {
		if err := g.must(ctx, g.Admin, http.MethodPost, made.path, made.body); err != nil {
			return err
		}
	}
	return nil
}

// GlewlwydPassword is a user's.
func GlewlwydPassword(user string) string { return "pw-" + user + "-1" }

func glewlwydUser(name string) map[string]any {
	return map[string]any{
		"username": name, "password": GlewlwydPassword(name), "name": name, "email": name + "@example.com",
		"scope": []string{"openid", "corp", "g_profile"}, "enabled": true,
	}
}

// SignInTool signs alice in at a tool without a secret.
func (g *Glewlwyd) SignInTool(ctx context.Context) (Tokens, error) {
	b, err := g.Browse(ctx, "alice", GlewlwydPassword("alice"))
	if err != nil {
		return Tokens{}, err
	}
	if err := g.must(ctx, b, http.MethodPut, "/api/auth/grant/"+tool, map[string]any{"scope": "openid corp"}); err != nil {
		return Tokens{}, err
	}
	ask := url.Values{"client_id": {tool}, "response_type": {"code"}, "redirect_uri": {redirect}, "scope": {"openid corp"}, "state": {"s"}, "nonce": {"n"}}
	next, err := hop(ctx, b, g.Issuer+"/auth?g_continue&"+ask.Encode(), nil)
	if err != nil {
		return Tokens{}, err
	}
	return redeem(ctx, g.Issuer+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {next.Query().Get("code")}, "redirect_uri": {redirect}, "client_id": {tool},
	}, "")
}

// RefreshTool uses a tool's refresh token; an error means that it is refused.
func (g *Glewlwyd) RefreshTool(ctx context.Context, t Tokens) error {
	return refreshTool(ctx, g.Issuer+"/token", t)
}

const glewlwydConf = `port=PORT
bind_address="127.0.0.1"
external_url="BASE"
login_url="login.html"
api_prefix="api"
static_files_path="DIR"
allow_origin="*"
log_mode="console"
log_level="INFO"
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
database = { type = "sqlite3" path = "DATABASE" };
`
