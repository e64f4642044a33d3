package provider

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"cutoff/agent/purge/catalogue"
)

const token = "s3cret-t0ken"

// server is a provider that ends tokens; its answers are the vendors', as their
// descriptions have them.
type server struct {
	mu    sync.Mutex
	alive bool
	asked []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(io.LimitReader(r.Body, 4096))
	s.asked = append(s.asked, r.Method+" "+r.URL.Path+" "+string(body))
	with := r.Header.Get("PRIVATE-TOKEN") + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + r.Header.Get("X-Vault-Token")
	switch {
	case r.URL.Path == "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"revocation_endpoint":%q,"userinfo_endpoint":%q}`, base(r), base(r)+"/revoke", base(r)+"/userinfo")
	case r.URL.Path == "/revoke":
		form, _ := url.ParseQuery(string(body))
		s.alive = s.alive && form.Get("token") != token
	case !s.alive || with != token:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodDelete:
		s.alive = false
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == "/userinfo":
		fmt.Fprint(w, `{"sub":"alice"}`)
	default:
		fmt.Fprintf(w, `{"id":42,"user_id":7,"token":%q,"header":%q}`, token, "Bearer "+token)
	}
}

func base(r *http.Request) string { return "http://" + r.Host }

func known(t *testing.T) map[string]*Provider {
	t.Helper()
	all, err := Known()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// trusting is a client for a test server's certificate.
func trusting(s *httptest.Server) *Client {
	c := NewClient(true, nil)
	pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c.transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return c
}

func TestATokenThatEndsItselfIsProbedDead(t *testing.T) {
	s := &server{alive: true}
	front := httptest.NewTLSServer(s)
	defer front.Close()
	values := map[string]string{"token": token, "host": strings.TrimPrefix(front.URL, "https://")}
	c, p := trusting(front), known(t)["gitlab"]
	if r := c.Revoke(context.Background(), p, values); r.Outcome != Dead || r.Host != values["host"] {
		t.Errorf("got %+v, want dead at %s", r, values["host"])
	}
	if r := c.Revoke(context.Background(), p, values); r.Outcome != NotValid {
		t.Errorf("a second time: %+v, want not valid: nothing is proved of a token nobody knows", r)
	}
}

func TestRevocationByDiscovery(t *testing.T) {
	s := &server{alive: true}
	front := httptest.NewServer(s)
	defer front.Close()
	values := map[string]string{"token": token, "issuer": front.URL, "client": "cli"}
	if r := NewClient(true, nil).Revoke(context.Background(), known(t)["oidc-access"], values); r.Outcome != Dead {
		t.Errorf("got %+v, want dead; asked %q", r, s.asked)
	}
	if want := "POST /revoke client_id=cli&token=" + token; !slices.Contains(s.asked, want) {
		t.Errorf("asked %q, want %q among it", s.asked, want)
	}
}

func TestNamesAreNeverTheToken(t *testing.T) {
	s := &server{alive: true}
	front := httptest.NewTLSServer(s)
	defer front.Close()
	p := *known(t)["gitlab"]
	enrich := *p.Enrich
	enrich.Take = map[string]string{"gitlab-token-id": "id", "echo": "token", "within": "header"}
	p.Enrich = &enrich
	names, err := trusting(front).Names(context.Background(), &p, map[string]string{"token": token, "host": strings.TrimPrefix(front.URL, "https://")})
	if err != nil || len(names) != 1 || names["gitlab-token-id"] != "42" {
		t.Errorf("names %v, err %v; want the id alone", names, err)
	}
}

func TestATokenGoesNowhereElse(t *testing.T) {
	var leaked []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.URL.String()+fmt.Sprint(r.Header))
	}))
	defer thief.Close()
	redirecting := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer redirecting.Close()
	all := known(t)
	for _, c := range []struct {
		name     string
		provider string
		values   map[string]string
		local    bool
		want     Outcome
	}{
		{"another host than the provider's", "github", map[string]string{"host": strings.TrimPrefix(thief.URL, "http://")}, false, Refused},
		{"a host that is none", "gitlab", map[string]string{"host": "gitlab.com/../x@evil"}, false, Refused},
		{"no TLS off this machine", "vault", map[string]string{"address": "http://192.0.2.1:8200"}, false, Refused},
		{"a user in the address", "vault", map[string]string{"address": "https://a:b@vault.example.com"}, false, Refused},
		{"another scheme", "vault", map[string]string{"address": "file:///etc/passwd"}, false, Refused},
		{"off this machine in a trial", "vault", map[string]string{"address": "https://192.0.2.1"}, true, Unreachable},
		{"a redirect", "vault", map[string]string{"address": redirecting.URL}, true, Refused},
		{"nobody there", "vault", map[string]string{"address": "http://127.0.0.1:1"}, true, Unreachable},
		{"a value is missing", "vault", nil, true, Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := map[string]string{"token": token}
			for k, v := range c.values {
				values[k] = v
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if r := NewClient(c.local, nil).Revoke(ctx, all[c.provider], values); r.Outcome != c.want {
				t.Errorf("outcome %v, want %v", r.Outcome, c.want)
			}
		})
	}
	if len(leaked) > 0 {
		t.Errorf("a stranger was asked: %q", leaked)
	}
}

