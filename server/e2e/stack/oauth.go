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

// SignIn runs the authorization code flow as a browser would and keeps the
// session's tokens.
func (o *OAuth) SignIn(ctx context.Context) error {
	got, err := o.signIn(ctx, url.Values{"client_id": {"laptop-app"}}, url.Values{})
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

// SignInTool is SignIn for a command-line tool: a public client, with a proof
// key (RFC 7636) and no secret.
func (o *OAuth) SignInTool(ctx context.Context) (Tokens, error) {
	verifier := strings.Repeat("a-verifier-", 5)
	sum := sha256.Sum256([]byte(verifier))
	return o.signIn(ctx, url.Values{"client_id": {"laptop-cli"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}},
		url.Values{"client_id": {"laptop-cli"}, "code_verifier": {verifier}})
}

// RefreshTool uses a tool's refresh token; an error means that it is refused.
func (o *OAuth) RefreshTool(ctx context.Context, t Tokens) error {
	_, err := o.exchange(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}, "client_id": {"laptop-cli"}})
	return err
}

func (o *OAuth) signIn(ctx context.Context, ask, redeem url.Values) (Tokens, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return Tokens{}, err
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	for name, value := range map[string]string{"response_type": "code", "redirect_uri": redirect, "scope": "openid email offline_access", "state": "s"} {
		ask.Set(name, value)
	}
	at := o.Issuer + "auth?" + ask.Encode()
	form := url.Values{}
	for range 6 {
		next, err := hop(ctx, browser, at, form)
		if err != nil {
			return Tokens{}, err
		}
		form = url.Values{}
		switch {
		case strings.HasPrefix(next.String(), redirect):
			redeem.Set("grant_type", "authorization_code")
			redeem.Set("code", next.Query().Get("code"))
			redeem.Set("redirect_uri", redirect)
			return o.exchange(ctx, redeem)
		case next.Query().Get("authRequestID") != "":
			form = url.Values{"id": {next.Query().Get("authRequestID")}, "username": {o.User}, "password": {o.password}}
		}
		at = next.String()
	}
	return Tokens{}, errors.New("the sign-in did not end")
}

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

// exchange asks the token endpoint; a client that is not named in form is the
// one with the secret.
func (o *OAuth) exchange(ctx context.Context, form url.Values) (Tokens, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.Issuer+"oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return Tokens{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if form.Get("client_id") == "" {
		req.SetBasicAuth("laptop-app", o.secret)
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.Issuer+"userinfo", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+o.access)
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
