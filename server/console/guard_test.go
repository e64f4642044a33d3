package console_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"cutoff/server/console"
)

// answer is what a visitor got.
type answer struct {
	*http.Response
	body string
}

func (v *visitor) send(r *http.Request) answer {
	v.t.Helper()
	response, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{response, string(body)}
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.send(r)
}

// post sends fields as they are; pairs are name, value.
func (v *visitor) post(path string, pairs ...string) answer {
	v.t.Helper()
	return v.send(v.form(path, pairs...))
}

func (v *visitor) form(path string, pairs ...string) *http.Request {
	v.t.Helper()
	fields := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.base+path, strings.NewReader(fields.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

var tokenField = regexp.MustCompile(`name="form_token" value="([0-9a-f]{64})"`)

// token reads the form token of a page.
func (v *visitor) token(path string) string {
	v.t.Helper()
	found := tokenField.FindStringSubmatch(v.get(path).body)
	if found == nil {
		v.t.Fatalf("no form token on %s", path)
	}
	return found[1]
}

// submit fetches a page and sends a form of it.
func (v *visitor) submit(page, path string, pairs ...string) answer {
	v.t.Helper()
	return v.post(path, append([]string{"form_token", v.token(page)}, pairs...)...)
}

func (v *visitor) signIn(name string) *visitor {
	v.t.Helper()
	if a := v.submit("/login", "/login", "name", name, "password", password); a.StatusCode != http.StatusSeeOther {
		v.t.Fatalf("sign in: %d %s", a.StatusCode, a.body)
	}
	return v
}

func wantStatus(t *testing.T, what string, a answer, want int) {
	t.Helper()
	if a.StatusCode != want {
		t.Errorf("%s: got %d, want %d\n%s", what, a.StatusCode, want, a.body)
	}
}

func TestEveryAnswerCarriesTheGuards(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	for _, path := range []string{"/login", "/setup", "/devices", "/devices/dev_7f3k2m9q", "/cuts/cut_open", "/nowhere", "/cuts/cut_open/evidence"} {
		h := v.get(path).Header
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the content policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the content policy %q allows something unsafe", path, policy)
		}
	}
}

func TestNoPageHasInlineScriptOrStyle(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	inline := regexp.MustCompile(`(?i)<script(?:>|\s+(?:[^s]|s[^r]))|<style|\sstyle=|\son[a-z]+="|javascript:`)
	for _, path := range []string{"/login", "/setup", "/devices", "/devices/dev_7f3k2m9q", "/cuts", "/cuts/cut_held", "/people", "/people/per_ada", "/tokens", "/policy", "/catalogue", "/connectors"} {
		if found := inline.FindString(v.get(path).body); found != "" {
			t.Errorf("%s holds %q", path, found)
		}
	}
}

func TestTheSessionCookieIsOutOfReachOfScriptsAndOtherSites(t *testing.T) {
	s := newSite(t)
	v := s.visitor()
	a := v.submit("/login", "/login", "name", "admin-ada", "password", password, "next", "/cuts")
	if to := a.Header.Get("Location"); to != "/cuts" {
		t.Errorf("after signing in: to %q, want /cuts", to)
	}
	var cookie *http.Cookie
	for _, c := range a.Cookies() {
		if c.Name == "__Host-cutoff-session" {
			cookie = c
		}
	}
	if cookie == nil {
		t.Fatal("no session cookie")
	}
	if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
		t.Errorf("session cookie: %+v", cookie)
	}
	if body := v.get("/devices").body; strings.Contains(body, cookie.Value) {
		t.Error("the session's token stands in a page")
	}
}

