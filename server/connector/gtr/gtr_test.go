package gtr_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cutoff/server/connector/config"
	"cutoff/server/connector/gtr"
	"cutoff/server/device"
	"cutoff/server/revoke"
)

const secret = "tr0ub4dor-and-3"

// provider is an endpoint as the draft describes it, with its own eyes: what it
// is sent is read with a library that is not ours.
type provider struct {
	*httptest.Server
	member string
	verify func(bearer string) int // 0 is fine
	mu     sync.Mutex
	known  map[string]bool // alive by canonical subject
	asked  []string
}

func newProvider(t *testing.T, member string, verify func(p *provider, bearer string) int) *provider {
	t.Helper()
	p := &provider{member: member, known: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /revoke", p.revoke)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != "cutoff" || r.FormValue("client_secret") != secret || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, `{"access_token":"granted","expires_in":300}`)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.verify = func(bearer string) int { return verify(p, bearer) }
	return p
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if code := p.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); code != 0 {
		w.WriteHeader(code)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var asked map[string]map[string]string
	if r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &asked) != nil || len(asked) != 1 || asked[p.member] == nil {
		w.WriteHeader(400)
		return
	}
	id := asked[p.member]
	subject := ""
	switch id["format"] {
	case "email":
		subject = id["email"]
	case "iss_sub":
		subject = id["iss"] + " " + id["sub"]
	case "opaque":
		subject = id["id"]
	}
	p.asked = append(p.asked, subject)
	switch _, known := p.known[subject]; {
	case subject == "federated":
		w.WriteHeader(422)
	case !known:
		w.WriteHeader(404)
	default:
		p.known[subject] = false
		w.WriteHeader(204)
	}
}

func (p *provider) alive(subject string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[subject]
}

// signedBy takes statements of cutoff for exactly this endpoint, as section 3.1
// of the draft has it, once each.
func signedBy(public any, alg jose.SignatureAlgorithm) func(*provider, string) int {
	seen := map[string]bool{}
	return func(p *provider, bearer string) int {
		token, err := jwt.ParseSigned(bearer, []jose.SignatureAlgorithm{alg})
		if err != nil {
			return 401
		}
		var c jwt.Claims
		if token.Claims(public, &c) != nil || len(token.Headers) != 1 || token.Headers[0].KeyID != "k1" {
			return 401
		}
		life := c.Expiry.Time().Sub(c.IssuedAt.Time())
		if c.Issuer != "cutoff" || c.Subject != "cutoff" || len(c.Audience) != 1 || c.Audience[0] != p.URL+"/revoke" ||
			c.ID == "" || seen[c.ID] || life <= 0 || life > 5*time.Minute || time.Now().After(c.Expiry.Time()) {
			return 401
		}
		seen[c.ID] = true
		return 0
	}
}

