package connector_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"cutoff/server/connector"
	"cutoff/server/revoke"
)

func glewlwydConnector(g *glewlwyd) connector.Configured {
	return connector.Configured{
		Name: "idp", Kind: "http", Secrets: map[string]string{"password": "password"},
		Config: "use: glewlwyd\nallow: 127.0.0.1\nsettings:\n  base: " + g.base + "\n",
	}
}

func alice() revoke.Subject {
	return revoke.Subject{Level: "purge", DeviceID: "dev_1", Hostname: "laptop-1", Accounts: []string{"alice"}, Email: "alice@example.com"}
}

func TestGlewlwydEndsRefreshTokensByHashAndLeavesOtherUsersAlone(t *testing.T) {
	g := startGlewlwyd(t)
	b := newBench(t, nil, glewlwydConnector(g))
	one, two, bob := g.signIn("alice", "laptop-1"), g.signIn("alice", "phone"), g.signIn("bob", "laptop-2")

	s := b.only(b.plan("idp", alice()), "refresh-tokens")
	r := b.carry(s)
	wantOutcome(t, r, revoke.Verified, revoke.L1)
	if r.Detail != "2 ended" {
		t.Errorf("got detail %q, want 2 ended", r.Detail)
	}
	if g.refreshes(one.Refresh) || g.refreshes(two.Refresh) {
		t.Error("a refresh token of alice still works")
	}
	if !g.refreshes(bob.Refresh) {
		t.Error("bob's refresh token was ended, too")
	}
	// The trap: the access token lives on. It is said, with its end.
	if !g.works(one.Access) {
		t.Fatal("the access token died with its refresh token: this glewlwyd differs from the one the residual is for")
	}
	if want := b.now.Add(time.Hour); r.Residual.Until.Sub(want).Abs() > time.Second {
		t.Errorf("got residual %s, want %s", r.Residual, want.UTC().Format(time.RFC3339))
	}

	again := b.carry(s)
	wantOutcome(t, again, revoke.Verified, revoke.L1)
	if again.Detail != "already" {
		t.Errorf("a repeat says %q, want already", again.Detail)
	}
}

func TestGlewlwydEndsMoreRefreshTokensThanOnePageLists(t *testing.T) {
	g := startGlewlwyd(t)
	b := newBench(t, nil, glewlwydConnector(g))
	var all []tokens
	for range 105 {
		all = append(all, g.signIn("alice", "laptop-1"))
	}
	r := b.carry(b.only(b.plan("idp", alice()), "refresh-tokens"))
	wantOutcome(t, r, revoke.Verified, revoke.L1)
	for _, i := range []int{0, 50, 104} {
		if g.refreshes(all[i].Refresh) {
			t.Errorf("token %d of 105 still works", i)
		}
	}
}

func TestGlewlwydEndsBrowserSessions(t *testing.T) {
	g := startGlewlwyd(t)
	b := newBench(t, nil, glewlwydConnector(g))
	alive, bobs := g.browse("alice"), g.browse("bob")
	if !alive() {
		t.Fatal("the session is dead before it is ended")
	}
	s := b.only(b.plan("idp", alice()), "browser-sessions")
	r := b.carry(s)
	wantOutcome(t, r, revoke.Verified, revoke.L1)
	if alive() {
		t.Error("alice's browser session is still alive")
	}
	if !bobs() {
		t.Error("bob's browser session was ended, too")
	}
	if r.Residual.Unbounded || !r.Residual.Until.IsZero() {
		t.Errorf("got residual %s, want none", r.Residual)
	}
	wantOutcome(t, b.carry(s), revoke.Verified, revoke.L1)
}

