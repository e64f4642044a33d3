package declarative_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cutoff/server/connector/declarative"
	"cutoff/server/revoke"
)

// provider serves handlers and returns the connector of file, in which BASE is
// its address; heard are the requests.
func provider(t *testing.T, file string, handlers map[string]http.HandlerFunc) (c *declarative.Connector, heard *[]string) {
	t.Helper()
	heard = &[]string{}
	mux := http.NewServeMux()
	for pattern, h := range handlers {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			*heard = append(*heard, r.Method+" "+r.RequestURI)
			h(w, r)
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return connect(t, "product: x\nallow: 127.0.0.1\nlimits: {per_second: 1000, parallel: 1}\nsettings: {base: "+s.URL+"}\n"+file), heard
}

func say(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, text) }
}

func stepsOf(c *declarative.Connector, s revoke.Subject) []revoke.Step {
	var all []revoke.Step
	for _, spec := range c.Plan(s) {
		all = append(all, revoke.Step{ID: "stp_1", CutID: "cut_1", Action: spec.Action, Target: spec.Target, Params: spec.Params, Scope: spec.Scope})
	}
	return all
}

func TestListsAreReadToTheirEndInEveryWay(t *testing.T) {
	const items = 7
	// slice answers entries from on, at most 3 although more may be asked for.
	slice := func(from int) (list string, next int) {
		var all []string
		for i := from; i < min(from+3, items); i++ {
			all = append(all, fmt.Sprintf(`{"id": %d}`, i))
		}
		return "[" + strings.Join(all, ",") + "]", from + 3
	}
	number := func(r *http.Request, key string) int { n, _ := strconv.Atoi(r.FormValue(key)); return n }
	for name, row := range map[string]struct {
		page, call string
		answer     http.HandlerFunc
	}{
		"offset": {"{from: start, size: n, of: 3}", "GET {base}/list", func(w http.ResponseWriter, r *http.Request) {
			list, _ := slice(number(r, "start"))
			fmt.Fprintf(w, `{"items": %s}`, list)
		}},
		"offset from 1 with a total, parts smaller than asked": {"{from: startIndex, size: count, of: 100, first: 1, total: totalResults}", "GET {base}/list", func(w http.ResponseWriter, r *http.Request) {
			list, _ := slice(number(r, "startIndex") - 1)
			fmt.Fprintf(w, `{"totalResults": %d, "items": %s}`, items, list)
		}},
		"page number": {"{number: page, size: per_page, of: 3}", "GET {base}/list", func(w http.ResponseWriter, r *http.Request) {
			list, _ := slice((number(r, "page") - 1) * 3)
			fmt.Fprintf(w, `{"items": %s}`, list)
		}},
		"cursor": {"{cursor: c, next: meta.next}", "GET {base}/list", func(w http.ResponseWriter, r *http.Request) {
			list, next := slice(number(r, "c"))
			if next >= items {
				fmt.Fprintf(w, `{"items": %s, "meta": {"next": ""}}`, list)
				return
			}
			fmt.Fprintf(w, `{"items": %s, "meta": {"next": "%d"}}`, list, next)
		}},
		"Link header": {"{link: next}", "GET {base}/list?at=0", func(w http.ResponseWriter, r *http.Request) {
			list, next := slice(number(r, "at"))
			w.Header().Add("Link", `</list?at=0>; rel="first"`)
			if next < items {
				w.Header().Add("Link", fmt.Sprintf(`</first>; rel="prev", <http://%s/list?at=%d>; rel="next"`, r.Host, next))
			}
			fmt.Fprintf(w, `{"items": %s}`, list)
		}},
		"Link header of several relations": {"{link: next}", "GET {base}/list?at=0", func(w http.ResponseWriter, r *http.Request) {
			list, next := slice(number(r, "at"))
			if next < items {
				w.Header().Add("Link", fmt.Sprintf("</list?at=0>;rel=first,\t</list?at=%d>; title=\"a, <b>\"; REL = \"last Next\"", next))
			}
			fmt.Fprintf(w, `{"items": %s}`, list)
		}},
		"next address": {`{next: '["@next"]'}`, "GET {base}/list?at=0", func(w http.ResponseWriter, r *http.Request) {
			list, next := slice(number(r, "at"))
			if next >= items {
				fmt.Fprintf(w, `{"items": %s}`, list)
				return
			}
			fmt.Fprintf(w, `{"items": %s, "@next": "http://%s/list?at=%d"}`, list, r.Host, next)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ended := map[string]bool{}
			c, _ := provider(t, `steps:
  - action: end
    target: x
    each: cut
    scope: sessions
    undo: none
    residual: none
    look_up: [{name: s, call: "`+row.call+`", list: items, page: `+row.page+`, take: {id: id}}]
    act: {call: "DELETE {base}/one/{s.id}"}
`, map[string]http.HandlerFunc{"GET /list": row.answer, "DELETE /one/{id}": func(_ http.ResponseWriter, r *http.Request) { ended[r.PathValue("id")] = true }})
			r := c.Revoke(context.Background(), stepsOf(c, revoke.Subject{})[0])
			if r.Outcome != revoke.Accepted || len(ended) != items {
				t.Errorf("got %s %q and %d of %d ended", r.Outcome, r.Detail, len(ended), items)
			}
		})
	}
}

