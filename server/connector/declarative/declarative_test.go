package declarative_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cutoff/server/connector/declarative"
	"cutoff/server/revoke"
)

// good is a file with one of everything.
const good = `product: Example
allow: 127.0.0.1
settings:
  base: https://login.example.com/api
  realm: main
secrets: [token]
auth: {type: bearer, token: "{secret.token}"}
steps:
  - action: end
    target: "sessions of {account}"
    each: account
    scope: sessions
    undo: sign-in
    residual: 1h
    look_up:
      - name: user
        call: GET {base}/users?name={account}
        list: items
        take: {id: id}
    act:
      call: DELETE {base}/{realm}/users/{user.id}/sessions
    confirm:
      call: GET {base}/{realm}/sessions?user={account}
      list: items
      none: {}
`

func TestGoodFileHasNoProblem(t *testing.T) {
	product, secrets, problems := declarative.Inspect(good)
	if len(problems) > 0 || product != "Example" || len(secrets) != 1 {
		t.Errorf("got %q %v %v", product, secrets, problems)
	}
}

func TestShippedEntriesHaveNoProblem(t *testing.T) {
	settings := map[string]string{"webhook": "cut_url"}
	for _, name := range declarative.Entries() {
		key := "base"
		if settings[name] != "" {
			key = settings[name]
		}
		if name == "keycloak" {
			key = "realm: main, " + key
		}
		if _, _, problems := declarative.Inspect("use: " + name + "\nsettings: {" + key + ": \"https://x.example.com\"}\n"); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestFilesWithAFaultSayWhereItIs(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"an unknown key", "residual: 1h", "residul: 1h", `14:5: unknown key "residul"`},
		{"a missing key", "    residual: 1h\n", "", `9:5: residual is missing`},
		{"a key twice", "    each: account\n", "    each: account\n    each: account\n", `12:5: key "each" is repeated`},
		{"a variable that is not there", "name={account}", "name={acount}", `17:37: unknown variable {acount}`},
		{"a look-up that is not there", "{user.id}", "{usr.id}", `21:41: unknown variable {usr.id}`},
		{"a look-up's value that is not taken, in a confirmation", "user={account}", "user={user.name}", `23:46: unknown variable {user.name}`},
		{"a secret outside auth", "name={account}", "name={secret.token}", `17:37: secrets are for auth only`},
		{"a secret nobody listed", "{secret.token}", "{secret.tokn}", `7:30: there is no secret "tokn"`},
		{"a brace that stays open", "sessions of {account}", "sessions of {account", `10:26: "{account" is not closed`},
		{"a brace too many", "sessions of {account}", "sessions of account}", `10:33: } without {`},
		{"a function that is not there", "{account}\"\n    each", "{account|upper}\"\n    each", `no function "upper"`},
		{"a value that chooses the host", "GET {base}/users", "GET https://{account}/users", `17:19: an address begins with a setting`},
		{"an account that chooses the host", "GET {base}/users", "GET {account}/users", `17:19: there is no address {account} among the settings`},
		{"an address that is none", "https://login.example.com/api", "ftp://login.example.com", `4:9: want an address`},
		{"an address in the clear", "https://login.example.com/api", "http://login.example.com/api", `4:9: http:// would send credentials`},
		{"an address with a password", "https://login.example.com/api", "https://a:b@login.example.com/api", `4:9: an address here has no user name`},
		{"a method that is not there", "DELETE {base}", "REMOVE {base}", `21:13: want a method`},
		{"a status that is none", "list: items\n        take", "list: items\n        ok: 2000\n        take", `19:13: want a whole number from 100 to 599`},
		{"a path that is none", "list: items\n        take", "list: a..b\n        take", `18:15: "a..b" is not a path`},
		{"a confirmation by status alone", "      list: items\n      none: {}\n", "", `23:7: a confirmation needs gone`},
		{"a scope that is none", "scope: sessions", "scope: session", `12:12: "session" is none of`},
		{"a residual that is none", "residual: 1h", "residual: soon", `14:15: want none, unbounded, expiry`},
		{"a private address that is none", "allow: 127.0.0.1", "allow: [10.0.0.0/99]", `neither an address`},
		{"auth of another type", "type: bearer, token", "type: basic, token", `auth of type basic has no token`},
		{"an undo that is not there", "undo: sign-in", "undo: full\n    undone_by: nothing", `undone_by: there is no undo "nothing"`},
		{"two documents", "product: Example", "product: Example\n---\na: b", `a second document`},
		{"no YAML", "product: Example", "product: [Example", `did not find expected`},
		{"an alias", "realm: main", "realm: &x main", `anchors and aliases`},
	} {
		text := strings.Replace(good, row.old, row.new, 1)
		if text == good {
			t.Fatalf("%s: the file does not have %q", row.name, row.old)
		}
		_, _, problems := declarative.Inspect(text)
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.String(), row.want)
		}
		if !found {
			t.Errorf("%s: got %v, want one with %q", row.name, problems, row.want)
		}
	}
	for name, text := range map[string]string{
		"an entry that is not there": "use: glewlwid\n", "a setting that is missing": "use: glewlwyd\n", "a setting that is not there": "use: scim\nsettings: {base: \"https://x\", bse: 1}\n",
		"an address that is a name": "use: scim\nsettings: {base: login.example.com}\n",
		"steps beside use":          "use: scim\nsettings: {base: \"https://x\"}\nsteps: []\n", "nothing": "", "garbage": "\x00\x01\x02", "too much": strings.Repeat("# x\n", 100_000),
	} {
		if _, _, problems := declarative.Inspect(text); len(problems) == 0 {
			t.Errorf("%s: no problem was found", name)
		} else if problems[0].Line < 1 || problems[0].Column < 1 {
			t.Errorf("%s: %v has no place", name, problems[0])
		}
	}
}

