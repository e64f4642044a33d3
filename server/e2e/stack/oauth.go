package stack

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// OAuth is the demo's identity provider and one live session of its user.
type OAuth struct {
	*Process
	Issuer string `json:"issuer"`
	Admin  string `json:"admin"`
	// AdminToken opens its admin endpoint.
	AdminToken string
	User       string
	secret     string
	password   string
	access     string
	refresh    string
}

// StartOAuth starts cutoff-oauthd with one user.
func (s *Stack) StartOAuth(ctx context.Context, user, password, secret, admin string) (*OAuth, error) {
	o := &OAuth{User: user, AdminToken: admin, secret: secret, password: password}
	env := []string{"OAUTHD_PASSWORD=" + password, "OAUTHD_CLIENT_SECRET=" + secret, "OAUTHD_ADMIN_TOKEN=" + admin}
	p, err := s.Start(ctx, "cutoff-oauthd", env, "--user", user)
	if err != nil {
		return nil, err
	}
	o.Process = p
	return o, json.Unmarshal(p.Ready, o)
}

const redirect = "http://127.0.0.1:9/callback"

// tool is a command-line tool, a client without a secret.
const tool = "laptop-cli"

// SignIn runs the authorization code flow as a browser would and keeps the
// session's tokens.
func (o *OAuth) SignIn(ctx context.Context) error {
	code, err := authorize(ctx, o.Issuer+"auth", url.Values{"client_id": {"laptop-app"}}, o.fill)
	if err != nil {
		return err
	}
	got, err := o.exchange(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}})
	if err == nil {
		o.access, o.refresh = got.Access, got.Refresh
	}
	return err
}

// Tokens are those of one session.
type Tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// SignInTool is SignIn for a command-line tool.
func (o *OAuth) SignInTool(ctx context.Context) (Tokens, error) {
	return signInTool(ctx, o.Issuer+"auth", o.Issuer+"oauth/token", o.fill)
}

// RefreshTool uses a tool's refresh token; an error means that it is refused.
func (o *OAuth) RefreshTool(ctx context.Context, t Tokens) error {
	return refreshTool(ctx, o.Issuer+"oauth/token", t)
}

// fill is the sign-in form, where next shows it.
func (o *OAuth) fill(next *url.URL) url.Values {
	if id := next.Query().Get("authRequestID"); id != "" {
		return url.Values{"id": {id}, "username": {o.User}, "password": {o.password}}
	}
	return nil
}

// signInTool signs a user in at a tool: with a proof key (RFC 7636).
func signInTool(ctx context.Context, auth, token string, fill func(*url.URL) url.Values) (Tokens, error) {
	verifier := strings.Repeat("a-verifier-", 5)
	sum := sha256.Sum256([]byte(verifier))
	code, err := authorize(ctx, auth, url.Values{"client_id": {tool}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}, fill)
	if err != nil {
		return Tokens{}, err
	}
	return redeem(ctx, token, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {tool}, "code_verifier": {verifier},
	}, "")
}

func refreshTool(ctx context.Context, token string, t Tokens) error {
	_, err := redeem(ctx, token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}, "client_id": {tool}}, "")
	return err
}

// authorize goes through a provider's pages as a browser would, fills the forms
// that fill knows, and returns the code.
func authorize(ctx context.Context, auth string, ask url.Values, fill func(*url.URL) url.Values) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: stay}
	for name, value := range map[string]string{"response_type": "code", "redirect_uri": redirect, "scope": "openid email offline_access", "prompt": "consent", "state": "s"} {
		ask.Set(name, value)
	}
	at, form := auth+"?"+ask.Encode(), url.Values(nil)
	for range 8 {
		next, err := hop(ctx, browser, at, form)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(next.String(), redirect) {
			return next.Query().Get("code"), nil
		}
		at, form = next.String(), fill(next)
	}
	return "", errors.New("the sign-in did not end")
}

// stay shows a browser's user each redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// hop fetches one page and returns where it redirects to.
func hop(ctx context.Context, browser *http.Client, at string, form url.Values) (*url.URL, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if len(form) > 0 {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	if len(form) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	next, err := res.Location()
	if err != nil {
		return nil, fmt.Errorf("%s answered %s: %w", req.URL.Path, res.Status, err)
	}
	return next, nil
}

// exchange asks the token endpoint as the client with the secret.
func (o *OAuth) exchange(ctx context.Context, form url.Values) (Tokens, error) {
	return redeem(ctx, o.Issuer+"oauth/token", form, o.secret)
}

// redeem asks a token endpoint; with a secret as laptop-app, else as the client
// that form names.
func redeem(ctx context.Context, endpoint string, form url.Values, secret string) (Tokens, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Tokens{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		req.SetBasicAuth("laptop-app", secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Tokens{}, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return Tokens{}, fmt.Errorf("the token endpoint answered %s", res.Status)
	}
	var tokens Tokens
	return tokens, json.NewDecoder(res.Body).Decode(&tokens)
}

// Refresh uses the session's refresh token; an error means that it is refused.
func (o *OAuth) Refresh(ctx context.Context) error {
	got, err := o.exchange(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {o.refresh}})
	if err == nil {
		o.access, o.refresh = got.Access, got.Refresh
	}
	return err
}

// UserInfo uses the session's access token; an error means that it is refused.
func (o *OAuth) UserInfo(ctx context.Context) error {
	return userInfo(ctx, o.Issuer+"userinfo", o.access)
}

func userInfo(ctx context.Context, endpoint, access string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+access)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("userinfo answered %s", res.Status)
	}
	return nil
}