func TestTheNextPartIsNeverAskedOfAnotherHost(t *testing.T) {
	c, heard := provider(t, `steps:
  - {action: end, target: x, each: cut, scope: sessions, undo: none, residual: none, look_up: [{name: s, call: "GET {base}/list", list: items, page: {next: next}, take: {id: id}}], act: {call: "DELETE {base}/one/{s.id}"}}
`, map[string]http.HandlerFunc{"GET /list": say(200, `{"items": [{"id": 1}], "next": "https://evil.example.com/list"}`)})
	r := c.Revoke(context.Background(), stepsOf(c, revoke.Subject{})[0])
	if r.Outcome != revoke.Blocked || !strings.Contains(r.Detail, "another-host") || len(*heard) != 1 {
		t.Errorf("got %s %q after %v", r.Outcome, r.Detail, *heard)
	}
}

func TestWhatABodySaysDecides(t *testing.T) {
	const file = `answers:
  retry: {status: 403, says: {error.reason: [quotaExceeded]}}
  blocked: {says: {ok: false, error: missing_scope}, detail: give the token the scope admin.users:write}
steps:
  - action: end
    target: x
    each: cut
    scope: sessions
    undo: none
    residual: none
    act:
      call: POST {base}/end
      ok: {status: 200, says: {ok: true}}
      already: [404, {status: 400, says: {errors: {contains: already revoked}}}]
      unsupported: {says: {error: feature_not_enabled}, detail: only on the Enterprise plan}
`
	for _, row := range []struct {
		status  int
		body    string
		outcome revoke.Outcome
		detail  string
	}{
		{200, `{"ok": true}`, revoke.Accepted, ""},
		{404, ``, revoke.Accepted, "already"},
		{400, `{"errors": ["x", "cert 7 is already revoked"]}`, revoke.Accepted, "already"},
		{400, `{"errors": ["no such thing"]}`, revoke.Blocked, "refused (400)"},
		{200, `{"ok": false, "error": "feature_not_enabled"}`, revoke.Unsupported, "only on the Enterprise plan (200)"},
		{200, `{"ok": false, "error": "missing_scope"}`, revoke.Blocked, "give the token the scope admin.users:write (200)"},
		{200, `{"ok": false, "error": "other"}`, revoke.Retrying, "answer-says-no (200)"},
		{200, `{"ok": "true"}`, revoke.Retrying, "answer-says-no (200)"},
		{200, `<html>`, revoke.Retrying, "answer-malformed (200)"},
		{403, `{"error": {"reason": "quotaExceeded"}}`, revoke.Retrying, "provider-error (403)"},
		{403, `{"error": {"reason": "forbidden"}}`, revoke.Blocked, "denied (403)"},
		{402, ``, revoke.Unsupported, "plan-needed (402)"},
	} {
		c, _ := provider(t, file, map[string]http.HandlerFunc{"POST /end": say(row.status, row.body)})
		r := c.Revoke(context.Background(), stepsOf(c, revoke.Subject{})[0])
		if r.Outcome != row.outcome || r.Detail != row.detail {
			t.Errorf("%d %s: got %s %q, want %s %q", row.status, row.body, r.Outcome, r.Detail, row.outcome, row.detail)
		}
	}
}