// heard is a server that keeps what it was sent.
type heard struct {
	mu     sync.Mutex
	lines  []string
	bodies []string
	header []http.Header
}

func (h *heard) serve(t *testing.T, answer string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.lines, h.bodies, h.header = append(h.lines, r.Method+" "+r.RequestURI), append(h.bodies, string(body)), append(h.header, r.Header.Clone())
		h.mu.Unlock()
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func connect(t *testing.T, text string) *declarative.Connector {
	t.Helper()
	c, problems := declarative.New(text, declarative.Config{
		Name: "x", Now: func() time.Time { return time.Unix(1795400000, 0) },
		Secrets: map[string]string{"token": "sesame", "signing_secret": "whsec_" + base64.StdEncoding.EncodeToString([]byte("key-of-the-hook"))},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	return c
}

// revokeAll runs everything planned for s.
func revokeAll(t *testing.T, c *declarative.Connector, s revoke.Subject) []revoke.Result {
	t.Helper()
	var all []revoke.Result
	for _, spec := range c.Plan(s) {
		all = append(all, c.Revoke(context.Background(), revoke.Step{ID: "stp_1", CutID: "cut_1", Action: spec.Action, Target: spec.Target, Params: spec.Params}))
	}
	return all
}

func TestHostileValuesStayInTheirPlace(t *testing.T) {
	const file = `product: x
allow: 127.0.0.1
settings: {base: BASE/v1}
steps:
  - action: path
    target: "{account}"
    each: account
    scope: sessions
    undo: none
    residual: none
    act: {call: "POST {base}/users/{account}/end?q={account}&fixed=1", headers: {X-Who: "{account|quoted}"}, json: {user: "{account}", n: 1, list: ["{account}", true, null]}}
  - action: form
    target: "{account}"
    each: account
    scope: sessions
    undo: none
    residual: none
    act: {call: "POST {base}/form", form: {user: "{account}"}}
`
	for account, want := range map[string][]string{
		"alice":                 {"POST /v1/users/alice/end?q=alice&fixed=1", "user=alice"},
		"a b&c=d?e#f%2e":        {"POST /v1/users/a%20b&c=d%3Fe%23f%252e/end?q=a+b%26c%3Dd%3Fe%23f%252e&fixed=1", "user=a+b%26c%3Dd%3Fe%23f%252e"},
		`x","admin":true,"y":"`: {`POST /v1/users/x%22%2C%22admin%22:true%2C%22y%22:%22/end?q=x%22%2C%22admin%22%3Atrue%2C%22y%22%3A%22&fixed=1`, "user=x%22%2C%22admin%22%3Atrue%2C%22y%22%3A%22"},
		"{secret.token}{base}":  {"POST /v1/users/%7Bsecret.token%7D%7Bbase%7D/end?q=%7Bsecret.token%7D%7Bbase%7D&fixed=1", "user=%7Bsecret.token%7D%7Bbase%7D"},
	} {
		h := &heard{}
		c := connect(t, strings.ReplaceAll(file, "BASE", h.serve(t, "{}")))
		revokeAll(t, c, revoke.Subject{Accounts: []string{account}})
		if len(h.lines) != 2 || h.lines[0] != want[0] || h.bodies[1] != want[1] {
			t.Errorf("%s: got %q and %q, want %q", account, h.lines, h.bodies, want)
			continue
		}
		var body struct {
			User string
			N    int
			List []any
		}
		if err := json.Unmarshal([]byte(h.bodies[0]), &body); err != nil || body.User != account || body.N != 1 || len(body.List) != 3 {
			t.Errorf("%s: got body %s", account, h.bodies[0])
		}
	}
	for _, account := range []string{"", ".", "..", "...", "a/b", `a\b`, "../admin", "a\r\nX: y", "a\x00"} {
		h := &heard{}
		c := connect(t, strings.ReplaceAll(file, "BASE", h.serve(t, "{}")))
		results := revokeAll(t, c, revoke.Subject{Accounts: []string{account}})
		sent := 1
		if account == "" { // a filter for nobody finds everybody
			sent = 0
		}
		if results[0].Outcome != revoke.Blocked || len(h.lines) != sent {
			t.Errorf("%q in a path: got %s %q and requests %q, want blocked and none", account, results[0].Outcome, results[0].Detail, h.lines)
		}
	}
}

func TestLookUpFeedsTheActForEachThatMatches(t *testing.T) {
	h := &heard{}
	base := h.serve(t, `{"items": [{"id": 7, "on": true, "who": "alice"}, {"id": 8, "on": false, "who": "alice"}, {"id": "9", "on": true, "who": "bob"}, {"id": "ten", "on": true, "who": "alice"}]}`)
	c := connect(t, `product: x
allow: 127.0.0.1
settings: {base: "`+base+`"}
steps:
  - action: end
    target: "{account}"
    each: account
    scope: sessions
    undo: none
    residual: none
    look_up: [{name: s, call: "GET {base}/s", list: items, match: {on: true, who: "{account}"}, take: {id: id}}]
    act: {call: "DELETE {base}/s/{s.id}"}
`)
	r := revokeAll(t, c, revoke.Subject{Accounts: []string{"alice"}})
	if want := "GET /s DELETE /s/7 DELETE /s/ten"; strings.Join(h.lines, " ") != want {
		t.Errorf("got %q, want %q", h.lines, want)
	}
	if r[0].Outcome != revoke.Accepted || r[0].Detail != "2 ended" {
		t.Errorf("got %s %q", r[0].Outcome, r[0].Detail)
	}
}

func TestWhatWasDoneInPartSaysSo(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/s":
			_, _ = io.WriteString(w, `[{"id": 1}, {"id": 2}, {"id": 3}]`)
		case "/s/2":
			w.WriteHeader(403)
		}
	}))
	defer s.Close()
	c := connect(t, `product: x
allow: 127.0.0.1
settings: {base: "`+s.URL+`"}
steps:
  - action: end
    target: all
    each: cut
    scope: sessions
    undo: none
    residual: none
    look_up: [{name: s, call: "GET {base}/s", list: $, take: {id: id}}]
    act: {call: "DELETE {base}/s/{s.id}"}
`)
	r := revokeAll(t, c, revoke.Subject{})[0]
	if r.Outcome != revoke.Blocked || r.Detail != "denied (403); 2 of 3 done" {
		t.Errorf("got %s %q", r.Outcome, r.Detail)
	}
}