func encoded(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func made(t *testing.T, p *provider, file string, secrets config.Secrets) *gtr.Connector {
	t.Helper()
	c, problems := gtr.New(strings.ReplaceAll(file, "BASE", p.URL)+"allow: 127.0.0.1\nlimits: {timeout: 2s, per_second: 1000}\n",
		gtr.Config{Name: "idp", Secrets: secrets, Now: time.Now})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	return c
}

func step(s revoke.Spec) revoke.Step {
	return revoke.Step{ID: "stp_1", CutID: "cut_1", Connector: s.Connector, Action: s.Action, Target: s.Target, Params: s.Params, Scope: s.Scope, Undo: s.Undo}
}

// tokens are what a device tells of a file of tokens: pairs of an issuer and a
// subject, either of which may be empty, and each identifier once.
func tokens(pairs ...string) []device.Identifier {
	var all []device.Identifier
	for i, value := range pairs {
		n := device.Identifier{Kind: []string{"jwt-issuer", "jwt-subject"}[i%2], Value: value}
		if value != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

var alice = revoke.Subject{
	Email: "alice@example.com", Accounts: []string{"248289761001"},
	Credentials: []revoke.Credential{
		{ID: "cred_1", Names: tokens("https://issuer.example.com", "248289761001")},
		{ID: "cred_2", Names: tokens("https://issuer.example.com", "service")},
		{ID: "cred_3", Names: tokens("https://other.example.com", "248289761001")},
	},
}

func TestEachFormOfSubjectAndEachDialectEndsThePersonsAccess(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const signed = "client_id: cutoff\nkey_id: k1\naccess_token_life: 1h\nendpoint: BASE/revoke\n"
	for _, row := range []struct {
		name, file, member string
		key                any
		verify             func(*provider, string) int
		secrets            config.Secrets
		subjects           []string
	}{
		{
			name: "e-mail, RS256", file: signed + "subject: email\n", member: "sub_id", verify: signedBy(&rsaKey.PublicKey, jose.RS256),
			secrets: config.Secrets{"credential": encoded(t, rsaKey)}, subjects: []string{"alice@example.com"},
		},
		{
			name: "issuer and subject under Auth0's member, ES256", file: signed + "subject: iss_sub\nissuer: https://issuer.example.com\nmember: subject\n",
			member: "subject", verify: signedBy(&ecKey.PublicKey, jose.ES256), secrets: config.Secrets{"credential": encoded(t, ecKey)},
			subjects: []string{"https://issuer.example.com 248289761001", "https://issuer.example.com service"},
		},
		{
			name: "opaque id, a token that does not change", member: "sub_id",
			file:    "endpoint: BASE/revoke\nsubject: opaque\nauth: bearer\naccess_token_life: 1h\n",
			verify:  func(_ *provider, bearer string) int { return map[bool]int{false: 401}[bearer == secret] },
			secrets: config.Secrets{"credential": secret}, subjects: []string{"248289761001"},
		},
		{
			name: "e-mail, a token by client credentials", member: "sub_id",
			file:    "endpoint: BASE/revoke\nsubject: email\nauth: oauth\nclient_id: cutoff\ntoken_url: BASE/token\naccess_token_life: 1h\n",
			verify:  func(_ *provider, bearer string) int { return map[bool]int{false: 401}[bearer == "granted"] },
			secrets: config.Secrets{"credential": secret}, subjects: []string{"alice@example.com"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProvider(t, row.member, row.verify)
			for _, s := range row.subjects {
				p.known[s] = true
			}
			c := made(t, p, row.file, row.secrets)
			if f := c.Check(t.Context()); len(f) != 1 || !f[0].OK || len(p.asked) != 0 {
				t.Fatalf("check: %+v, asked %v", f, p.asked)
			}
			specs := c.Plan(alice)
			if len(specs) != len(row.subjects) {
				t.Fatalf("got %+v, want one step for each of %v", specs, row.subjects)
			}
			for i, s := range specs {
				for range 2 { // a repeat says the same
					before := time.Now()
					r := c.Revoke(t.Context(), step(s))
					if r.Outcome != revoke.Accepted || r.Proof != revoke.L0 || r.Residual.Until.Before(before.Add(time.Hour-time.Second)) {
						t.Fatalf("got %+v, want accepted and an hour left", r)
					}
				}
				if p.alive(row.subjects[i]) {
					t.Errorf("%s is alive at the provider", row.subjects[i])
				}
			}
		})
	}
}

func TestATokenOfTheIssuerOnTheDeviceNamesItsSubject(t *testing.T) {
	p := newProvider(t, "sub_id", func(*provider, string) int { return 0 })
	c := made(t, p, "endpoint: BASE/revoke\nsubject: iss_sub\nissuer: https://issuer.example.com\nauth: bearer\naccess_token_life: unbounded\n",
		config.Secrets{"credential": secret})
	covered := map[string]string{}
	for _, s := range c.Plan(alice) {
		covered[s.Params["credential_id"]] = s.Params["subject"]
		if s.Scope != revoke.ScopeSessions || s.Undo != revoke.UndoSignIn {
			t.Errorf("got %+v", s)
		}
	}
	if len(covered) != 2 || covered["cred_1"] != "248289761001" || covered["cred_2"] != "service" {
		t.Errorf("got %v, want the two credentials of this issuer, the other left to others", covered)
	}
}

func TestEachTokenOfAFileNamesItsOwnSubject(t *testing.T) {
	const ours, other = "https://issuer.example.com", "https://other.example.com"
	p := newProvider(t, "sub_id", func(*provider, string) int { return 0 })
	c := made(t, p, "endpoint: BASE/revoke\nsubject: iss_sub\nissuer: "+ours+"\nauth: bearer\naccess_token_life: unbounded\n",
		config.Secrets{"credential": secret})
	for name, row := range map[string]struct{ file, want []string }{
		"another's token first":                   {[]string{other, "bob", ours, "alice"}, []string{"alice"}},
		"another's token last":                    {[]string{ours, "alice", other, "bob"}, []string{"alice"}},
		"two of one issuer":                       {[]string{ours, "alice", ours, "bob"}, []string{"alice", "bob"}},
		"one of each, and one more":               {[]string{ours, "alice", other, "bob", ours, "carol"}, []string{"alice", "carol"}},
		"the subject that another knows as well":  {[]string{other, "alice", ours, "alice"}, []string{"alice"}},
		"a token of the issuer without a subject": {[]string{ours, ""}, nil},
		"a token without an issuer":               {[]string{"", "alice"}, nil},
		"others' only":                            {[]string{other, "alice"}, nil},
	} {
		var got []string
		for _, s := range c.Plan(revoke.Subject{Credentials: []revoke.Credential{{ID: "cred_1", Names: tokens(row.file...)}}}) {
			got = append(got, s.Params["subject"])
			if s.Params["credential_id"] != "cred_1" {
				t.Errorf("%s: a step is for credential %q", name, s.Params["credential_id"])
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}

func TestEachAnswerOfTheDraftHasItsOutcome(t *testing.T) {
	for _, row := range []struct {
		status  int
		outcome revoke.Outcome
		detail  string
	}{
		{204, revoke.Accepted, "begun"},
		{200, revoke.Accepted, "begun"},
		{202, revoke.Retrying, "unexpected-status (202)"},
		{400, revoke.Blocked, "refused (400)"},
		{401, revoke.Blocked, "denied (401)"},
		{403, revoke.Blocked, "denied (403)"},
		{404, revoke.Blocked, "not-found (404)"},
		{422, revoke.Unsupported, "cannot-log-out (422)"},
		{302, revoke.Blocked, "redirected (302)"},
		{500, revoke.Retrying, "provider-error (500)"},
		{503, revoke.Retrying, "provider-error (503)"},
	} {
		p := newProvider(t, "sub_id", func(*provider, string) int {
			if row.status == 204 {
				return 0
			}
			return row.status
		})
		p.known["alice@example.com"] = true
		c := made(t, p, "endpoint: BASE/revoke\nsubject: email\nauth: bearer\naccess_token_life: unbounded\n", config.Secrets{"credential": secret})
		r := c.Revoke(t.Context(), step(c.Plan(alice)[0]))
		if r.Outcome != row.outcome || r.Detail != row.detail || row.outcome == revoke.Accepted && !r.Residual.Unbounded {
			t.Errorf("%d: got %+v, want %s %q", row.status, r, row.outcome, row.detail)
		}
		if strings.Contains(fmt.Sprintf("%+v", r), secret) {
			t.Errorf("%d: the token is in %+v", row.status, r)
		}
	}
}

func TestAGrantThatIsRefusedIsHadAnew(t *testing.T) {
	tokens, refused := 0, false
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		tokens++
		fmt.Fprintf(w, `{"access_token":"t%d"}`, tokens)
	})
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer t1" && refused {
			w.WriteHeader(401)
			return
		}
		w.WriteHeader(204)
	})
	p := &provider{Server: httptest.NewServer(mux)}
	t.Cleanup(p.Close)
	c := made(t, p, "endpoint: BASE/revoke\nsubject: email\nauth: oauth\nclient_id: cutoff\ntoken_url: BASE/token\naccess_token_life: 1h\n",
		config.Secrets{"credential": secret})
	s := step(c.Plan(alice)[0])
	for i, want := range []revoke.Outcome{revoke.Accepted, revoke.Accepted, revoke.Accepted} {
		refused = i == 2
		if r := c.Revoke(t.Context(), s); r.Outcome != want {
			t.Errorf("call %d: got %+v, want %s", i, r, want)
		}
	}
	if tokens != 2 {
		t.Errorf("got %d tokens, want one kept and one after the refusal", tokens)
	}
}

func TestAFileThatIsWrongSaysWhere(t *testing.T) {
	fine := "endpoint: https://a.example.com/g\nsubject: email\nclient_id: c\naccess_token_life: 1h\n"
	for file, want := range map[string]string{
		fine: "",
		"":   "1:1: the file is empty",
		strings.Replace(fine, "email", "iss_sub", 1):     "1:1: issuer is missing",
		strings.Replace(fine, "email", "phone", 1):       "2:10: ",
		strings.Replace(fine, "https", "http", 1):        "1:11: http:// would send credentials readable by all",
		strings.Replace(fine, "1h", "soon", 1):           "4:20: want how long",
		fine + "auth: oauth\n":                           "1:1: token_url is missing",
		fine + "member: sub\n":                           "5:9: ",
		strings.Replace(fine, "subject: email\n", "", 1): "subject is missing",
	} {
		_, _, problems := gtr.Inspect(file)
		text := ""
		for _, p := range problems {
			text += p.String() + "\n"
		}
		if want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("%q: got %q, want %q", file, text, want)
		}
	}
	for name, key := range map[string]string{"none": "", "no PEM": "x", "not a key": "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n"} {
		_, problems := gtr.New(fine, gtr.Config{Secrets: config.Secrets{"credential": key}, Now: time.Now})
		if len(problems) != 1 || !strings.Contains(problems[0].Message, "credential") || len(key) > 1 && strings.Contains(problems[0].Message, key) {
			t.Errorf("%s: got %v", name, problems)
		}
	}
}

func TestTheAnswersToItsQuestionsMakeAFile(t *testing.T) {
	text := config.Render(gtr.Questions(), map[string]string{"endpoint": "https://a.example.com/g"})
	product, secrets, problems := gtr.Inspect(text)
	if len(problems) > 0 || product != "Global Token Revocation" || len(secrets) != 1 || secrets[0] != "credential" {
		t.Errorf("got %q %v %v of\n%s", product, secrets, problems, text)
	}
}
