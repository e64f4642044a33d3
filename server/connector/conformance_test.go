package connector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cutoff/server/connector"
	"cutoff/server/connector/aws/iamtest"
	"cutoff/server/device"
	"cutoff/server/revoke"
)

// subjectSecret is in every connector's secrets and in the held token: none of
// it may be in an answer.
const subjectSecret = "tr0ub4dor-and-3"

// provider is a fake one of the kind a connector is for: it really keeps and
// ends what the connector revokes.
type provider struct {
	name    string
	kind    string
	config  string // BASE is the fake's address
	action  string
	subject revoke.Subject
	// proof is what a done step has; empty outcome means verified.
	outcome revoke.Outcome
	proof   revoke.Proof
	// repeat is the outcome of a repeat, where it differs.
	repeat revoke.Outcome
	fake   func() fake
	// acts tells a call that revokes from one that asks, where the path and the
	// method do not; yes is what such a call is answered.
	acts func(r *http.Request, body string) bool
	yes  string
}

// isAct reports whether a request revokes; its body can be read again.
func (p *provider) isAct(r *http.Request) bool {
	if p.acts != nil {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return p.acts(r, string(body))
	}
	return r.Method == "DELETE" || r.Method == "PATCH" || strings.HasSuffix(r.URL.Path, "end-sessions") ||
		strings.HasSuffix(r.URL.Path, "/cut") || strings.HasSuffix(r.URL.Path, "/revoke")
}

// asks reports whether a request only asks.
func (p *provider) asks(r *http.Request) bool {
	if p.acts != nil {
		return !p.isAct(r)
	}
	return r.Method == "GET" || strings.Contains(r.URL.Path, "introspect") || strings.Contains(r.URL.Path, "verify")
}

// fake is the provider's state.
type fake struct {
	handler http.Handler
	alive   func() bool
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func providers() []provider {
	return []provider{
		{
			name: "oauth-admin", kind: "http", config: "use: oauth-admin\nsettings: {base: BASE}\n",
			action: "end-sessions", subject: alice(), proof: revoke.L1, fake: fakeAdmin,
		},
		{
			name: "glewlwyd", kind: "http", config: "use: glewlwyd\nsettings: {base: BASE}\n",
			action: "refresh-tokens", subject: alice(), proof: revoke.L1, fake: fakeGlewlwyd,
		},
		{
			name: "scim", kind: "http", config: "use: scim\nsettings: {base: BASE/scim/v2}\n",
			action: "deactivate", subject: person(), proof: revoke.L1, fake: fakeSCIM,
		},
		{
			name: "webhook", kind: "http", config: "use: webhook\nsettings: {cut_url: BASE/cut, verify_url: BASE/verify}\n",
			action: "cut", subject: alice(), proof: revoke.L1, fake: fakeWebhook,
		},
		{
			name: "webhook that only says yes", kind: "http", config: "use: webhook\nsettings: {cut_url: BASE/cut}\n",
			action: "cut", subject: alice(), outcome: revoke.Accepted, proof: revoke.L0, fake: fakeWebhook,
		},
		{
			name: "oidc", kind: "oidc", action: "revoke-token", subject: holding("refresh_token", "cred_1"), proof: revoke.L2, repeat: revoke.Accepted,
			config: "issuer: BASE\nclient: {id: app, secret: secret}\naccess_token_life: 1h\n", fake: fakeOIDC,
		},
		{
			name: "aws", kind: "aws", action: "access-key", subject: holdingKey("AKIAALICEALICEALICE0"), proof: revoke.L1, fake: fakeAWS,
			config: "account: \"" + iamtest.Account + "\"\naccess_key_id: AKIAOWNOWNOWNOWNOWN0\niam_endpoint: BASE\nsts_endpoint: BASE\n",
			acts:   func(_ *http.Request, body string) bool { return strings.Contains(body, "Action=Update") },
			yes:    `<UpdateAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"></UpdateAccessKeyResponse>`,
		},
		{
			name: "gtr", kind: "gtr", action: "global-token-revocation", subject: alice(), outcome: revoke.Accepted, proof: revoke.L0,
			config: "endpoint: BASE/revoke\nsubject: email\nauth: bearer\naccess_token_life: 1h\n", fake: fakeGTR,
		},
		stepCA(),
	}
}

func person() revoke.Subject { s := alice(); s.PersonScope = true; return s }

func fakeAdmin() fake {
	var ended atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/users/alice/end-sessions", func(w http.ResponseWriter, _ *http.Request) { ended.Store(true); w.WriteHeader(204) })
	mux.HandleFunc("GET /admin/users/alice/sessions", func(w http.ResponseWriter, _ *http.Request) {
		list := []map[string]string{}
		if !ended.Load() {
			list = append(list, map[string]string{"id": "1"})
		}
		answer(w, 200, map[string]any{"sessions": list})
	})
	return fake{mux, func() bool { return !ended.Load() }}
}

func fakeGlewlwyd() fake {
	var ended atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/auth", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "S", Value: "cookie-" + subjectSecret})
	})
	mux.HandleFunc("GET /api/user/alice", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"username": "alice"}) })
	mux.HandleFunc("GET /api/oidc/token", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, []any{map[string]any{"token_hash": "{SHA512}h/1", "enabled": false}, map[string]any{"token_hash": "{SHA512}h1", "enabled": !ended.Load()}})
	})
	mux.HandleFunc("DELETE /api/oidc/token/{hash}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("hash") == "{SHA512}h1" {
			ended.Store(true)
		}
	})
	return fake{mux, func() bool { return !ended.Load() }}
}