func TestErrorsQuoteNoToken(t *testing.T) {
	c := NewClient(true, nil)
	for _, p := range known(t) {
		values := map[string]string{"token": token, "host": "127.0.0.1:1", "address": "http://127.0.0.1:1/" + token, "issuer": "http://127.0.0.1:1", "client": "c", "key": "k", "session": "s"}
		if _, err := c.Names(context.Background(), p, values); err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", p.ID, err)
		}
	}
}

func TestAHungProviderEndsWithTheDeadline(t *testing.T) {
	release := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hung.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r := NewClient(true, nil).Revoke(ctx, known(t)["vault"], map[string]string{"token": token, "address": hung.URL})
	if r.Outcome != Unreachable {
		t.Errorf("outcome %v, want unreachable", r.Outcome)
	}
}

func TestAnAnswerWithoutAnEndIsBounded(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r := NewClient(true, nil).Revoke(ctx, known(t)["vault"], map[string]string{"token": token, "address": endless.URL})
	if r.Outcome != Accepted && r.Outcome != Refused {
		t.Errorf("outcome %v", r.Outcome)
	}
}

// Every provider that the catalogue names is known, and has all its values.
func TestTheCatalogueNamesKnownProviders(t *testing.T) {
	all := known(t)
	for _, goos := range []string{"linux", "darwin", "windows"} {
		entries, err := catalogue.Load(goos)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			for _, spec := range e.Tokens {
				p := all[spec.Provider]
				if p == nil {
					t.Errorf("%s: there is no provider %q", e.ID, spec.Provider)
					continue
				}
				raw, err := json.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range placeholder.FindAllStringSubmatch(string(raw), -1) {
					discovered := p.Discover != nil && p.Discover.Take[m[1]] != ""
					if _, ok := spec.Values[m[1]]; !ok && !discovered {
						t.Errorf("%s: provider %s needs %q", e.ID, p.ID, m[1])
					}
				}
			}
		}
	}
}

func TestAFileWithAMistakeIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"an unknown key":       "id: x\nproduct: X\nconfidence: confirmed\nrevoek: {}\n",
		"no TLS":               "id: x\nproduct: X\nconfidence: confirmed\nrevoke: {call: GET http://x.example/, ok: [200]}\n",
		"a probe of nothing":   "id: x\nproduct: X\nconfidence: confirmed\nrevoke: {call: GET https://x.example/, ok: [200]}\nprobe: {call: GET https://x.example/}\n",
		"another file's name":  "id: y\nproduct: X\nconfidence: confirmed\nrevoke: {call: GET https://x.example/, ok: [200]}\n",
		"names taken of a yes": "id: x\nproduct: X\nconfidence: confirmed\nrevoke: {call: GET https://x.example/, ok: [200], take: {a: b}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(fstest.MapFS{"known/x.yaml": {Data: []byte(text)}}); err == nil {
				t.Error("no error")
			} else if errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		})
	}
}
