package declarative

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// auth is how requests prove who asks.
type auth struct {
	kind  string
	cond  condition
	name  template // of a header, or basic's user
	value template // of a header, bearer's token, basic's password, the signing secret
	call  call     // login's
	ok    []int
	life  time.Duration
	token grant
	// certificate and key are secrets: this side's of a TLS connection.
	certificate, key template
}

// authKeys are what each type needs and what it may have.
var authKeys = map[string]struct{ needs, may []string }{
	"none":              {},
	"basic":             {[]string{"user", "password"}, nil},
	"bearer":            {[]string{"token"}, nil},
	"header":            {[]string{"name", "value"}, nil},
	"login":             {[]string{"call"}, []string{"headers", "json", "form", "ok", "life"}},
	"standard-webhooks": {[]string{"secret"}, nil},
	"oauth2": {
		[]string{"from", "client"},
		[]string{"secret", "style", "key", "key_id", "key_certificate", "scopes", "audience", "assertion_audience", "more"},
	},
	"jwt-bearer": {[]string{"from", "key"}, []string{"issuer", "subject", "key_id", "scopes", "audience", "assertion_audience", "more"}},
	"app-jwt":    {[]string{"from", "issuer", "key"}, []string{"headers", "key_id"}},
}

// auths reads one way to sign in, or a list of them, of which the first whose
// if holds is taken.
func (f *file) auths(n document.Node) {
	if n.Missing() {
		f.spec.auths = []auth{{kind: "none"}}
		return
	}
	if n.Form() != document.List {
		f.spec.auths = []auth{f.auth(n)}
		return
	}
	for _, one := range n.List() {
		f.spec.auths = append(f.spec.auths, f.auth(one))
	}
}

func (f *file) auth(n document.Node) auth {
	known := []string{"type", "if", "certificate", "certificate_key"}
	types := []string{"none", "basic", "bearer", "header", "login", "standard-webhooks", "oauth2", "jwt-bearer", "app-jwt"}
	for _, t := range types {
		for _, key := range slices.Concat(authKeys[t].needs, authKeys[t].may) {
			if !slices.Contains(known, key) {
				known = append(known, key)
			}
		}
	}
	m := n.Map(known...)
	n.Need(m, "type")
	a := auth{kind: m["type"].OneOf(types...), cond: f.condition(m["if"])}
	keys := authKeys[a.kind]
	n.Need(m, keys.needs...)
	for key, v := range m {
		if a.kind != "" && !slices.Contains(known[:4], key) && !slices.Contains(keys.needs, key) && !slices.Contains(keys.may, key) {
			v.Fault("auth of type %s has no %s", a.kind, key)
		}
	}
	if m["certificate"].Missing() != m["certificate_key"].Missing() {
		n.Fault("certificate and certificate_key go together")
	}
	a.certificate, a.key = f.template(m["certificate"]), f.template(m["certificate_key"])
	switch a.kind {
	case "basic":
		a.name, a.value = f.template(m["user"]), f.template(m["password"])
	case "bearer":
		a.value = f.template(m["token"])
	case "header":
		if !validHeader(m["name"].Text()) {
			m["name"].Fault("%q is not a header's name", m["name"].Text())
		}
		a.name, a.value = f.template(m["name"]), f.template(m["value"])
	case "standard-webhooks":
		a.value = f.template(m["secret"])
	case "login":
		a.call, a.ok = f.call(n, m), config.Statuses(m["ok"])
		a.life = m["life"].Duration(time.Second, 24*time.Hour, 5*time.Minute)
		if len(a.ok) == 0 {
			a.ok = []int{200}
		}
	case "oauth2", "jwt-bearer", "app-jwt":
		a.token = f.grant(n, m, a.kind)
	}
	return a
}

// kept says that the proof is fetched once, and anew when it is refused.
func (a auth) kept() bool {
	return slices.Contains([]string{"login", "oauth2", "jwt-bearer", "app-jwt"}, a.kind)
}

// session is what signing in brought, kept in memory only.
type session struct {
	mu    sync.Mutex
	proof *proof
}

// proof is a login's cookies, or a token.
type proof struct {
	cookies []*http.Cookie
	token   string
	until   time.Time
}

// drop forgets the proof that was refused, unless a newer one is there.
func (s *session) drop(refused *proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proof == refused {
		s.proof = nil
	}
}

// authorise adds the proof to r. What was kept of a sign-in is returned.
func (c *Connector) authorise(ctx context.Context, r *outgoing.Request, id string) (*proof, error) {
	a, v := c.auth, c.authValues()
	switch a.kind {
	case "basic":
		both := a.name.render(v) + ":" + a.value.render(v)
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(both)))
	case "bearer":
		token, err := a.value.header(v)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	case "header":
		value, err := a.value.header(v)
		if err != nil {
			return nil, err
		}
		r.Header.Set(a.name.render(v), value)
	case "standard-webhooks":
		c.sign(r, a.value.render(v), id)
	case "login", "oauth2", "jwt-bearer", "app-jwt":
		p, err := c.signIn(ctx, v)
		if err != nil {
			return nil, err
		}
		if p.token != "" {
			r.Header.Set("Authorization", "Bearer "+p.token)
		}
		for _, k := range p.cookies {
			//nolint:gosec // a request's cookie has a name and a value only
			r.Header.Add("Cookie", (&http.Cookie{Name: k.Name, Value: k.Value}).String())
		}
		return p, nil
	}
	return nil, nil
}

func (c *Connector) authValues() values {
	v := values{}
	for k, s := range c.spec.settings {
		v[k] = s
	}
	for k, s := range c.secrets {
		v["secret."+k] = s
	}
	return v
}

// signIn returns a live proof, signing in if there is none. Callers wait for
// one sign-in; it has the deadline of the first of them.
func (c *Connector) signIn(ctx context.Context, v values) (*proof, error) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if p := c.session.proof; p != nil && c.now().Before(p.until) {
		return p, nil
	}
	get := c.fetchToken
	if c.auth.kind == "login" {
		get = c.login
	}
	p, err := get(ctx, v)
	if err != nil {
		return nil, err
	}
	c.session.proof = p
	return p, nil
}

func (c *Connector) login(ctx context.Context, v values) (*proof, error) {
	r, err := c.auth.call.request(c.spec, v, url.Values{}, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	cookies := (&http.Response{Header: res.Header}).Cookies()
	if !slices.Contains(c.auth.ok, res.Status) || len(cookies) == 0 {
		return nil, errLogin{status: res.Status}
	}
	return &proof{cookies: cookies, until: c.now().Add(c.auth.life)}, nil
}

// errLogin says that the provider did not let this connector in, with OAuth's
// word for it where it is one of the standard's.
type errLogin struct {
	status int
	word   string
}

// Error is a word, the status and OAuth's word.
func (e errLogin) Error() string {
	return "login-refused (" + strings.TrimSpace(strconv.Itoa(e.status)+" "+e.word) + ")"
}

// sign adds the headers of Standard Webhooks: an HMAC over id, time and body,
// so that the receiver knows who sent it and a replay is seen.
func (c *Connector) sign(r *outgoing.Request, secret, id string) {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = raw
		}
	}
	stamp := strconv.FormatInt(c.now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(r.Body)
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", stamp)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Idempotency-Key", id)
}