func fakeSCIM() fake {
	var ended atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("GET /scim/v2/Users", func(w http.ResponseWriter, r *http.Request) {
		list := []any{}
		if r.FormValue("filter") == `userName eq "alice"` {
			list = append(list, map[string]any{"id": "u1", "active": !ended.Load()})
		}
		answer(w, 200, map[string]any{"Resources": list})
	})
	mux.HandleFunc("PATCH /scim/v2/Users/u1", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Type") == "application/scim+json" {
			ended.Store(strings.Contains(string(body), `"value":false`))
		}
		w.WriteHeader(204)
	})
	return fake{mux, func() bool { return !ended.Load() }}
}

func fakeWebhook() fake {
	var ended atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cut", func(w http.ResponseWriter, _ *http.Request) { ended.Store(true); answer(w, 202, map[string]string{}) })
	mux.HandleFunc("POST /verify", func(w http.ResponseWriter, _ *http.Request) {
		outcome := "pending"
		if ended.Load() {
			outcome = "done"
		}
		answer(w, 200, map[string]string{"outcome": outcome})
	})
	return fake{mux, func() bool { return !ended.Load() }}
}

func fakeOIDC() fake {
	var ended atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		base := "http://" + r.Host
		answer(w, 200, map[string]string{"issuer": base, "revocation_endpoint": base + "/revoke", "introspection_endpoint": base + "/introspect"})
	})
	mux.HandleFunc("POST /revoke", func(_ http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") == "token-"+subjectSecret && r.FormValue("token_type_hint") == "refresh_token" {
			ended.Store(true)
		}
	})
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"active": r.FormValue("token") == "token-"+subjectSecret && !ended.Load()})
	})
	return fake{mux, func() bool { return !ended.Load() }}
}

// holdingKey is a device with an access key of AWS on it.
func holdingKey(id string) revoke.Subject {
	s := alice()
	s.Credentials = []revoke.Credential{{
		ID: "cred_1", Product: "AWS", Identifiers: map[string]string{"aws-access-key-id": id}, Names: []device.Identifier{{Kind: "aws-access-key-id", Value: id}},
	}}
	return s
}

