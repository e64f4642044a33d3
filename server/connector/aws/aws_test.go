package aws_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/server/connector/aws"
	"cutoff/server/connector/aws/iamtest"
	"cutoff/server/connector/config"
	"cutoff/server/device"
	"cutoff/server/revoke"
)

const (
	secret  = "tr0ub4dor-and-3"
	ownKey  = "AKIAOWNOWNOWNOWNOWN0"
	hers    = "AKIAALICEALICEALICE0"
	herDesk = "AKIAALICEALICEALICE1"
	role    = "arn:aws:sts::" + iamtest.Account + ":assumed-role/Deploy/alice-laptop"
)

// bench is a connector against an account, at a time that the test moves.
type bench struct {
	*aws.Connector
	*iamtest.Server
	t   *testing.T
	now time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, Server: iamtest.New(), now: time.Now().UTC().Truncate(time.Second)}
	b.Users["alice"] = &iamtest.User{Keys: map[string]string{hers: "Active", herDesk: "Active"}, Password: true, Policies: map[string]string{}}
	b.Users["cutoff"] = &iamtest.User{Keys: map[string]string{ownKey: "Active"}, Policies: map[string]string{}}
	b.Roles["Deploy"] = &iamtest.Role{Policies: map[string]string{}}
	b.Roles["AWSReservedSSO_Admin_0123456789abcdef"] = &iamtest.Role{Policies: map[string]string{}, Managed: true}
	server := httptest.NewServer(b.Server)
	t.Cleanup(server.Close)
	c, problems := aws.New(fmt.Sprintf(`account: %q
access_key_id: %s
iam_endpoint: %s
sts_endpoint: %s
allow: 127.0.0.1
limits: {timeout: 5s, per_second: 1000}
`, iamtest.Account, ownKey, server.URL, server.URL), aws.Config{Name: "aws", Secrets: config.Secrets{"secret_access_key": secret}, Now: func() time.Time { return b.now }})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	b.Connector = c
	t.Cleanup(c.Close)
	t.Cleanup(func() {
		if len(b.Faults) > 0 {
			t.Errorf("AWS's model does not allow: %v", b.Faults)
		}
	})
	return b
}

// steps are the specs as steps of a cut.
func steps(cut, undoOf string, specs []revoke.Spec) []revoke.Step {
	slices.SortStableFunc(specs, func(a, b revoke.Spec) int { return a.Rank - b.Rank })
	var all []revoke.Step
	for i, s := range specs {
		all = append(all, revoke.Step{
			ID: fmt.Sprintf("stp_%d", i), CutID: cut, Connector: s.Connector, Action: s.Action, Target: s.Target, Params: s.Params,
			Scope: s.Scope, Undo: s.Undo, UndoOf: undoOf, Rank: s.Rank,
		})
	}
	return all
}

// carry does a step as the queue does; its memo stays in it.
func (b *bench) carry(s *revoke.Step) revoke.Result {
	b.t.Helper()
	r := b.Revoke(b.t.Context(), *s)
	s.Memo = maps.Clone(r.Memo)
	if r.Outcome != revoke.Retrying || !r.Done {
		return r
	}
	s.Residual, s.Detail = r.Residual, r.Detail
	return b.Confirm(b.t.Context(), *s)
}

// want fails the test unless the result is so.
func want(t *testing.T, what string, r revoke.Result, outcome revoke.Outcome, detail string) {
	t.Helper()
	proof := revoke.Proof("")
	if outcome == revoke.Verified {
		proof = revoke.L1
	}
	if r.Outcome != outcome || r.Proof != proof || !strings.HasPrefix(r.Detail, detail) || detail == "" && r.Detail != "" {
		t.Fatalf("%s: got %s %s %q, want %s %s %q", what, r.Outcome, r.Proof, r.Detail, outcome, proof, detail)
	}
}

func (b *bench) all(steps []revoke.Step, detail string) {
	b.t.Helper()
	for i := range steps {
		r := b.carry(&steps[i])
		if r.Outcome != revoke.Verified || r.Proof != revoke.L1 || detail != "" && r.Detail != detail {
			b.t.Fatalf("%s %s: got %s %s %q", steps[i].Action, steps[i].Target, r.Outcome, r.Proof, r.Detail)
		}
	}
}

