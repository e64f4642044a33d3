package declarative

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cutoff/server/connector/assertion"
	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// grant is how a token is fetched: OAuth 2.0 client credentials (RFC 6749,
// 4.4) with a secret or a private-key assertion (RFC 7523, 2.2), the JWT bearer
// grant (RFC 7523, 2.1), or an app's own JWT for an installation's token.
type grant struct {
	address           address
	headers           []namedTemplate
	client, secret    template
	style             string
	key               template
	keyID             template
	certificate       template // names the key to Entra, by its hash
	issuer, subject   template
	scopes, audience  template
	assertionAudience template
	more              []namedTemplate
}

func (f *file) grant(n document.Node, m map[string]document.Node, kind string) grant {
	g := grant{
		client: f.template(m["client"]), secret: f.template(m["secret"]), style: m["style"].OneOf("basic", "post"),
		key: f.template(m["key"]), keyID: f.template(m["key_id"]), certificate: f.template(m["key_certificate"]),
		issuer: f.template(m["issuer"]), subject: f.template(m["subject"]), audience: f.template(m["audience"]),
		assertionAudience: f.template(m["assertion_audience"]),
	}
	if scopes := m["scopes"]; scopes.Form() == document.List {
		g.scopes = parseTemplate(scopes, strings.Join(config.Texts(scopes), " "), 0)
		f.vet(g.scopes)
	} else {
		g.scopes = f.template(scopes)
	}
	g.address = f.address(m["from"], m["from"].Text(), 0)
	for _, e := range m["headers"].Entries() {
		g.headers = append(g.headers, namedTemplate{e.Key, f.template(e.Value)})
	}
	for _, e := range m["more"].Entries() {
		g.more = append(g.more, namedTemplate{e.Key, f.template(e.Value)})
	}
	if kind == "oauth2" && m["secret"].Missing() == m["key"].Missing() {
		n.Fault("say secret, or key for a signed assertion")
	}
	return g
}

// Bounds of how long a token is kept: unknownLife if the answer does not say,
// and never up to its very end.
const (
	unknownLife = 5 * time.Minute
	maxLife     = 12 * time.Hour
)

// fetchToken gets a token from the provider.
func (c *Connector) fetchToken(ctx context.Context, v values) (*proof, error) {
	r, err := c.tokenRequest(v)
	if err != nil {
		return nil, err
	}
	at := c.now()
	res, err := c.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if res.Status != http.StatusOK && res.Status != http.StatusCreated {
		return nil, errLogin{res.Status, oauthWord(res.Body)}
	}
	var got struct {
		Access  string          `json:"access_token"`
		Token   string          `json:"token"`
		Type    string          `json:"token_type"`
		Expires json.RawMessage `json:"expires_in"`
		At      time.Time       `json:"expires_at"`
	}
	if json.Unmarshal(res.Body, &got) != nil {
		return nil, errAnswer
	}
	p := &proof{token: got.Access, until: at.Add(lifeOf(got.Expires))}
	if c.auth.kind == "app-jwt" {
		p.token = got.Token
		if !got.At.IsZero() {
			p.until = got.At.Add(-time.Minute)
		}
	}
	if p.token == "" || strings.ContainsFunc(p.token, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) ||
		got.Type != "" && !strings.EqualFold(got.Type, "bearer") {
		return nil, errAnswer
	}
	return p, nil
}

// lifeOf is how long a token of this expires_in (a number, or one in quotes)
// is used: a tenth of it, and at most a minute, is left at its end.
func lifeOf(raw json.RawMessage) time.Duration {
	n, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || !(n > 0) {
		return unknownLife
	}
	life := time.Duration(min(n, maxLife.Seconds()) * float64(time.Second))
	return life - min(life/10, time.Minute)
}

// oauthWord is the answer's error where it is one of the standard's words:
// anything else may be whatever the provider puts there.
func oauthWord(body []byte) string {
	var got struct {
		Error string `json:"error"`
	}
	known := []string{"invalid_client", "invalid_grant", "invalid_scope", "invalid_request", "unauthorized_client", "unsupported_grant_type", "access_denied", "invalid_target"}
	if json.Unmarshal(body, &got) != nil || !slices.Contains(known, got.Error) {
		return ""
	}
	return got.Error
}

// tokenRequest is the request that fetches a token.
func (c *Connector) tokenRequest(v values) (outgoing.Request, error) {
	g := c.auth.token
	u, err := g.address.url(c.spec, v, nil)
	if err != nil {
		return outgoing.Request{}, err
	}
	r := outgoing.Request{Method: http.MethodPost, URL: u, Header: http.Header{"Accept": {"application/json"}}}
	if c.auth.kind == "app-jwt" {
		err := c.appRequest(&r, v)
		return r, err
	}
	form := url.Values{}
	put := func(key string, t template) {
		if s := t.render(v); s != "" {
			form.Set(key, s)
		}
	}
	put("scope", g.scopes)
	put("audience", g.audience)
	for _, t := range g.more {
		put(t.name, t.value)
	}
	aud := g.assertionAudience.render(v)
	if aud == "" {
		aud = u.String()
	}
	client := g.client.render(v)
	switch {
	case c.auth.kind == "jwt-bearer":
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		extra := map[string]any{}
		if s := g.scopes.render(v); s != "" {
			extra["scope"] = s // Google wants it in the assertion
		}
		text, err := c.state(v, assertion.Statement{Issuer: g.issuer.render(v), Subject: g.subject.render(v), Audience: aud, More: extra})
		if err != nil {
			return outgoing.Request{}, err
		}
		form.Set("assertion", text)
		form.Del("scope")
	case len(g.key.parts) > 0:
		form.Set("grant_type", "client_credentials")
		text, err := c.state(v, assertion.Statement{Issuer: client, Subject: client, Audience: aud})
		if err != nil {
			return outgoing.Request{}, err
		}
		form.Set("client_id", client)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", text)
	default:
		form.Set("grant_type", "client_credentials")
		secret := g.secret.render(v)
		if g.style == "post" {
			form.Set("client_id", client)
			form.Set("client_secret", secret)
		} else {
			// RFC 6749, 2.3.1: both are form-encoded first.
			both := url.QueryEscape(client) + ":" + url.QueryEscape(secret)
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(both)))
		}
	}
	r.Body = []byte(form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}

func (c *Connector) appRequest(r *outgoing.Request, v values) error {
	g := c.auth.token
	jwt, err := c.state(v, assertion.Statement{Issuer: g.issuer.render(v)})
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+jwt)
	for _, t := range g.headers {
		s, err := t.value.header(v)
		if err != nil {
			return err
		}
		r.Header.Set(t.name, s)
	}
	return nil
}

// state signs a statement, which no provider takes twice. An empty issuer is
// the service account's own. Where requests are printed nothing is signed: who
// reads the paper could sign in with it.
func (c *Connector) state(v values, of assertion.Statement) (string, error) {
	if strings.Contains(c.auth.token.key.render(v), hidden) {
		return hidden, nil
	}
	if of.Issuer == "" {
		of.Issuer = c.signer.Account()
	}
	of.At, of.Life = c.now(), assertion.MaxLife
	text, err := c.signer.Sign(of)
	if err != nil {
		return "", errUnsafe{"key", "does-not-sign"}
	}
	return text, nil
}