func TestPlanFollowsLevelPersonProductAndIdentifiers(t *testing.T) {
	step := func(action, each, when string) string {
		return "  - {action: " + action + ", target: \"t {credential}{account}\", each: " + each + ", when: {" + when + "}, scope: device, undo: none, residual: expiry, act: {call: \"POST {base}/x\"}}\n"
	}
	c := connect(t, "product: x\nsettings: {base: \"https://x.example.com\"}\nsteps:\n"+
		step("purge-only", "account", "level: purge")+step("person-only", "account", "person: true")+
		step("device-only", "account", "person: false")+step("key", "credential", "product: [aws], has: [key_id]"))
	expires := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	s := revoke.Subject{Level: "seal", Accounts: []string{"alice"}, Credentials: []revoke.Credential{
		{ID: "c1", Product: "aws", Identifiers: map[string]string{"key_id": "AKIA"}, Expires: expires}, {ID: "c2", Product: "aws"},
		{ID: "c3", Product: "gcp", Identifiers: map[string]string{"key_id": "x"}}, {ID: "c4", Product: "aws", Identifiers: map[string]string{"key_id": "x"}, Held: true},
	}}
	actions := func(s revoke.Subject) string {
		var all []string
		for _, spec := range c.Plan(s) {
			all = append(all, spec.Action)
		}
		return strings.Join(all, " ")
	}
	if got := actions(s); got != "device-only key" {
		t.Errorf("seal of a device: got %q", got)
	}
	for _, spec := range c.Plan(s) {
		if spec.Action == "key" && (spec.Params["credential_id"] != "c1" || spec.Params["id.key_id"] != "AKIA" || !spec.Residual.Until.Equal(expires)) {
			t.Errorf("got %+v", spec)
		}
	}
	s.Level, s.PersonScope = "purge", true
	if got := actions(s); got != "purge-only person-only key" {
		t.Errorf("purge of a person: got %q", got)
	}
}