func TestLookUpsChainAndActsFollowWhatTheyFound(t *testing.T) {
	c, heard := provider(t, `steps:
  - action: end
    target: "{account}"
    each: account
    scope: sessions
    undo: none
    residual: none
    look_up:
      - {name: user, call: "GET {base}/users?name={account}", list: $, match: {name: {same: "{account}"}}, required: true, take: {id: id, line: "line?"}}
      - {name: client, call: "GET {base}/users/{user.id}/clients", list: $, take: {id: id, state: state}}
      - {name: token, call: "GET {base}/users/{user.id}/clients/{client.id}/tokens", list: $, take: {id: id}}
    act:
      - {if: {client.state: [on, paused]}, call: "POST {base}/clients/{client.id}/off", json: {line: "{user.line|later|epoch|parsed}"}}
      - {call: "DELETE {base}/tokens/{token.id}", already: 404}
    confirm:
      call: GET {base}/users/{user.id}/tokens
      list: $
      none: {}
`, map[string]http.HandlerFunc{
		"GET /users":           say(200, `[{"id": 7, "name": "Alice"}, {"id": 8, "name": "alice2"}]`),
		"GET /users/7/clients": say(200, `[{"id": "a", "state": "on"}, {"id": "b", "state": "off"}]`),
		"GET /users/7/clients/{c}/tokens": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `[{"id": "%s1"}, {"id": "%s2"}]`, r.PathValue("c"), r.PathValue("c"))
		},
		"POST /clients/a/off": say(200, ""),
		"DELETE /tokens/{id}": say(204, ""),
		"GET /users/7/tokens": say(200, "[]"),
	})
	s := stepsOf(c, revoke.Subject{Accounts: []string{"alice"}})[0]
	r := c.Revoke(context.Background(), s)
	want := []string{
		"GET /users?name=alice", "GET /users/7/clients", "GET /users/7/clients/a/tokens", "GET /users/7/clients/b/tokens",
		"POST /clients/a/off", "DELETE /tokens/a1", "POST /clients/a/off", "DELETE /tokens/a2", "DELETE /tokens/b1", "DELETE /tokens/b2",
	}
	if r.Outcome != revoke.Retrying || !r.Done || r.Detail != "4 ended" || !slices.Equal(*heard, want) {
		t.Fatalf("got %s %q and\n%s", r.Outcome, r.Detail, strings.Join(*heard, "\n"))
	}
	*heard = nil
	s.Memo = r.Memo
	if r = c.Confirm(context.Background(), s); r.Outcome != revoke.Verified || !slices.Equal(*heard, []string{"GET /users?name=alice", "GET /users/7/tokens"}) {
		t.Errorf("got %s %q and %v: a confirmation runs the look-ups it needs, and no other", r.Outcome, r.Detail, *heard)
	}
	*heard = nil
	sight := c.Look(context.Background(), s)
	if len(sight.Found) != 4 || sight.Outcome != "" || slices.ContainsFunc(*heard, func(l string) bool { return !strings.HasPrefix(l, "GET ") }) {
		t.Errorf("a look found %v (%s %s) by %v", sight.Found, sight.Outcome, sight.Detail, *heard)
	}
}

