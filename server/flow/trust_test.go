package flow_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/policy"
)

// registry is a stand-in for the connectors: it knows one kind and counts hints.
type registry struct {
	mu      sync.Mutex
	changes int
}

func (r *registry) Check(kind, config string, _ []string) (string, fault.Problems) {
	if kind != "http" || strings.Contains(config, "typo") {
		return "", fault.Problems{{Line: 2, Column: 3, Message: "unknown key"}}
	}
	return "webhook", nil
}

func (r *registry) Changed() { r.mu.Lock(); defer r.mu.Unlock(); r.changes++ }

func (r *registry) hints() int { r.mu.Lock(); defer r.mu.Unlock(); return r.changes }

func keysOf(t testing.TB, raw []byte) signed.Keys {
	t.Helper()
	keys, err := signed.NewKeys(raw)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (h *harness) recordEvent(event evidence.Event) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error { return h.Record(h.t.Context(), tx, event) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// kinds are the kinds of all records, in order.
func (h *harness) kinds() (all []string) {
	h.t.Helper()
	err := h.store.View(h.t.Context(), func(tx flow.Tx) error {
		return tx.Evidence(h.t.Context(), 1, 1<<40, func(r evidence.Record) error {
			all = append(all, r.Kind)
			return nil
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

const diskPolicy = `
groups:
  default:
    rules:
      - name: disk
        when: posture.disk_encrypted
        consequence: warn
        grace: 1h
`

func diskReport(encrypted bool) *cutoffv1.Report {
	return &cutoffv1.Report{Facts: []*cutoffv1.Fact{{
		Name: "disk_encrypted", State: cutoffv1.FactState_FACT_STATE_KNOWN, Value: &cutoffv1.Fact_Flag{Flag: encrypted},
	}}}
}

func (h *harness) reportDisk(l *laptop, encrypted bool) {
	h.t.Helper()
	if err := h.OnReport(h.t.Context(), flow.Peer{DeviceID: l.DeviceID}, diskReport(encrypted)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) consequence(l *laptop) policy.Consequence {
	h.t.Helper()
	d, err := h.Decision(h.t.Context(), l.DeviceID)
	if err != nil {
		h.t.Fatal(err)
	}
	return d.Consequence
}

func TestWithoutAPolicyAReportIsDecidedSilently(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	before := len(h.kinds())
	h.reportDisk(l, false)
	if got := h.consequence(l); got != "" && got != policy.None {
		t.Errorf("got %s", got)
	}
	if after := h.kinds(); len(after) != before {
		t.Errorf("recorded %v", after[before:])
	}
}

func TestAReportIsHeldAgainstThePolicyInForceFromThenOn(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	version, problems, err := h.ApplyPolicy(t.Context(), admin, diskPolicy)
	if version != 1 || len(problems) > 0 || err != nil {
		t.Fatalf("got %d, %v, %v", version, problems, err)
	}
	steps := []struct {
		after     time.Duration
		encrypted bool
		want      policy.Consequence
	}{
		{0, true, policy.None}, {time.Minute, false, policy.None}, {59 * time.Minute, false, policy.None},
		{time.Minute, false, policy.Warn}, {time.Minute, true, policy.None},
	}
	for i, s := range steps {
		h.advance(s.after)
		h.reportDisk(l, s.encrypted)
		if got := h.consequence(l); got != s.want {
			t.Errorf("report %d: got %s, want %s", i, got, s.want)
		}
	}
	// Every report but the one that said nothing new.
	decided := 0
	for _, kind := range h.kinds() {
		if kind == "decision.reached" {
			decided++
		}
	}
	if decided != 4 {
		t.Errorf("%d decisions recorded, want 4", decided)
	}
	if _, _, err := h.ApplyPolicy(t.Context(), admin, "groups: {}"); err != nil {
		t.Fatal(err)
	}
	h.reportDisk(l, false)
	if got := h.consequence(l); got != policy.None {
		t.Errorf("under an empty policy: got %s", got)
	}
}

func TestAPolicyWithAnyProblemChangesNothing(t *testing.T) {
	h := newHarness(t)
	if _, _, err := h.ApplyPolicy(t.Context(), admin, diskPolicy); err != nil {
		t.Fatal(err)
	}
	before := len(h.kinds())
	bad := strings.Replace(diskPolicy, "disk_encrypted", "disc_encrypted", 1)
	version, problems, err := h.ApplyPolicy(t.Context(), admin, bad)
	if err != nil || version != 0 || len(problems) != 1 || problems[0].Line != 6 {
		t.Errorf("got %d, %v, %v; want one problem in line 6", version, problems, err)
	}
	if checked, err := h.CheckPolicy(t.Context(), bad); err != nil || len(checked) != 1 || checked[0] != problems[0] {
		t.Errorf("check: got %v, %v", checked, err)
	}
	p, err := h.Policy(t.Context())
	if err != nil || p.Version != 1 || p.YAML != diskPolicy || p.AppliedBy != admin.Name || !p.AppliedAt.Equal(h.Now()) {
		t.Errorf("in force: %+v, %v", p, err)
	}
	if len(h.kinds()) != before {
		t.Error("something was recorded")
	}
	if version, _, err := h.ApplyPolicy(t.Context(), admin, diskPolicy); version != 1 || err != nil || len(h.kinds()) != before {
		t.Errorf("the same policy again: got version %d, %v", version, err)
	}
}

func TestAConnectorsSecretsAreNotInTheDatabase(t *testing.T) {
	h := newHarness(t)
	const secret = "s3cr3t-of-the-provider"
	in := flow.NewConnector{Name: "hook", Kind: "http", Config: "url: https://example.com", Secrets: map[string]string{"token": secret}}
	c, problems, err := h.AddConnector(t.Context(), admin, in)
	if err != nil || len(problems) > 0 || c.Product != "webhook" || c.Health != flow.HealthUnknown {
		t.Fatalf("got %+v, %v, %v", c, problems, err)
	}
	if h.registry.hints() != 1 {
		t.Errorf("%d hints, want 1", h.registry.hints())
	}
	open, err := h.OpenConnectors(t.Context())
	if err != nil || len(open) != 1 || open[0].Err != nil || open[0].Secrets["token"] != secret || open[0].Config != in.Config {
		t.Fatalf("got %+v, %v", open, err)
	}
	h.notStored(secret)
	if _, _, err := h.AddConnector(t.Context(), admin, in); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same name again: %v", err)
	}
	if err := h.ConnectorUsed(t.Context(), "hook", flow.HealthFailing, "timeout"); err != nil {
		t.Fatal(err)
	}
	all, err := h.Connectors(t.Context())
	if err != nil || len(all) != 1 || all[0].Health != flow.HealthFailing || all[0].HealthDetail != "timeout" || !all[0].LastUsed.Equal(h.Now()) {
		t.Errorf("got %+v, %v", all, err)
	}
	if err := h.RemoveConnector(t.Context(), admin, "hook"); err != nil || h.registry.hints() != 2 {
		t.Errorf("remove: %v, %d hints", err, h.registry.hints())
	}
	mustFail(t, h.RemoveConnector(t.Context(), admin, "hook"), fault.NotFound, "connector")
}

// notStored fails if text is anywhere in the database.
func (h *harness) notStored(text string) {
	h.t.Helper()
	db := h.store.Store.Write()
	tables, err := db.QueryContext(h.t.Context(), `SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'`)
	if err != nil {
		h.t.Fatal(err)
	}
	type column struct{ table, name string }
	var all []column
	for tables.Next() {
		var c column
		if err := tables.Scan(&c.table, &c.name); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, c)
	}
	_ = tables.Close()
	if len(all) < 50 {
		h.t.Fatalf("only %d columns", len(all))
	}
	for _, c := range all {
		var n int
		query := `SELECT count(*) FROM "` + c.table + `" WHERE instr(CAST("` + c.name + `" AS BLOB), CAST($1 AS BLOB)) > 0`
		if err := db.QueryRowContext(h.t.Context(), query, text).Scan(&n); err != nil {
			h.t.Fatal(err)
		}
		if n > 0 {
			h.t.Errorf("%s.%s holds it in the clear", c.table, c.name)
		}
	}
}

func TestSecretsOfOneRowDoNotOpenInAnother(t *testing.T) {
	h := newHarness(t)
	for _, name := range []string{"one", "two"} {
		in := flow.NewConnector{Name: name, Kind: "http", Config: "x", Secrets: map[string]string{"token": "of " + name}}
		if _, _, err := h.AddConnector(t.Context(), admin, in); err != nil {
			t.Fatal(err)
		}
	}
	h.sql("UPDATE connectors SET secrets = (SELECT secrets FROM connectors WHERE name = 'one') WHERE name = 'two'")
	open, err := h.OpenConnectors(t.Context())
	if err != nil || len(open) != 2 {
		t.Fatalf("got %+v, %v", open, err)
	}
	if open[0].Err != nil || open[0].Secrets["token"] != "of one" {
		t.Errorf("the row that was left alone: %+v", open[0])
	}
	if open[1].Err == nil || open[1].Secrets != nil {
		t.Errorf("the row with another's secrets opened: %+v", open[1])
	}
}

func TestAConnectorsFileWithATypoIsNotAdded(t *testing.T) {
	h := newHarness(t)
	_, problems, err := h.AddConnector(t.Context(), admin, flow.NewConnector{Name: "hook", Kind: "http", Config: "typo: 1"})
	if err != nil || len(problems) != 1 || problems[0].Line != 2 {
		t.Errorf("got %v, %v", problems, err)
	}
	for _, bad := range []flow.NewConnector{
		{Name: "Hook", Kind: "http"}, {Name: "", Kind: "http"}, {Name: "none", Kind: "http"},
		{Name: "hook", Kind: "http", Config: strings.Repeat("x", 1<<20)},
		{Name: "hook", Kind: "http", Secrets: map[string]string{"empty": ""}},
	} {
		if _, _, err := h.AddConnector(t.Context(), admin, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.20s: got %v", bad.Name, err)
		}
	}
	if all, err := h.Connectors(t.Context()); err != nil || len(all) != 0 || h.registry.hints() != 0 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestAHeldTokenIsSeenByItsConnectorAlone(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	if _, err := h.LinkPerson(t.Context(), admin, "alice@example.com", "Alice", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.AddConnector(t.Context(), admin, flow.NewConnector{Name: "idp", Kind: "http", Config: "x"}); err != nil {
		t.Fatal(err)
	}
	const token = "refresh-token-nobody-may-see"
	in := flow.HeldCredential{
		Connector: "idp", Person: "Alice@example.com", Device: "alice-laptop", TokenType: flow.RefreshToken, Token: token,
		Label: "laptop session", ExpiresAt: h.Now().Add(time.Hour),
	}
	c, err := h.AddCredential(t.Context(), admin, in)
	if err != nil || !c.Held || c.DeviceID != l.DeviceID || c.PersonID == "" || c.Product != "webhook" {
		t.Fatalf("got %+v, %v", c, err)
	}
	if got, err := h.HeldToken(t.Context(), c.ID); err != nil || got != token {
		t.Errorf("got %q, %v", got, err)
	}
	h.notStored(token)
	if again, err := h.AddCredential(t.Context(), admin, in); err != nil || again.ID != c.ID {
		t.Errorf("handed in again: got %s, %v; want %s", again.ID, err, c.ID)
	}
	for _, of := range [][2]string{{"alice-laptop", ""}, {"", "alice@example.com"}, {"", ""}} {
		all, err := h.Credentials(t.Context(), of[0], of[1])
		if err != nil || len(all) != 1 || all[0].ID != c.ID || !all[0].ExpiresAt.Equal(in.ExpiresAt) {
			t.Errorf("of %v: got %+v, %v", of, all, err)
		}
	}
	h.sql("UPDATE credentials SET id = 'crd_other'")
	if _, err := h.HeldToken(t.Context(), "crd_other"); err == nil {
		t.Error("a token opens in another row")
	}
}

func TestATokenThatCannotBeHeldIsRefused(t *testing.T) {
	h := newHarness(t)
	h.enrol("alice-laptop")
	good := flow.HeldCredential{Connector: "idp", Device: "alice-laptop", TokenType: flow.AccessToken, Token: "x"}
	cases := []struct {
		name   string
		change func(*flow.HeldCredential)
		kind   fault.Kind
	}{
		{"no such connector", func(*flow.HeldCredential) {}, fault.NotFound},
		{"another type", func(c *flow.HeldCredential) { c.TokenType = "password" }, fault.Invalid},
		{"no token", func(c *flow.HeldCredential) { c.Token = "" }, fault.Invalid},
		{"too long", func(c *flow.HeldCredential) { c.Token = strings.Repeat("x", 1<<20) }, fault.Invalid},
		{"nobody's", func(c *flow.HeldCredential) { c.Device = "" }, fault.Invalid},
	}
	for _, c := range cases {
		in := good
		c.change(&in)
		if _, err := h.AddCredential(t.Context(), admin, in); fault.Of(err) != c.kind {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestEachChangeOfALimitAgainstTheLastStartIsRecorded(t *testing.T) {
	h := newHarness(t)
	builtIn := map[string]string{"brake.people": "3", "brake.window": "1h0m0s"}
	starts := []struct {
		name     string
		settings map[string]string
		want     int
	}{
		{"first, nothing set", builtIn, 0},
		{"a limit raised", map[string]string{"brake.people": "100", "brake.window": "1h0m0s"}, 1},
		{"the same again", map[string]string{"brake.people": "100", "brake.window": "1h0m0s"}, 0},
		{"both changed", map[string]string{"brake.people": "3", "brake.window": "2h0m0s"}, 2},
	}
	for _, s := range starts {
		before := len(h.kinds())
		if err := h.NoteSettings(t.Context(), s.settings, builtIn); err != nil {
			t.Fatal(err)
		}
		if got := len(h.kinds()) - before; got != s.want {
			t.Errorf("%s: %d records, want %d", s.name, got, s.want)
		}
	}
	fresh := newHarness(t)
	if err := fresh.NoteSettings(t.Context(), starts[1].settings, builtIn); err != nil || len(fresh.kinds()) != 1 {
		t.Errorf("a limit raised before the first start: %v, %v", fresh.kinds(), err)
	}
}