func TestNothingIsShownOrDoneWithoutASession(t *testing.T) {
	s := newSite(t)
	v := s.visitor()
	for _, path := range []string{"/", "/devices", "/devices/dev_7f3k2m9q", "/cuts", "/cuts/cut_open", "/cuts/cut_open/evidence", "/people", "/people/per_ada", "/connectors", "/tokens", "/policy", "/catalogue"} {
		a := v.get(path)
		wantStatus(t, path, a, http.StatusSeeOther)
		if !strings.HasPrefix(a.Header.Get("Location"), "/login") {
			t.Errorf("%s leads to %q", path, a.Header.Get("Location"))
		}
	}
	wantStatus(t, "events", v.get("/cuts/cut_open/events"), http.StatusUnauthorized)
	wantStatus(t, "a cut", v.post("/devices/dev_7f3k2m9q/cut", "level", "seal", "reason", "x", "confirm", "lap-ada"), http.StatusUnauthorized)
	if len(s.calls) != 0 {
		t.Errorf("calls without a session: %q", s.calls)
	}
}

func TestAFormOfAnotherSiteOrOfNoPageIsRefused(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	good := v.token("/devices/dev_7f3k2m9q")
	other := s.visitor().signIn("operator-olu").token("/devices/dev_7f3k2m9q")
	fields := []string{"level", "seal", "reason", "stolen", "confirm", "lap-ada"}
	const path = "/devices/dev_7f3k2m9q/cut"

	wantStatus(t, "without a token", v.post(path, fields...), http.StatusForbidden)
	wantStatus(t, "with another session's token", v.post(path, append(fields, "form_token", other)...), http.StatusForbidden)
	crossed := v.form(path, append(fields, "form_token", good)...)
	crossed.Header.Set("Sec-Fetch-Site", "cross-site")
	wantStatus(t, "from another site", v.send(crossed), http.StatusForbidden)
	old := v.form(path, append(fields, "form_token", good)...)
	old.Header.Set("Origin", "https://elsewhere.example")
	wantStatus(t, "from another origin", v.send(old), http.StatusForbidden)
	wantStatus(t, "a token in the address", v.post(path+"?form_token="+good, fields...), http.StatusForbidden)
	wantStatus(t, "a sign-in without its cookie", s.visitor().post("/login", "name", "admin-ada", "password", password, "form_token", good), http.StatusForbidden)
	if s.did("admin-ada OpenCut seal") {
		t.Fatal("a forged form cut a device")
	}
	wantStatus(t, "the real form", v.post(path, append(fields, "form_token", good)...), http.StatusSeeOther)
	if !s.did("admin-ada OpenCut seal") {
		t.Error("the real form did not cut")
	}
}

func TestAViewerLooksButChangesNothing(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	device := v.get("/devices/dev_7f3k2m9q")
	wantStatus(t, "a device", device, http.StatusOK)
	if strings.Contains(device.body, "dev_7f3k2m9q/cut") {
		t.Error("a viewer is shown the form that cuts")
	}
	if held := v.get("/cuts/cut_held").body; strings.Contains(held, "/approve") || strings.Contains(held, "/refuse") {
		t.Error("a viewer is shown the form that decides")
	}
	if open := v.get("/cuts/cut_open").body; strings.Contains(open, "/lift\"") {
		t.Error("a viewer is shown the form that lifts")
	}
	wantStatus(t, "the tokens", v.get("/tokens"), http.StatusForbidden)
	token := v.token("/devices")
	for path, call := range map[string]string{
		"/devices/dev_7f3k2m9q/cut": "OpenCut seal", "/people/per_ada/cut": "OpenCut seal", "/cuts/cut_held/approve": "ApproveCut",
		"/cuts/cut_held/refuse": "RefuseCut", "/cuts/cut_open/lift": "LiftCut", "/tokens": "CreateToken default 1 3600000",
		"/tokens/tok_a81f/revoke": "RevokeToken", "/devices/dev_pending1/decide": "DecideDevice true", "/devices/dev_7f3k2m9q/preview": "PreviewCut seal",
	} {
		a := v.post(path, "form_token", token, "level", "seal", "reason", "x", "confirm", "lap-ada", "verdict", "admit", "uses", "1", "hours", "1", "group", "default")
		wantStatus(t, path+" by a viewer", a, http.StatusForbidden)
		if s.did("viewer-vic " + call) {
			t.Errorf("%s by a viewer reached %s", path, call)
		}
	}
}