func TestWebhookIsSignedAsStandardWebhooksAre(t *testing.T) {
	h := &heard{}
	base := h.serve(t, `{}`)
	c := connect(t, "use: webhook\nallow: 127.0.0.1\nsettings: {cut_url: \""+base+"/hook\"}\n")
	s := revoke.Subject{
		Level: "purge", DeviceID: "dev_1", Hostname: "laptop", Email: "alice@example.com",
		Credentials: []revoke.Credential{{ID: "c1", Product: "aws", Identifiers: map[string]string{"key_id": `A"K`}}},
	}
	r := revokeAll(t, c, s)[0]
	if r.Outcome != revoke.Accepted || r.Proof != revoke.L0 || !r.Residual.Unbounded {
		t.Errorf("got %s %s %s, want accepted L0 unbounded", r.Outcome, r.Proof, r.Residual)
	}
	got := h.header[0]
	mac := hmac.New(sha256.New, []byte("key-of-the-hook"))
	mac.Write([]byte("stp_1.1795400000." + h.bodies[0]))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.Get("webhook-signature") != want {
		t.Errorf("got signature %q, want %q", got.Get("webhook-signature"), want)
	}
	if got.Get("webhook-id") != "stp_1" || got.Get("webhook-timestamp") != "1795400000" || got.Get("Idempotency-Key") != "stp_1" {
		t.Errorf("got headers %v", got)
	}
	var body struct {
		EventID     string `json:"event_id"`
		Action      string
		Subject     map[string]string
		Credentials []struct {
			Type, ID    string
			Identifiers map[string]string
		}
	}
	if err := json.Unmarshal([]byte(h.bodies[0]), &body); err != nil {
		t.Fatalf("%s: %v", h.bodies[0], err)
	}
	if body.EventID != "stp_1" || body.Action != "purge" || body.Subject["email"] != "alice@example.com" || len(body.Credentials) != 1 || body.Credentials[0].Identifiers["key_id"] != `A"K` {
		t.Errorf("got body %s", h.bodies[0])
	}
	if spec := c.Plan(s)[0]; spec.Undo != revoke.UndoNone {
		t.Errorf("without an undo address the step says undo %q", spec.Undo)
	}
}

func TestUndoPutsThePersonBack(t *testing.T) {
	active := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PATCH" {
			body, _ := io.ReadAll(r.Body)
			active = strings.Contains(string(body), `"value":true`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Resources": []any{map[string]any{"id": "u1", "active": active}}})
	}))
	defer s.Close()
	c := connect(t, "use: scim\nallow: 127.0.0.1\nsettings: {base: \""+s.URL+"\", session_life: none}\n")
	spec := c.Plan(revoke.Subject{Level: "seal", PersonScope: true, Accounts: []string{"alice"}})[0]
	step := revoke.Step{ID: "stp_1", Action: spec.Action, Params: spec.Params, Target: spec.Target, Scope: spec.Scope}
	if r := c.Revoke(t.Context(), step); !r.Done || active {
		t.Fatalf("got %+v, active %v", r, active)
	}
	undo := c.UndoSpecs(step)
	if len(undo) != 1 {
		t.Fatalf("got undo %v, want one", undo)
	}
	back := revoke.Step{ID: "stp_2", UndoOf: "stp_1", Action: undo[0].Action, Params: undo[0].Params, Target: undo[0].Target}
	r := c.Revoke(t.Context(), back)
	if !r.Done || !active {
		t.Fatalf("got %+v, active %v", r, active)
	}
	back.Memo = r.Memo
	if r := c.Confirm(t.Context(), back); r.Outcome != revoke.Verified {
		t.Errorf("got %s %q, want verified", r.Outcome, r.Detail)
	}
}