func TestACutLineOnlyMovesForward(t *testing.T) {
	cut := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	for have, want := range map[string]string{
		"1000":                                   strconv.FormatInt(cut.Unix(), 10),
		strconv.FormatInt(cut.Unix()+50, 10):     strconv.FormatInt(cut.Unix()+50, 10),
		strconv.FormatInt(cut.UnixMilli()-5, 10): strconv.FormatInt(cut.UnixMilli(), 10),
		`"2026-11-25T05:00:00Z"`:                 `"2026-11-25T06:00:00Z"`,
		`"2027-01-01T00:00:00Z"`:                 `"2027-01-01T00:00:00Z"`,
		"null":                                   `"2026-11-25T06:00:00Z"`,
	} {
		var body string
		text := "{u.line|later}"
		if !strings.Contains(want, `"`) {
			text = "{u.line|later|parsed}"
		}
		c, _ := provider(t, `steps:
  - {action: end, target: x, each: cut, scope: sessions, undo: none, residual: none, look_up: [{name: u, call: "GET {base}/u", take: {line: "line?"}}], act: {call: "PUT {base}/u", json: {line: "`+text+`"}}}
`, map[string]http.HandlerFunc{"GET /u": say(200, `{"line": `+have+`}`), "PUT /u": func(_ http.ResponseWriter, r *http.Request) {
			raw := make([]byte, 200)
			n, _ := r.Body.Read(raw)
			body = string(raw[:n])
		}})
		r := c.Revoke(context.Background(), stepsOf(c, revoke.Subject{OpenedAt: cut})[0])
		if r.Outcome != revoke.Accepted || body != `{"line":`+want+`}` {
			t.Errorf("%s: got %s %q and wrote %s, want %s", have, r.Outcome, r.Detail, body, want)
		}
	}
}

const directory = `people:
  identifiers: [x-user]
  product: [x-cli]
  if: {id.x-host: ["{base.host}", ~]}
  look_up: [{name: who, call: "GET {base}/find?email={email}", list: $, take: {login: login}}]
  account: "{who.login}"
steps:
  - {action: end, target: "sessions of {account}", each: account, scope: sessions, undo: sign-in, residual: none, act: {call: "POST {base}/users/{account}/end"}}
  - {action: block, target: "{account}", each: account, scope: person, undo: none, residual: none, act: {call: "POST {base}/users/{account}/block"}}
`

func TestAccountsAreFoundOrTheStepIsBlocked(t *testing.T) {
	device := func(users ...string) []revoke.Credential {
		var all []revoke.Credential
		for _, u := range users {
			all = append(all, revoke.Credential{ID: u, Product: "x-cli", Identifiers: map[string]string{"x-user": u, "x-host": "127.0.0.1"}})
		}
		return append(all, revoke.Credential{ID: "else", Product: "x-cli", Identifiers: map[string]string{"x-user": "eve", "x-host": "elsewhere.example.com"}},
			revoke.Credential{ID: "other", Product: "other", Identifiers: map[string]string{"x-user": "eve"}})
	}
	for _, row := range []struct {
		name       string
		subject    revoke.Subject
		directory  string
		want       []string
		blocked    string
		blockBlock string
	}{
		{"linked by hand", revoke.Subject{Accounts: []string{"al"}, Email: "a@x"}, "[]", []string{"/users/al/end", "/users/al/block"}, "", ""},
		{"in the directory", revoke.Subject{Email: "a@x", Credentials: device("carol")}, `[{"login": "alice"}]`, []string{"/users/alice/end", "/users/alice/block"}, "", ""},
		{"two in the directory", revoke.Subject{Email: "a@x"}, `[{"login": "alice"}, {"login": "alice-admin"}]`, []string{"/users/alice/end", "/users/alice-admin/end", "/users/alice/block", "/users/alice-admin/block"}, "", ""},
		{"on the device", revoke.Subject{Email: "a@x", Credentials: device("carol")}, `[]`, []string{"/users/carol/end", "/users/carol/block"}, "", ""},
		{"two on the device", revoke.Subject{Email: "a@x", Credentials: device("carol", "dan")}, `[]`, []string{"/users/carol/end", "/users/dan/end"}, "", "account-not-found"},
		{"nowhere", revoke.Subject{Email: "a@x", Credentials: device()}, `[]`, nil, "account-not-found", "account-not-found"},
	} {
		var acted []string
		c, _ := provider(t, directory, map[string]http.HandlerFunc{
			"GET /find": say(200, row.directory), "POST /users/{u}/{what}": func(_ http.ResponseWriter, r *http.Request) { acted = append(acted, r.URL.Path) },
		})
		all := stepsOf(c, row.subject)
		for i, want := range []string{row.blocked, row.blockBlock} {
			r := c.Revoke(context.Background(), all[i])
			if want != "" && (r.Outcome != revoke.Blocked || r.Detail != want) || want == "" && r.Outcome != revoke.Accepted {
				t.Errorf("%s: %s is %s %q, want %q", row.name, all[i].Action, r.Outcome, r.Detail, want)
			}
		}
		if !slices.Equal(acted, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, acted, row.want)
		}
	}
	c, _ := provider(t, directory, map[string]http.HandlerFunc{"GET /find": say(200, `[{"login": "alice"}]`)})
	if found, err := c.Find(context.Background(), revoke.Person{Email: "a@x"}); err != nil || !slices.Equal(found, []string{"alice"}) {
		t.Errorf("found %v %v", found, err)
	}
	if specs := c.Plan(revoke.Subject{DeviceID: "dev"}); len(specs) != 0 {
		t.Errorf("a device that is nobody's has steps for an account: %v", specs)
	}
}