func TestGlewlwydAnswers200WithoutAHashAndEndsNothing(t *testing.T) {
	g := startGlewlwyd(t)
	alices := g.signIn("alice", "laptop-1")
	// What a careless connector sends: no hash, and the parameter of the manual.
	status, _ := g.send(g.admin, "DELETE", "/api/oidc/token/?username=alice", nil)
	if status != 200 || !g.refreshes(alices.Refresh) {
		t.Fatalf("got %d, and the token lives: %v; the trap this connector avoids is gone", status, g.refreshes(alices.Refresh))
	}
	// A connector that takes that 200 for a kill finds out by reading back.
	careless := connector.Configured{Name: "careless", Kind: "http", Secrets: map[string]string{"password": "password"}, Config: strings.NewReplacer("BASE", g.base).Replace(`
product: careless
allow: 127.0.0.1
settings: {base: "BASE"}
secrets: [password]
auth: {type: login, call: "POST {base}/api/auth", json: {username: admin, password: "{secret.password}"}}
steps:
  - action: kill
    target: "{account}"
    each: account
    scope: sessions
    undo: sign-in
    residual: none
    act: {call: "DELETE {base}/api/oidc/token/?username={account}", ok: 200}
    confirm: {call: "GET {base}/api/oidc/token?impersonate={account}", list: $, every: {enabled: false}}
`)}
	b := newBench(t, nil, careless)
	r := b.carry(b.only(b.plan("careless", alice()), "kill"))
	if r.Outcome != revoke.Retrying || r.Done || r.Detail != "still-there" {
		t.Errorf("got %s %q done=%v, want retrying, still-there, to be done again", r.Outcome, r.Detail, r.Done)
	}
}

func TestGlewlwydOfAUserWhoIsNotThereNeedsAPerson(t *testing.T) {
	g := startGlewlwyd(t)
	b := newBench(t, nil, glewlwydConnector(g))
	s := alice()
	s.Accounts = []string{"nobody-here"}
	r := b.carry(b.only(b.plan("idp", s), "refresh-tokens"))
	wantOutcome(t, r, revoke.Blocked, "")
	for _, hostile := range []string{"..", "alice/../bob", "alice\\x", ""} {
		s.Accounts = []string{hostile}
		r := b.carry(b.only(b.plan("idp", s), "browser-sessions"))
		wantOutcome(t, r, revoke.Blocked, "")
	}
}

func TestGlewlwydSignsInAnewWhenItsSessionDied(t *testing.T) {
	g := startGlewlwyd(t)
	b := newBench(t, nil, glewlwydConnector(g))
	s := b.only(b.plan("idp", alice()), "refresh-tokens")
	wantOutcome(t, b.carry(s), revoke.Verified, revoke.L1)
	// Somebody ends all of the administrator's sessions.
	_, data := g.send(g.admin, "GET", "/api/delegate/admin/profile/session", nil)
	for _, hash := range hashes(t, data) {
		g.send(g.admin, "DELETE", "/api/delegate/admin/profile/session/"+hash, nil)
	}
	alices := g.signIn("alice", "laptop-1")
	wantOutcome(t, b.carry(s), revoke.Verified, revoke.L1)
	if g.refreshes(alices.Refresh) {
		t.Error("the refresh token still works")
	}
}

func TestGlewlwydRefusesAWrongPasswordWithoutRepeatingIt(t *testing.T) {
	g := startGlewlwyd(t)
	c := glewlwydConnector(g)
	c.Secrets = map[string]string{"password": "hunter2-is-wrong"}
	b := newBench(t, nil, c)
	r := b.carry(b.only(b.plan("idp", alice()), "refresh-tokens"))
	wantOutcome(t, r, revoke.Blocked, "")
	if strings.Contains(r.Detail, "hunter2") {
		t.Errorf("the password is in %q", r.Detail)
	}
	found, err := b.Test(t.Context(), "idp")
	if err != nil || len(found) != 1 || found[0].OK {
		t.Errorf("got %v %v, want one finding that is not ok", found, err)
	}
}

func oauthConnector(g *glewlwyd, more string) connector.Configured {
	return connector.Configured{
		Name: "oauth", Kind: "oidc", Secrets: map[string]string{"client": "app1secret"},
		Config: "revoke: " + g.base + "/api/oidc/revoke\nintrospect: " + g.base + "/api/oidc/introspect\n" +
			"client: {id: app1, secret: client}\naccess_token_life: 1h\nallow: 127.0.0.1\n" + more,
	}
}

func holding(kind string, ids ...string) revoke.Subject {
	s := alice()
	for _, id := range ids {
		s.Credentials = append(s.Credentials, revoke.Credential{ID: id, Held: true, Connector: "oauth", TokenType: kind})
	}
	return s
}

