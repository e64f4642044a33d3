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
	name  template // of a header, or basic's user
	value template // of a header, bearer's token, basic's password, the signing secret
	call  call     // login's
	ok    []int
	life  time.Duration
}

func (f *file) auth(n document.Node) auth {
	if n.Missing() {
		return auth{kind: "none"}
	}
	m := n.Map("type", "user", "password", "token", "name", "value", "secret", "call", "headers", "json", "form", "ok", "life")
	a := auth{kind: m["type"].OneOf("none", "basic", "bearer", "header", "login", "standard-webhooks")}
	n.Need(m, "type")
	keys := map[string][]string{
		"basic": {"user", "password"}, "bearer": {"token"}, "header": {"name", "value"},
		"login": {"call"}, "standard-webhooks": {"secret"},
	}[a.kind]
	n.Need(m, keys...)
	for key, v := range m {
		login := a.kind == "login" && slices.Contains([]string{"headers", "json", "form", "ok", "life"}, key)
		if key != "type" && !login && !slices.Contains(keys, key) && a.kind != "" {
			v.Fault("auth of type %s has no %s", a.kind, key)
		}
	}
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
	}
	return a
}

// session is the cookie a login got, kept in memory only.
type session struct {
	mu      sync.Mutex
	cookies []*http.Cookie
	until   time.Time
}

// drop forgets the cookie that was refused, unless a newer one is there.
func (s *session) drop(refused []*http.Cookie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(refused) == 0 || len(s.cookies) == 0 || s.cookies[0] == refused[0] {
		s.cookies = nil
	}
}

// authorise adds the proof to r. The cookies it used, if any, are returned.
func (c *Connector) authorise(ctx context.Context, r *outgoing.Request, id string) ([]*http.Cookie, error) {
	a, v := c.spec.auth, c.authValues()
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
	case "login":
		cookies, err := c.login(ctx, v)
		if err != nil {
			return nil, err
		}
		for _, k := range cookies {
			//nolint:gosec // a request's cookie has a name and a value only
			r.Header.Add("Cookie", (&http.Cookie{Name: k.Name, Value: k.Value}).String())
		}
		return cookies, nil
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

// login returns a live session's cookies, logging in if there is none. Callers
// wait for one login; it has the deadline of the first of them.
func (c *Connector) login(ctx context.Context, v values) ([]*http.Cookie, error) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if len(c.session.cookies) > 0 && c.now().Before(c.session.until) {
		return c.session.cookies, nil
	}
	r, err := c.spec.auth.call.request(c.spec.bases, v, url.Values{})
	if err != nil {
		return nil, err
	}
	res, err := c.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	cookies := (&http.Response{Header: res.Header}).Cookies()
	if !slices.Contains(c.spec.auth.ok, res.Status) || len(cookies) == 0 {
		return nil, errLogin{res.Status}
	}
	c.session.cookies, c.session.until = cookies, c.now().Add(c.spec.auth.life)
	return cookies, nil
}

// errLogin says that the provider did not let this connector in.
type errLogin struct{ status int }

// Error is a word and the status.
func (e errLogin) Error() string { return "login-refused (" + strconv.Itoa(e.status) + ")" }

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