func fakeAWS() fake {
	s := iamtest.New()
	s.Users["alice"] = &iamtest.User{Keys: map[string]string{"AKIAALICEALICEALICE0": "Active"}, Policies: map[string]string{}}
	return fake{s, func() bool { return s.Works(iamtest.Session{User: "alice", Key: "AKIAALICEALICEALICE0"}) }}
}

func fakeGTR() fake {
	var ended atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != `{"sub_id":{"email":"alice@example.com","format":"email"}}` {
			w.WriteHeader(404)
			return
		}
		ended.Store(true)
		w.WriteHeader(204)
	})
	return fake{mux, func() bool { return !ended.Load() }}
}

// stage is one provider with a mood laid over it.
type stage struct {
	*bench
	step revoke.Step
	fake fake
	mu   sync.Mutex
	mood func(http.ResponseWriter, *http.Request) bool
}

// setMood has f answer requests it returns true for.
func (s *stage) setMood(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = f
}

func newStage(t *testing.T, p provider) *stage {
	t.Helper()
	s := &stage{fake: p.fake()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		mood := s.mood
		s.mu.Unlock()
		if mood != nil && mood(w, r) {
			return
		}
		s.fake.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	name := "oauth" // the name that held credentials have
	s.bench = newBench(t, map[string]string{"cred_1": "token-" + subjectSecret}, connector.Configured{
		Name: name, Kind: p.kind,
		Config:  strings.ReplaceAll(p.config, "BASE", server.URL) + "allow: 127.0.0.1\nlimits: {timeout: 400ms, body: 65536, per_second: 1000}\n",
		Secrets: map[string]string{"token": subjectSecret, "password": subjectSecret, "secret": subjectSecret, "signing_secret": subjectSecret, "credential": subjectSecret, "secret_access_key": subjectSecret},
	})
	s.step = s.only(s.plan(name, p.subject), p.action)
	return s
}

// silent fails the test if a result holds a secret.
func silent(t *testing.T, r revoke.Result) {
	t.Helper()
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, subjectSecret) {
		t.Errorf("a secret is in %s", text)
	}
}

func TestEveryConnector(t *testing.T) {
	for _, p := range providers() {
		t.Run(p.name, func(t *testing.T) {
			conform(t, p)
		})
	}
}