func (b *bench) undo(cut string, done []revoke.Step) {
	b.t.Helper()
	for i := range slices.Backward(done) {
		for _, u := range steps(cut, done[i].ID, b.UndoSpecs(done[i])) {
			if r := b.carry(&u); r.Outcome != revoke.Verified && r.Outcome != revoke.Accepted {
				b.t.Fatalf("undo %s: got %s %q", u.Action, r.Outcome, r.Detail)
			}
		}
	}
}

func credential(names ...string) revoke.Credential {
	k := revoke.Credential{ID: "cred_1", Product: "AWS", Path: "~/.aws"}
	for i := 0; i < len(names); i += 2 {
		k.Names = append(k.Names, device.Identifier{Kind: names[i], Value: names[i+1]})
	}
	return k
}

func laptop() revoke.Subject {
	return revoke.Subject{
		Level: "purge", DeviceID: "dev_1", Accounts: []string{"alice"}, Email: "alice@example.com",
		Credentials: []revoke.Credential{credential("aws-profile", "default", "aws-access-key-id", hers, "aws-access-key-id", "ASIATEMPTEMPTEMPTEMP", "aws-role-arn", role)},
	}
}

func TestALaptopsKeyAndSessionsEndAndNobodyElses(t *testing.T) {
	b := newBench(t)
	before := b.now.Add(-time.Hour)
	sessions := map[string]iamtest.Session{
		"its key": {User: "alice", Key: hers}, "her sessions": {User: "alice", Issued: before},
		"its session of the role": {Role: "Deploy", Name: "alice-laptop", Issued: before},
	}
	others := map[string]iamtest.Session{
		"her desk's key": {User: "alice", Key: herDesk}, "another session of the role": {Role: "Deploy", Name: "bob-laptop", Issued: before},
		"one with a longer name": {Role: "Deploy", Name: "not-alice-laptop", Issued: before},
	}
	works := func(all map[string]iamtest.Session, want bool, when string) {
		t.Helper()
		for name, s := range all {
			if b.Works(s) != want {
				t.Errorf("%s: works=%v %s", name, !want, when)
			}
		}
	}
	works(sessions, true, "before")
	cut := steps("cut_1", "", b.Plan(laptop()))
	if len(cut) != 3 || cut[0].Action != "access-key" {
		t.Fatalf("got %+v, want the key before the two that end sessions", cut)
	}
	for i := range cut {
		r := b.carry(&cut[i])
		if r.Outcome != revoke.Verified || r.Proof != revoke.L1 || !r.Residual.Until.After(b.now) {
			t.Fatalf("%s: got %+v", cut[i].Target, r)
		}
	}
	works(sessions, false, "after the cut")
	works(others, true, "after the cut")
	works(map[string]iamtest.Session{"a sign-in after it": {User: "alice", Issued: b.now.Add(time.Second)}}, true, "after the cut")
	b.now = b.now.Add(time.Minute)
	for i := range cut {
		want(t, "again "+cut[i].Action, b.carry(&cut[i]), revoke.Verified, "already")
	}
	b.undo("cut_1", cut)
	works(sessions, true, "after the lift")
	if len(b.Users["alice"].Policies)+len(b.Roles["Deploy"].Policies) != 0 {
		t.Errorf("policies are left: %v %v", b.Users["alice"].Policies, b.Roles["Deploy"].Policies)
	}
}

func TestAPersonIsBlockedWithAllKeysAndTheLiftBringsBackWhatWas(t *testing.T) {
	b := newBench(t)
	b.Users["alice"].Keys[herDesk] = "Inactive" // before the cut already
	subject := revoke.Subject{Level: "purge", PersonScope: true, Accounts: []string{"alice"}}
	cut := steps("cut_1", "", b.Plan(subject))
	var order []string
	for _, s := range cut {
		order = append(order, s.Action)
	}
	if !slices.Equal(order, []string{"block-user", "access-keys", "user-sessions", "delete-password"}) {
		t.Fatalf("got %v", order)
	}
	b.all(cut, "")
	if b.Works(iamtest.Session{User: "alice", Issued: b.now.Add(time.Hour)}) || b.Users["alice"].Keys[hers] != "Inactive" || b.Users["alice"].Password {
		t.Errorf("she still works: %+v", b.Users["alice"])
	}
	// The second time as after a crash: nothing of the first is remembered but
	// the line, which moves.
	b.now = b.now.Add(time.Minute)
	for i := range cut {
		want(t, "again "+cut[i].Action, b.carry(&cut[i]), revoke.Verified, "already")
	}
	b.undo("cut_1", cut)
	if !b.Works(iamtest.Session{User: "alice", Key: hers}) || b.Users["alice"].Keys[herDesk] != "Inactive" || len(b.Users["alice"].Policies) != 0 {
		t.Errorf("the lift left %+v", b.Users["alice"])
	}
	if specs := b.Plan(revoke.Subject{Level: "seal", PersonScope: true, Accounts: []string{"alice"}}); len(specs) != 3 {
		t.Errorf("a seal destroys the password: %+v", specs)
	}
}