func TestTheSetupCodeMakesOneAdmin(t *testing.T) {
	s := newSite(t)
	v := s.visitor()
	send := func(code, password, again string) answer {
		return v.submit("/setup", "/setup", "code", code, "name", "admin-first", "password", password, "password_again", again)
	}
	wantStatus(t, "a wrong code", send("guess", "a long enough one", "a long enough one"), http.StatusForbidden)
	wantStatus(t, "a short password", send("once-only-setup-code", "short", "short"), http.StatusUnprocessableEntity)
	wantStatus(t, "two passwords", send("once-only-setup-code", "a long enough one", "a long enough two"), http.StatusUnprocessableEntity)
	a := send(" once-only-setup-code\n", "a long enough one", "a long enough one")
	wantStatus(t, "the right code", a, http.StatusSeeOther)
	wantStatus(t, "signed in at once", v.get("/devices"), http.StatusOK)
	other := s.visitor()
	wantStatus(t, "the code again", other.submit("/setup", "/setup", "code", "once-only-setup-code", "name", "admin-second",
		"password", "a long enough one", "password_again", "a long enough one"), http.StatusForbidden)
}

func TestSigningOutEndsTheSession(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	wantStatus(t, "sign out by a forged form", v.post("/logout"), http.StatusForbidden)
	wantStatus(t, "still signed in", v.get("/devices"), http.StatusOK)
	wantStatus(t, "sign out", v.submit("/devices", "/logout"), http.StatusSeeOther)
	wantStatus(t, "signed out", v.get("/devices"), http.StatusSeeOther)
	if len(s.sessions) != 0 {
		t.Errorf("sessions left: %v", s.sessions)
	}
}

func TestAWrongPasswordSaysNoMoreThanThat(t *testing.T) {
	s := newSite(t)
	v := s.visitor()
	wrong := v.submit("/login", "/login", "name", "admin-ada", "password", "guess")
	unknown := v.submit("/login", "/login", "name", "nobody", "password", "guess")
	wantStatus(t, "wrong password", wrong, http.StatusUnauthorized)
	wantStatus(t, "unknown name", unknown, http.StatusUnauthorized)
	if strings.ReplaceAll(wrong.body, "admin-ada", "X") != strings.ReplaceAll(unknown.body, "nobody", "X") {
		t.Error("an unknown name and a wrong password answer differently")
	}
	if strings.Contains(wrong.body, "guess") {
		t.Error("the page repeats the password")
	}
}

func TestSigningInLeadsOnlyInside(t *testing.T) {
	s := newSite(t)
	for next, want := range map[string]string{
		"/cuts/cut_open?all=1": "/cuts/cut_open?all=1", "https://evil.example/": "/devices", "//evil.example": "/devices",
		"/\\evil.example": "/devices", "javascript:alert(1)": "/devices", "": "/devices", "/\t/evil.example": "/devices",
	} {
		v := s.visitor()
		a := v.submit("/login", "/login", "name", "admin-ada", "password", password, "next", next)
		if got := a.Header.Get("Location"); got != want {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
	}
}

func TestTenMegabytesOfGarbageAreRefused(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/devices/dev_7f3k2m9q/cut", strings.NewReader(strings.Repeat("garbage=", 10<<20/8)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := v.http.Do(r)
	if err != nil {
		return // the server hung up while we were still sending: refused
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("got %d", response.StatusCode)
	}
}

func TestAConsoleWithoutOneOfItsPartsIsNotMade(t *testing.T) {
	if _, err := console.New(console.Config{}); err == nil {
		t.Error("a console of nothing was made")
	}
}