func conform(t *testing.T, p provider) {
	outcome := p.outcome
	if outcome == "" {
		outcome = revoke.Verified
	}
	check := func(name string, f func(t *testing.T, s *stage)) {
		t.Run(name, func(t *testing.T) { f(t, newStage(t, p)) })
	}
	// always answers everything with one status.
	always := func(status int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, `{"echo":"`+subjectSecret+`"}`)
			return true
		}
	}
	check("is done, and a repeat is harmless", func(t *testing.T, s *stage) {
		r := s.carry(s.step)
		wantOutcome(t, r, outcome, p.proof)
		silent(t, r)
		if s.fake.alive() {
			t.Error("the provider still takes it")
		}
		again := s.carry(s.step)
		if want := p.repeat; want == "" && again.Outcome != outcome || want != "" && again.Outcome != want {
			t.Errorf("a repeat is %s %q", again.Outcome, again.Detail)
		}
	})
	check("says what it would send, without sending it or its secrets", func(t *testing.T, s *stage) {
		lines := strings.Join(s.Requests(s.step), "\n")
		if p.kind == "http" && !strings.Contains(lines, "act: ") {
			t.Errorf("got %q, want the act", lines)
		}
		if strings.Contains(lines, subjectSecret) || !s.fake.alive() {
			t.Errorf("the dry run sent something or shows a secret:\n%s", lines)
		}
	})
	for _, status := range []int{400, 401, 403, 404} {
		check(fmt.Sprintf("needs a person when all is %d", status), func(t *testing.T, s *stage) {
			s.setMood(always(status))
			r := s.carry(s.step)
			silent(t, r)
			if r.Outcome != revoke.Blocked && r.Outcome != revoke.Retrying {
				t.Errorf("got %s %s %q", r.Outcome, r.Proof, r.Detail)
			}
		})
	}
	for name, header := range map[string][]string{
		"seconds": {"Retry-After", "20"},
		"a date":  {"Retry-After", time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)},
		"a reset": {"X-RateLimit-Reset", fmt.Sprint(time.Now().Add(20 * time.Second).Unix())},
		"a while": {"RateLimit-Reset", "20"},
	} {
		check("waits as a 429 says by "+name, func(t *testing.T, s *stage) {
			s.setMood(always(429, header...))
			r := s.carry(s.step)
			silent(t, r)
			if r.Outcome != revoke.Retrying || r.Again < 15*time.Second || r.Again > 25*time.Second {
				t.Errorf("got %s %q again in %s, want retrying in 20s", r.Outcome, r.Detail, r.Again)
			}
		})
	}
	check("comes back after errors of the provider", func(t *testing.T, s *stage) {
		for _, status := range []int{500, 502, 503} {
			s.setMood(always(status))
			r := s.carry(s.step)
			silent(t, r)
			if r.Outcome != revoke.Retrying {
				t.Errorf("%d: got %s %q, want retrying", status, r.Outcome, r.Detail)
			}
		}
		s.setMood(nil)
		wantOutcome(t, s.carry(s.step), outcome, p.proof)
	})
	check("is not held up by a provider that hangs", func(t *testing.T, s *stage) {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		s.setMood(func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return true
		})
		before := time.Now()
		r := s.carry(s.step)
		silent(t, r)
		if r.Outcome != revoke.Retrying || time.Since(before) > 5*time.Second {
			t.Errorf("got %s %q after %s, want retrying soon", r.Outcome, r.Detail, time.Since(before))
		}
	})
	check("is not led to another host", func(t *testing.T, s *stage) {
		var led atomic.Int32
		trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led.Add(1) }))
		t.Cleanup(trap.Close)
		for _, to := range []string{trap.URL, "http://169.254.169.254/latest/meta-data"} {
			s.setMood(always(307, "Location", to))
			r := s.carry(s.step)
			silent(t, r)
			if r.Outcome == revoke.Verified || r.Outcome == revoke.Accepted || led.Load() != 0 {
				t.Errorf("got %s %q, and the trap was called %d times", r.Outcome, r.Detail, led.Load())
			}
		}
	})
	for name, body := range map[string]string{
		"huge": strings.Repeat("[", 100_000), "cut off": `{"sessions": [`, "not JSON": "<html>ok</html>", "of another shape": `"ok"`, "empty": "", "null": "null",
	} {
		check("takes no answer for proof that is "+name, func(t *testing.T, s *stage) {
			s.setMood(func(w http.ResponseWriter, r *http.Request) bool {
				if !p.asks(r) {
					return false
				}
				fmt.Fprint(w, body)
				return true
			})
			r := s.carry(s.step)
			silent(t, r)
			if r.Outcome == revoke.Verified {
				t.Errorf("got verified %s %q", r.Proof, r.Detail)
			}
		})
	}
	if p.proof == revoke.L0 {
		return
	}
	check("finds out that a yes was no kill, and acts again", func(t *testing.T, s *stage) {
		s.setMood(func(w http.ResponseWriter, r *http.Request) bool {
			lies := p.isAct(r)
			if lies {
				w.WriteHeader(200)
				fmt.Fprint(w, p.yes)
			}
			return lies
		})
		r := s.carry(s.step)
		if r.Outcome != revoke.Retrying || r.Done {
			t.Errorf("got %s %q done=%v, want to act again", r.Outcome, r.Detail, r.Done)
		}
		s.setMood(nil)
		s.step.Memo = r.Memo
		wantOutcome(t, s.carry(s.step), outcome, p.proof)
	})
}