func TestALineOnlyMovesForwardAndEachCutTakesBackItsOwn(t *testing.T) {
	b := newBench(t)
	later := b.now.Add(time.Hour)
	theirs := `{"Sid":"Theirs","Effect":"Deny","Action":["s3:*"],"Resource":["arn:aws:s3:::x"],  "Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
	b.Roles["Deploy"].Policies["Cutoff"] = `{"Version":"2012-10-17","Statement":[` + theirs + `]}`
	subject := laptop()
	subject.Accounts, subject.Credentials[0].Names = nil, subject.Credentials[0].Names[3:]
	one, two := steps("cut_1", "", b.Plan(subject)), steps("cut_2", "", b.Plan(subject))
	b.all(one, "")
	b.now = b.now.Add(-time.Hour) // another server's clock is behind
	b.all(two, "")
	text := b.Roles["Deploy"].Policies["Cutoff"]
	if two[0].Memo["line"] <= one[0].Memo["line"] || !strings.Contains(text, two[0].Memo["line"]) || strings.Contains(text, one[0].Memo["line"]) {
		t.Errorf("the line went from %s to %s in %s", one[0].Memo["line"], two[0].Memo["line"], text)
	}
	if !strings.Contains(text, compact(t, theirs)) {
		t.Errorf("another's statement is not as it was in %s", text)
	}
	old := iamtest.Session{Role: "Deploy", Name: "alice-laptop", Issued: later.Add(-2 * time.Hour)}
	b.undo("cut_1", one)
	if b.Works(old) {
		t.Error("lifting one cut took the other's denial")
	}
	b.undo("cut_2", two)
	if !b.Works(old) || b.Roles["Deploy"].Policies["Cutoff"] != `{"Version":"2012-10-17","Statement":[`+compact(t, theirs)+`]}` {
		t.Errorf("after both are lifted: %s", b.Roles["Deploy"].Policies["Cutoff"])
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	raw, err := json.Marshal(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAReadThatIsBehindUndoesNoDenial(t *testing.T) {
	b := newBench(t)
	subject := laptop()
	subject.Accounts = nil
	subject.Credentials[0].Names = []device.Identifier{
		{Kind: "aws-role-arn", Value: role}, {Kind: "aws-role-arn", Value: strings.Replace(role, "alice-laptop", "alice-ci", 1)},
	}
	cut := steps("cut_1", "", b.Plan(subject))
	if r := b.Revoke(t.Context(), cut[0]); !r.Done {
		t.Fatalf("got %+v", r)
	}
	b.Stale = 1 // the second read does not see the first write
	b.all(cut[1:], "")
	for _, name := range []string{"alice-laptop", "alice-ci"} {
		if b.Works(iamtest.Session{Role: "Deploy", Name: name, Issued: b.now.Add(-time.Minute)}) {
			t.Errorf("session %s works after both were denied", name)
		}
	}
	// A confirmation that is behind has it written again, not given up.
	b.Stale = 1
	fresh := steps("cut_2", "", b.Plan(subject))[:1]
	r := b.Revoke(t.Context(), fresh[0])
	fresh[0].Memo = r.Memo
	if c := b.Confirm(t.Context(), fresh[0]); c.Outcome != revoke.Verified && (c.Outcome != revoke.Retrying || c.Done) {
		t.Errorf("got %+v", c)
	}
}

func TestLinesThatNoSessionIsOlderThanMakeRoom(t *testing.T) {
	b := newBench(t)
	subject := laptop()
	subject.Accounts = nil
	for i := range 30 {
		subject.Credentials[0].Names = []device.Identifier{{Kind: "aws-role-arn", Value: strings.Replace(role, "alice-laptop", fmt.Sprintf("run-%03d", i), 1)}}
		b.all(steps(fmt.Sprintf("cut_%d", i), "", b.Plan(subject)), "")
		if i == 14 {
			b.now = b.now.Add(38 * time.Hour)
		}
	}
	text := b.Roles["Deploy"].Policies["Cutoff"]
	if strings.Contains(text, "run-003") || !strings.Contains(text, "run-029") || !strings.Contains(text, "run-015") {
		t.Errorf("got %s, want the lines of the last 37 hours", text)
	}
}

func TestWhatThisAccountCannotReachIsSaid(t *testing.T) {
	b := newBench(t)
	b.Foreign["AKIAFOREIGNFOREIGN00"] = "999999999999"
	one := func(names ...string) []revoke.Step {
		return steps("cut_1", "", b.Plan(revoke.Subject{Level: "purge", Credentials: []revoke.Credential{credential(names...)}}))
	}
	run := func(names ...string) revoke.Result {
		t.Helper()
		s := one(names...)
		if len(s) != 1 {
			t.Fatalf("%v: got %+v, want one step", names, s)
		}
		return b.carry(&s[0])
	}
	want(t, "a key that is no more", run("aws-access-key-id", "AKIAGONEGONEGONEGONE"), revoke.Verified, "already")
	want(t, "another account's key", run("aws-access-key-id", "AKIAFOREIGNFOREIGN00"), revoke.Unsupported, "key-of-another-account: 999999999999")
	want(t, "the connector's own key", run("aws-access-key-id", ownKey), revoke.Blocked, "own-key")
	want(t, "a role that is no more", run("aws-role-arn", strings.Replace(role, "Deploy", "Gone", 1)), revoke.Blocked, "not-found")
	b.Roles["Deploy"].Policies["Cutoff"] = `{"Statement": 7}`
	want(t, "a policy of our name that is none", run("aws-role-arn", role), revoke.Blocked, "policy-not-understood")
	b.Roles["Deploy"].Policies["Cutoff"] = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	want(t, "a policy of one statement", run("aws-role-arn", role), revoke.Verified, "")
	if !strings.Contains(b.Roles["Deploy"].Policies["Cutoff"], `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`) {
		t.Errorf("the one statement is gone from %s", b.Roles["Deploy"].Policies["Cutoff"])
	}
	b.Denied = []string{"iam:UpdateAccessKey"}
	want(t, "a right that is missing", run("aws-access-key-id", hers), revoke.Blocked, "denied (AccessDenied)")
	for name, names := range map[string][]string{
		"a role of another account":    {"aws-role-arn", strings.Replace(role, iamtest.Account, "999999999999", 1)},
		"a role that can be entered":   {"aws-role-arn", "arn:aws:iam::" + iamtest.Account + ":role/Deploy"},
		"a session named as a pattern": {"aws-role-arn", strings.Replace(role, "alice-laptop", "*", 1)},
		"a temporary key alone":        {"aws-access-key-id", "ASIATEMPTEMPTEMPTEMP"},
	} {
		if s := one(names...); len(s) != 0 {
			t.Errorf("%s: got %+v, want nothing that could hit others", name, s)
		}
	}
	specs := b.Plan(revoke.Subject{Credentials: []revoke.Credential{credential("aws-role-arn", strings.Replace(role, "Deploy", "AWSReservedSSO_Admin_0123456789abcdef", 1))}})
	if len(specs) != 1 || !specs[0].Unsupported || specs[0].Detail != "role-managed-by-aws" || !specs[0].Residual.Unbounded {
		t.Errorf("a role of Identity Center: got %+v", specs)
	}
	login := b.Plan(revoke.Subject{Credentials: []revoke.Credential{credential("aws-login-session", "arn:aws:iam::"+iamtest.Account+":user/team/alice")}})
	if len(login) != 1 || login[0].Params["user"] != "alice" || login[0].Action != "user-sessions" {
		t.Errorf("a session of aws login: got %+v", login)
	}
	missing := steps("cut_1", "", b.Plan(revoke.Subject{PersonScope: true, Accounts: []string{"nobody"}}))
	for i := range missing {
		want(t, "a user who is not there: "+missing[i].Action, b.carry(&missing[i]), revoke.Blocked, "not-found")
	}
	own := steps("cut_1", "", b.Plan(revoke.Subject{PersonScope: true, Accounts: []string{"cutoff"}}))
	want(t, "all keys of its own user", b.carry(&own[1]), revoke.Blocked, "own-key")
}

func TestErrorsOfAWSHaveTheirOutcome(t *testing.T) {
	for _, row := range []struct {
		action, code string
		step         int
		outcome      revoke.Outcome
		detail       string
	}{
		{"UpdateAccessKey", "Throttling", 0, revoke.Retrying, "rate-limited (Throttling)"},
		{"UpdateAccessKey", "ServiceFailure", 0, revoke.Retrying, "ServiceFailure"},
		{"UpdateAccessKey", "NoSuchEntity", 0, revoke.Verified, "already"},
		{"ListAccessKeys", "Throttling", 0, revoke.Retrying, "rate-limited (Throttling)"},
		{"GetAccessKeyLastUsed", "InvalidClientTokenId", 0, revoke.Blocked, "denied (InvalidClientTokenId)"},
		{"PutRolePolicy", "LimitExceeded", 1, revoke.Blocked, "limit-exceeded"},
		{"PutRolePolicy", "UnmodifiableEntity", 1, revoke.Unsupported, "role-managed-by-aws"},
		{"GetRolePolicy", "AccessDenied", 1, revoke.Blocked, "denied (AccessDenied)"},
		{"GetRolePolicy", "Throttling", 1, revoke.Retrying, "rate-limited (Throttling)"},
	} {
		b := newBench(t)
		subject := laptop()
		subject.Accounts = nil
		cut := steps("cut_1", "", b.Plan(subject))
		b.Fail[row.action] = row.code
		r := b.Revoke(t.Context(), cut[row.step])
		if r.Outcome != row.outcome || !strings.HasPrefix(r.Detail, row.detail) {
			t.Errorf("%s of %s: got %s %q, want %s %q", row.code, row.action, r.Outcome, r.Detail, row.outcome, row.detail)
		}
		delete(b.Fail, row.action)
		if row.outcome == revoke.Retrying {
			cut[row.step].Memo = r.Memo
			want(t, "afterwards", b.carry(&cut[row.step]), revoke.Verified, map[int]string{0: "key of user alice"}[row.step])
		}
	}
}

func TestAKeyWithoutAnIDInAnAnswerProvesNothing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<ListAccessKeysResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListAccessKeysResult><IsTruncated>false</IsTruncated>`+
			`<AccessKeyMetadata><member><UserName>alice</UserName><Status>Active</Status></member></AccessKeyMetadata></ListAccessKeysResult></ListAccessKeysResponse>`)
	}))
	t.Cleanup(server.Close)
	c, problems := aws.New(fmt.Sprintf("account: %q\naccess_key_id: %s\niam_endpoint: %s\nallow: 127.0.0.1\n", iamtest.Account, ownKey, server.URL),
		aws.Config{Name: "aws", Secrets: config.Secrets{"secret_access_key": secret}, Now: time.Now})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	of := revoke.Subject{Email: "alice@example.com", Accounts: []string{"alice"}, PersonScope: true, Level: "block", Credentials: []revoke.Credential{credential("aws-access-key-id", hers)}}
	asked := 0
	for _, s := range steps("cut_1", "", c.Plan(of)) {
		if s.Action != "access-key" && s.Action != "access-keys" {
			continue
		}
		s.Memo = map[string]string{"user": "alice"}
		want(t, s.Action, c.Confirm(t.Context(), s), revoke.Retrying, "answer-malformed")
		asked++
	}
	if asked != 2 {
		t.Errorf("%d steps are about keys, want that of the device and those of the person", asked)
	}
}