func TestAPersonWhoseAccountNobodyCanKnowIsBlockedFromTheStart(t *testing.T) {
	c, _ := provider(t, `steps:
  - {action: end, target: "sessions of {account}", each: account, scope: sessions, undo: sign-in, residual: none, act: {call: "POST {base}/users/{account}/end"}}
`, nil)
	specs := c.Plan(revoke.Subject{PersonID: "per_1", Email: "alice@example.com"})
	if len(specs) != 1 || !specs[0].Blocked || specs[0].Detail != "account-not-linked" || specs[0].Target != "sessions of alice@example.com" {
		t.Errorf("got %+v", specs)
	}
}

func TestAConfirmationIsAskedAgainWithinItsWindowAndThenTheActIsDoneAnew(t *testing.T) {
	c, _ := provider(t, `steps:
  - {action: end, target: x, each: cut, scope: sessions, undo: none, residual: none, act: {call: "POST {base}/end"}, confirm: {call: "GET {base}/s", gone: 404, after: 1s, again: 2s, within: 30s}}
`, map[string]http.HandlerFunc{"POST /end": say(200, ""), "GET /s": say(200, "{}")})
	s := stepsOf(c, revoke.Subject{})[0]
	r := c.Revoke(context.Background(), s)
	if r.Again != time.Second || !r.Done {
		t.Fatalf("got %+v", r)
	}
	s.Memo = r.Memo
	if r := c.Confirm(context.Background(), s); r.Outcome != revoke.Retrying || !r.Done || r.Again != 2*time.Second {
		t.Errorf("within the window: got %+v", r)
	}
	s.Memo = map[string]string{"done_at": time.Unix(1795400000-31, 0).UTC().Format(time.RFC3339)}
	if r := c.Confirm(context.Background(), s); r.Outcome != revoke.Retrying || r.Done {
		t.Errorf("after the window: got %+v, want to act again", r)
	}
}

func TestAPreviewNamesWhatHasNothingToDoWithTheDevice(t *testing.T) {
	c, _ := provider(t, `steps:
  - action: end
    target: x
    each: cut
    scope: sessions
    undo: none
    residual: none
    look_up: [{name: s, call: "GET {base}/s", list: $, take: {id: id, host: host}}]
    found: "session on {s.host}"
    unrelated: {say: "{s.host} is another device", if: {s.host: {not: "{hostname}"}}}
    act: {call: "DELETE {base}/s/{s.id}"}
`, map[string]http.HandlerFunc{"GET /s": say(200, `[{"id": 1, "host": "laptop"}, {"id": 2, "host": "phone"}]`)})
	sight := c.Look(context.Background(), stepsOf(c, revoke.Subject{Hostname: "laptop"})[0])
	if !slices.Equal(sight.Found, []string{"session on laptop", "session on phone"}) || !slices.Equal(sight.Unrelated, []string{"phone is another device"}) {
		t.Errorf("got %+v", sight)
	}
}