func TestHeldRefreshTokenIsReallyRefusedByGlewlwyd(t *testing.T) {
	g := startGlewlwyd(t)
	mine, other := g.signIn("alice", "laptop-1"), g.signIn("alice", "phone")
	b := newBench(t, map[string]string{"cred_1": mine.Refresh}, oauthConnector(g, ""))
	s := b.only(b.plan("oauth", holding("refresh_token", "cred_1")), "revoke-token")
	r := b.carry(s)
	wantOutcome(t, r, revoke.Verified, revoke.L2)
	if g.refreshes(mine.Refresh) {
		t.Error("the refresh token still works")
	}
	if !g.refreshes(other.Refresh) {
		t.Error("another device's token was revoked, too")
	}
	if !g.works(mine.Access) {
		t.Fatal("this glewlwyd ends access tokens with their refresh token: the residual is too careful")
	}
	if want := b.now.Add(time.Hour); r.Residual.Until.Sub(want).Abs() > time.Second {
		t.Errorf("got residual %s, want the life of an access token", r.Residual)
	}
	// A repeat finds it dead, but has not seen it alive: no proof of its own.
	again := b.carry(s)
	if again.Outcome != revoke.Accepted || again.Detail != "already-inactive-or-unknown" {
		t.Errorf("got %s %q, want accepted, already-inactive-or-unknown", again.Outcome, again.Detail)
	}
}

func TestHeldAccessTokenIsReallyRefusedByGlewlwyd(t *testing.T) {
	g := startGlewlwyd(t)
	mine := g.signIn("alice", "laptop-1")
	if !g.works(mine.Access) {
		t.Fatal("the access token is dead before it is revoked")
	}
	t.Run("introspection is no probe of a JWT: its residual is its end", func(t *testing.T) {
		b := newBench(t, map[string]string{"cred_1": mine.Access}, oauthConnector(g, ""))
		r := b.carry(b.only(b.plan("oauth", holding("access_token", "cred_1")), "revoke-token"))
		wantOutcome(t, r, revoke.Verified, revoke.L1)
		if g.works(mine.Access) {
			t.Error("the access token still works")
		}
		if left := time.Until(r.Residual.Until); left < 50*time.Minute || left > time.Hour {
			t.Errorf("got residual %s, want the token's own end in about an hour", r.Residual)
		}
	})
	t.Run("userinfo is one: nothing is left", func(t *testing.T) {
		mine := g.signIn("alice", "laptop-1")
		b := newBench(t, map[string]string{"cred_1": mine.Access}, oauthConnector(g, "userinfo: "+g.base+"/api/oidc/userinfo\n"))
		r := b.carry(b.only(b.plan("oauth", holding("access_token", "cred_1")), "revoke-token"))
		wantOutcome(t, r, revoke.Verified, revoke.L2)
		if r.Residual.Unbounded || !r.Residual.Until.IsZero() {
			t.Errorf("got residual %s, want none", r.Residual)
		}
		if g.works(mine.Access) {
			t.Error("the access token still works")
		}
	})
}

func TestGlewlwydSaysYesToATokenItNeverGave(t *testing.T) {
	g := startGlewlwyd(t)
	b := newBench(t, map[string]string{"cred_1": "never-given"}, oauthConnector(g, ""))
	r := b.carry(b.only(b.plan("oauth", holding("refresh_token", "cred_1")), "revoke-token"))
	if r.Outcome == revoke.Verified {
		t.Errorf("a yes to an unknown token was taken for proof: %s %s %q", r.Outcome, r.Proof, r.Detail)
	}
	if !r.Residual.Unbounded {
		t.Errorf("got residual %s, want unbounded", r.Residual)
	}
}

func TestOAuthClientThatIsNotTakenIsBlocked(t *testing.T) {
	g := startGlewlwyd(t)
	mine := g.signIn("alice", "laptop-1")
	c := oauthConnector(g, "")
	c.Secrets = map[string]string{"client": "not-the-secret"}
	b := newBench(t, map[string]string{"cred_1": mine.Refresh}, c)
	r := b.carry(b.only(b.plan("oauth", holding("refresh_token", "cred_1")), "revoke-token"))
	if r.Outcome != revoke.Blocked && r.Outcome != revoke.Accepted {
		t.Errorf("got %s %q, want blocked or accepted, never verified", r.Outcome, r.Detail)
	}
	t.Logf("wrong client secret: %s %q", r.Outcome, r.Detail)
	if !g.refreshes(mine.Refresh) {
		t.Error("the token was revoked by a client with a wrong secret")
	}
}

func hashes(t *testing.T, data []byte) []string {
	t.Helper()
	var list []struct {
		Hash string `json:"session_hash"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		all = append(all, url.PathEscape(s.Hash))
	}
	return all
}