func TestAllKeysOfAUserThoughOneRefuses(t *testing.T) {
	b := newBench(t)
	cut := steps("cut_1", "", b.Plan(revoke.Subject{PersonScope: true, Accounts: []string{"alice"}}))
	b.Fail["UpdateAccessKey"] = "ServiceFailure"
	want(t, "all refuse", b.carry(&cut[1]), revoke.Retrying, "ServiceFailure")
	delete(b.Fail, "UpdateAccessKey")
	b.Users["alice"].Keys[hers] = "Inactive"
	want(t, "afterwards", b.carry(&cut[1]), revoke.Verified, "")
	if cut[1].Memo["keys"] != herDesk {
		t.Errorf("got %q, want only what this cut switched off", cut[1].Memo["keys"])
	}
	b.Users["alice"].Keys[herDesk] = "Active"
	if r := b.Confirm(t.Context(), cut[1]); r.Outcome != revoke.Retrying || r.Done {
		t.Errorf("a key that was switched on again: got %+v, want to act again", r)
	}
}

func TestTheTestSaysWhichPermissionsAreMissingAndChangesNothing(t *testing.T) {
	b := newBench(t)
	findings := func() string {
		t.Helper()
		var lines []string
		for _, f := range b.Check(t.Context()) {
			lines = append(lines, fmt.Sprintf("%v %s: %s", f.OK, f.Name, f.Detail))
		}
		return strings.Join(lines, "\n")
	}
	if text := findings(); strings.Contains(text, "false") || !strings.Contains(text, "user/cutoff") {
		t.Errorf("got\n%s", text)
	}
	b.Denied = []string{"iam:PutRolePolicy", "iam:UpdateAccessKey"}
	if text := findings(); !strings.Contains(text, "missing: iam:UpdateAccessKey") || !strings.Contains(text, "missing: iam:PutRolePolicy") || strings.Count(text, "false") != 2 {
		t.Errorf("got\n%s", text)
	}
	b.Denied = []string{"iam:SimulatePrincipalPolicy"}
	if text := findings(); !strings.Contains(text, "allow iam:SimulatePrincipalPolicy") {
		t.Errorf("got\n%s", text)
	}
	b.Denied, b.Caller = nil, "arn:aws:iam::999999999999:user/cutoff"
	if text := findings(); !strings.Contains(text, "the key is of account 999999999999") {
		t.Errorf("got\n%s", text)
	}
	b.Caller, b.Fail["GetCallerIdentity"] = "", "InvalidClientTokenId"
	if text := findings(); !strings.Contains(text, "the connector's own key is not taken") {
		t.Errorf("got\n%s", text)
	}
	for _, call := range b.Calls {
		if strings.HasPrefix(call, "Put") || strings.HasPrefix(call, "Update") || strings.HasPrefix(call, "Delete") {
			t.Errorf("the test called %s", call)
		}
	}
}

