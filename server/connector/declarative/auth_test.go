package declarative_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cutoff/server/connector/declarative"
	"cutoff/server/revoke"
)

const hush = "hush-hush-7"

// signedIn is a file whose one step needs auth.
func signedIn(base, auth string) string {
	return "product: x\nallow: 127.0.0.1\nlimits: {per_second: 1000}\nsettings: {base: " + base + "}\nsecrets: {secret: {about: x, optional: true}, key: {about: y, optional: true}}\nauth: " + auth + `
steps:
  - {action: end, target: "{account}", each: account, scope: sessions, undo: none, residual: none, act: {call: "POST {base}/end"}}
`
}

func carry(t *testing.T, file, key string) (revoke.Result, *declarative.Connector) {
	t.Helper()
	c, problems := declarative.New(file, declarative.Config{
		Name: "x", Now: time.Now, Secrets: map[string]string{"secret": hush, "key": key},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	all := revokeAll(t, c, revoke.Subject{Accounts: []string{"alice"}})
	return all[0], c
}

func pemKey(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// issuer hands out tokens to whom check lets in; a token dies when it is
// revoked, and the API takes living ones only.
type issuer struct {
	given, dead atomic.Int32
	check       func(r *http.Request) error
}

func (i *issuer) serve(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := i.check(r); err != nil {
			t.Log("the provider refused:", err)
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error": "invalid_client", "error_description": "`+hush+`"}`)
			return
		}
		n := i.given.Add(1)
		fmt.Fprintf(w, `{"access_token": "t%d", "token": "t%d", "token_type": "Bearer", "expires_in": 3600}`, n, n)
	})
	mux.HandleFunc("POST /end", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", i.given.Load()) || i.dead.Load() >= i.given.Load() {
			w.WriteHeader(401)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAClientSignsInByItsSecret(t *testing.T) {
	for style, check := range map[string]func(*http.Request) error{
		"basic": func(r *http.Request) error {
			if user, password, _ := r.BasicAuth(); user != "app%2F1" || password != hush || r.FormValue("client_secret") != "" {
				return fmt.Errorf("user %q", user)
			}
			return nil
		},
		"post": func(r *http.Request) error {
			if r.FormValue("client_id") != "app/1" || r.FormValue("client_secret") != hush {
				return fmt.Errorf("client %q", r.FormValue("client_id"))
			}
			return nil
		},
	} {
		i := &issuer{check: func(r *http.Request) error {
			if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" || r.FormValue("audience") != "api" {
				return fmt.Errorf("form %v", r.Form)
			}
			return check(r)
		}}
		file := signedIn(i.serve(t), `{type: oauth2, from: "{base}/token", client: app/1, secret: "{secret.secret}", style: `+style+`, scopes: [a, b], audience: api}`)
		r, c := carry(t, file, "")
		if r.Outcome != revoke.Accepted || i.given.Load() != 1 {
			t.Fatalf("%s: got %s %q after %d tokens", style, r.Outcome, r.Detail, i.given.Load())
		}
		// The token is kept, and fetched anew once it is refused.
		again := func() revoke.Result { return revokeAll(t, c, revoke.Subject{Accounts: []string{"alice"}})[0] }
		if r := again(); r.Outcome != revoke.Accepted || i.given.Load() != 1 {
			t.Errorf("%s: the token was not kept: %s after %d tokens", style, r.Outcome, i.given.Load())
		}
		i.dead.Store(1)
		if r := again(); r.Outcome != revoke.Accepted || i.given.Load() != 2 {
			t.Errorf("%s: a refused token was not fetched anew: %s %q after %d tokens", style, r.Outcome, r.Detail, i.given.Load())
		}
		i.dead.Store(99)
		if r := again(); r.Outcome != revoke.Blocked || i.given.Load() != 3 {
			t.Errorf("%s: a provider that takes no token was asked for %d, and the step is %s", style, i.given.Load(), r.Outcome)
		}
	}
}

func TestASignInThatIsRefusedSaysWhyAndNoMore(t *testing.T) {
	i := &issuer{check: func(*http.Request) error { return fmt.Errorf("no") }}
	r, c := carry(t, signedIn(i.serve(t), `{type: oauth2, from: "{base}/token", client: app, secret: "{secret.secret}"}`), "")
	if r.Outcome != revoke.Blocked || r.Detail != "login-refused (401 invalid_client)" {
		t.Errorf("got %s %q", r.Outcome, r.Detail)
	}
	if f := c.Check(context.Background()); f[0].OK || strings.Contains(fmt.Sprint(f), hush) {
		t.Errorf("the test says %v", f)
	}
}

// claimsOf verifies a JWT and returns its claims.
func claimsOf(text string, key any, alg jose.SignatureAlgorithm, kid string) (map[string]any, error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return nil, err
	}
	if token.Headers[0].KeyID != kid {
		return nil, fmt.Errorf("key %q", token.Headers[0].KeyID)
	}
	claims := map[string]any{}
	return claims, token.Claims(key, &claims)
}

func TestAKeySignsInByAssertionGrantOrApp(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	account, _ := json.Marshal(map[string]string{
		"type": "service_account", "private_key": pemKey(t, rsaKey), "private_key_id": "g1", "client_email": "robot@example.iam",
	})
	jwk, err := json.Marshal(jose.JSONWebKey{Key: rsaKey, KeyID: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, auth, key, kid, field string
		public                      any
		alg                         jose.SignatureAlgorithm
		claims, form                map[string]string
	}{
		{"a client's RSA key", `{type: oauth2, from: "{base}/token", client: app, key: "{secret.key}", key_id: k1}`, pemKey(t, rsaKey), "k1", "client_assertion", &rsaKey.PublicKey, jose.RS256,
			map[string]string{"iss": "app", "sub": "app"}, map[string]string{"grant_type": "client_credentials", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}},
		{"a client's EC key", `{type: oauth2, from: "{base}/token", client: app, key: "{secret.key}", scopes: a}`, pemKey(t, ec), "", "client_assertion", &ec.PublicKey, jose.ES256,
			map[string]string{"iss": "app", "sub": "app"}, map[string]string{"scope": "a"}},
		{"a client's JWK", `{type: oauth2, from: "{base}/token", client: app, key: "{secret.key}"}`, string(jwk), "j1", "client_assertion", &rsaKey.PublicKey, jose.RS256,
			map[string]string{"iss": "app"}, nil},
		{"a Google service account", `{type: jwt-bearer, from: "{base}/token", key: "{secret.key}", subject: admin@example.com, scopes: [s1, s2]}`, string(account), "g1", "assertion", &rsaKey.PublicKey, jose.RS256,
			map[string]string{"iss": "robot@example.iam", "sub": "admin@example.com", "scope": "s1 s2"}, map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}},
		{"an app", `{type: app-jwt, from: "{base}/token", issuer: "4711", key: "{secret.key}", headers: {X-Api: "1"}}`, pemKey(t, rsaKey), "", "", &rsaKey.PublicKey, jose.RS256,
			map[string]string{"iss": "4711"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var base string
			i := &issuer{check: func(r *http.Request) error {
				text := r.FormValue(row.field)
				if row.field == "" {
					text = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
					if r.Header.Get("X-Api") != "1" {
						return fmt.Errorf("a header is missing")
					}
				}
				claims, err := claimsOf(text, row.public, row.alg, row.kid)
				if err != nil {
					return err
				}
				for key, want := range row.claims {
					if claims[key] != want {
						return fmt.Errorf("%s is %v, want %s", key, claims[key], want)
					}
				}
				for key, want := range row.form {
					if r.FormValue(key) != want {
						return fmt.Errorf("%s is %v, want %s", key, r.FormValue(key), want)
					}
				}
				life := time.Until(time.Unix(int64(claims["exp"].(float64)), 0))
				if row.field != "" && claims["aud"] != base+"/token" || claims["jti"] == "" || life <= 0 || life > 5*time.Minute {
					return fmt.Errorf("claims %v", claims)
				}
				return nil
			}}
			base = i.serve(t)
			if r, _ := carry(t, signedIn(base, row.auth), row.key); r.Outcome != revoke.Accepted {
				t.Errorf("got %s %q", r.Outcome, r.Detail)
			}
		})
	}
}

func TestAKeyThatIsNoneIsFoundBeforeAnythingIsAsked(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{hush, "{" + hush, `{"kty":"EC","crv":"P-256","d":"AA"}`, pemKey(t, small)} {
		file := signedIn("https://x.example.com", `{type: oauth2, from: "{base}/token", client: app, key: "{secret.key}"}`)
		_, problems := declarative.New(file, declarative.Config{Name: "x", Now: time.Now, Secrets: map[string]string{"secret": hush, "key": key}})
		if len(problems) != 1 || !strings.Contains(problems[0].String(), "want a private key") || strings.Contains(problems[0].String(), hush) {
			t.Errorf("got %v", problems)
		}
	}
}

func TestWhereRequestsArePrintedNoStatementIsSigned(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, auth := range []string{
		`{type: oauth2, from: "{base}/token", client: app, key: "{secret.key}"}`,
		`{type: oauth2, from: "{base}/token", client: app, key: " {secret.key} "}`,
		`{type: jwt-bearer, from: "{base}/token", issuer: app, key: "{secret.key}"}`,
		`{type: app-jwt, from: "{base}/token", issuer: app, key: "{secret.key}"}`,
	} {
		c, problems := declarative.New(signedIn("https://x.example.com", auth), declarative.Config{
			Name: "x", Now: time.Now, Secrets: map[string]string{"secret": hush, "key": pemKey(t, ec)},
		})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		t.Cleanup(c.Close)
		lines := strings.Join(c.Requests(stepsOf(c, revoke.Subject{Accounts: []string{"alice"}})[0]), "\n")
		// A JWT begins so: it is {" in base64.
		if !strings.Contains(lines, "sign in: POST https://x.example.com/token") || strings.Contains(lines, "eyJ") {
			t.Errorf("%s: got\n%s", auth, lines)
		}
	}
}

func TestTheFirstWayToSignInThatIsGivenIsTaken(t *testing.T) {
	var seen atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Get("Authorization")) }))
	t.Cleanup(s.Close)
	file := signedIn(s.URL, "\n  - {if: secret.key, type: bearer, token: \"{secret.key}\"}\n  - {if: secret.secret, type: basic, user: u, password: \"{secret.secret}\"}")
	for _, row := range []struct{ key, want string }{{"tok", "Bearer tok"}, {"", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+hush))}} {
		if _, c := carry(t, file, row.key); c == nil || seen.Load() != row.want {
			t.Errorf("got %v, want %s", seen.Load(), row.want)
		}
	}
	if _, problems := declarative.New(file, declarative.Config{Name: "x", Now: time.Now}); len(problems) != 1 || !strings.Contains(problems[0].Message, "how to sign in") {
		t.Errorf("without any secret: got %v", problems)
	}
}

func TestAClientCertificateIsShown(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cutoff"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	var shown atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	file := signedIn(s.URL, `{type: none, certificate: "{secret.secret}", certificate_key: "{secret.key}"}`) +
		"ca: |\n  " + strings.ReplaceAll(ca, "\n", "\n  ") + "\n"
	c, problems := declarative.New(file, declarative.Config{Name: "x", Now: time.Now, Secrets: map[string]string{"secret": certificate, "key": pemKey(t, key)}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	if r := revokeAll(t, c, revoke.Subject{Accounts: []string{"alice"}})[0]; r.Outcome != revoke.Accepted || shown.Load() != "cutoff" {
		t.Errorf("got %s %q, and the server saw %v", r.Outcome, r.Detail, shown.Load())
	}
}