func TestAnEndpointOfTheFileMeetsTheGuard(t *testing.T) {
	called := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	t.Cleanup(server.Close)
	c, problems := aws.New(fmt.Sprintf("account: %q\naccess_key_id: %s\niam_endpoint: %s\n", iamtest.Account, ownKey, server.URL),
		aws.Config{Name: "aws", Secrets: config.Secrets{"secret_access_key": secret}, Now: time.Now})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	r := c.Revoke(t.Context(), steps("cut_1", "", c.Plan(laptop()))[0])
	if r.Outcome != revoke.Blocked || r.Detail != "address-not-allowed" || called {
		t.Errorf("got %+v, called %v", r, called)
	}
}

func TestAFileThatIsWrongSaysWhere(t *testing.T) {
	fine := "account: \"123456789012\"\naccess_key_id: AKIAOWNOWNOWNOWNOWN0\n"
	for file, want := range map[string]string{
		fine:                         "",
		"":                           "1:1: the file is empty",
		fine[27:]:                    "account is missing",
		"account: 12\n" + fine[26:]:  "1:10: want the account's number",
		fine + "region: Virginia\n":  "3:9: want a region",
		fine + "session_life: 40h\n": "3:15: want how long",
		fine + "policy: a b\n":       "3:9: want a policy's name",
		fine + "iam_endpoint: http://iam.example.com\n": "3:15: http:// would send credentials",
		strings.Replace(fine, "AKIA", "akia", 1):        "2:16: want an access key id",
	} {
		_, _, problems := aws.Inspect(file)
		text := ""
		for _, p := range problems {
			text += p.String() + "\n"
		}
		if want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("%q: got %q, want %q", file, text, want)
		}
	}
	if _, problems := aws.New(fine, aws.Config{Now: time.Now}); len(problems) != 1 || !strings.Contains(problems[0].Message, "secret_access_key") {
		t.Errorf("without its secret: got %v", problems)
	}
}
