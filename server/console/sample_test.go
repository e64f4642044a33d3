package console_test

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// hostile is a hostname as an attacker would choose it.
const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202etxt.exe"

func ident(kind, value string) []*cutoffv1.Identifier {
	return []*cutoffv1.Identifier{{Kind: kind, Value: value}}
}

// sampleItems is n credentials of several products; with an outcome, the
// receipt's answer, in which some went wrong.
func sampleItems(outcome string, n int) []*cutoffv1.CutItem {
	products := []struct{ name, path, kind, value string }{
		{"AWS CLI", "/home/ada/.aws/credentials [default]", "aws-access-key-id", "AKIA3SZ5EXAMPLE%03d"},
		{"GitHub CLI", "/home/ada/.config/gh/hosts.yml", "github-login", "ada-%d"},
		{"SSH keys", "/home/ada/.ssh/id_ed25519_%d", "ssh-fingerprint", "SHA256:uNiVztksCsDhcc0u9e8BxrJXVGDfTAl%d"},
		{"kubectl", "/home/ada/.kube/config user prod-admin-%d", "k8s-server", "https://10.0.%d.1:6443"},
		{"Docker", "/home/ada/.docker/config.json registry-%d.example.com", "registry", "registry-%d.example.com"},
	}
	var items []*cutoffv1.CutItem
	for i := range n {
		p := products[i%len(products)]
		path := p.path
		if i%len(products) >= 2 {
			path = fmt.Sprintf(p.path, i)
		}
		item := &cutoffv1.CutItem{
			Id: fmt.Sprintf("item_%d", i), Product: p.name, User: []string{"ada", "deploy"}[i%7/6], Path: path,
			Action: []string{"edit", "delete", "delete", "edit", "edit"}[i%len(products)], Outcome: outcome, ResidualUntil: "none", Identifiers: ident(p.kind, fmt.Sprintf(p.value, i)), Regain: "none",
		}
		if outcome != "" {
			item.Sealed = true
			if i == 3 {
				item.Outcome, item.Action, item.Detail, item.Sealed = "blocked", "left", "link-outside", false
			}
			if i == 7 {
				item.Outcome, item.Action, item.Detail, item.Sealed = "unsupported", "left", "locked keyring", false
			}
		}
		items = append(items, item)
	}
	return items
}

// sampleSteps is what the clouds do, at the start or later.
func sampleSteps(now time.Time, later bool) []*cutoffv1.CutStep {
	steps := []*cutoffv1.CutStep{
		{Id: "s1", Connector: "okta", Action: "end-sessions", Target: "ada@example.com", Outcome: "retrying", State: "planned", Undo: "sign-in", Scope: "sessions", ResidualUntil: "unbounded"},
		{Id: "s2", Connector: "okta", Action: "revoke-refresh-tokens", Target: "ada@example.com", Outcome: "retrying", State: "planned", Undo: "sign-in", Scope: "sessions", ResidualUntil: "unbounded"},
		{Id: "s3", Connector: "git", Action: "delete-key", Target: "key 4711 of ada", Outcome: "retrying", State: "planned", Undo: "none", Scope: "device", ResidualUntil: "unbounded"},
		{Id: "s4", Connector: "git", Action: "end-sessions", Target: "ada", Outcome: "retrying", State: "planned", Undo: "sign-in", Scope: "sessions", ResidualUntil: "unbounded"},
		{Id: "s5", Connector: "none", Action: "", Target: "kubectl user prod-admin, 10.0.3.1:6443", Outcome: "unsupported", State: "confirmed", Undo: "none", Scope: "device", ResidualUntil: now.Add(2*time.Hour + 14*time.Minute).Format(time.RFC3339), Detail: "certificate; no connector"},
	}
	if later {
		until := now.Add(52 * time.Minute).Format(time.RFC3339)
		set := func(i int, outcome, proof, residual, detail string) {
			steps[i].Outcome, steps[i].Proof, steps[i].ResidualUntil, steps[i].Detail, steps[i].State = outcome, proof, residual, detail, "confirmed"
		}
		set(0, "verified", "L2", "none", "")
		set(1, "accepted", "L0", until, "access tokens live on")
		set(2, "verified", "L1", "none", "")
		steps[3].Detail, steps[3].Attempts, steps[3].ResidualUntil = "503, asked to wait 30 s", 3, until
	}
	return steps
}

func at(now time.Time, ago time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(now.Add(-ago))
}

// fill gives a backend a small firm on a bad night.
func fill(b *backend) {
	now := b.now
	fact := func(name, value string) *cutoffv1.PostureFact {
		return &cutoffv1.PostureFact{Name: name, Known: true, Value: value}
	}
	unknown := func(name, reason string) *cutoffv1.PostureFact {
		return &cutoffv1.PostureFact{Name: name, Reason: reason}
	}
	posture := []*cutoffv1.PostureFact{
		fact("agent_version", "0.1.0"), fact("os", "linux"), fact("os_version", "Debian GNU/Linux 12"), fact("hostname", "lap-ada"),
		fact("disk_encrypted", "true"), fact("firewall_on", "false"), unknown("serial", "not readable without root"),
		fact("boot_time", "2026-11-20T08:12:44Z"), unknown("screen_lock", "no desktop session"),
	}
	decision := &cutoffv1.Decision{Consequence: "warn", At: at(now, 4*time.Minute), Rules: []*cutoffv1.RuleResult{
		{Rule: "disk-encrypted", Passed: true, Consequence: "seal", Explanation: "disk_encrypted is true"},
		{Rule: "firewall-on", Passed: false, Consequence: "warn", Explanation: "firewall_on is false, must be true"},
	}}
	credentials := []*cutoffv1.Credential{}
	for i, item := range sampleItems("", 42) {
		c := &cutoffv1.Credential{CredentialId: item.GetId(), Product: item.GetProduct(), User: item.GetUser(), Path: item.GetPath(), Identifiers: item.GetIdentifiers()}
		if i%5 < 2 {
			c.Connector = []string{"aws", "git"}[i%5]
		}
		if i == 1 {
			c.ExpiresAt = timestamppb.New(now.Add(26 * time.Hour))
		}
		credentials = append(credentials, c)
	}
	b.devices = []*cutoffv1.Device{
		{
			DeviceId: "dev_7f3k2m9q", Hostname: "lap-ada", Group: "default", State: "warned", Os: "linux", AgentVersion: "0.1.0", Connected: true,
			LastContact: at(now, 8*time.Second), LeaseUntil: at(now, -71*time.Hour), EnrolledAt: at(now, 900*time.Hour), PersonId: "per_ada",
			Posture: posture, PostureAt: at(now, 4*time.Minute), Decision: decision, Credentials: credentials,
		},
		{DeviceId: "dev_2b8xw4tn", Hostname: "build-01", Group: "servers", State: "trusted", Os: "linux", Connected: true, LastContact: at(now, time.Second), LeaseUntil: at(now, -40*time.Hour), Posture: posture[:6], EnrolledAt: at(now, 400*time.Hour)},
		{DeviceId: "dev_9c1zr5vd", Hostname: "lap-grace", Group: "finance", State: "sealed", Level: "seal", Os: "windows", CutId: "cut_open", LastContact: at(now, 3*time.Minute), LeaseUntil: at(now, 2*time.Minute), PersonId: "per_grace", Posture: posture, Decision: decision, EnrolledAt: at(now, 300*time.Hour)},
		{DeviceId: "dev_4h6yp8sj", Hostname: "lap-linus", Group: "default", State: "trusted", Os: "darwin", LastContact: at(now, 66*time.Hour), LeaseUntil: at(now, -6*time.Hour), Posture: posture[:5], EnrolledAt: at(now, 200*time.Hour)},
		{DeviceId: "dev_hostile0", Hostname: hostile, Group: "default", State: "trusted", Os: "linux", LastContact: at(now, 20*time.Minute), LeaseUntil: at(now, -30*time.Hour), Trial: true, EnrolledAt: at(now, 100*time.Hour)},
		{DeviceId: "dev_pending1", Hostname: "lap-grace", Group: "finance", State: "pending", Os: "windows", LastContact: at(now, 30*time.Second), EnrolledAt: at(now, time.Minute)},
		{DeviceId: "dev_1t5gq7wx", Hostname: "kiosk-lobby", Group: "kiosks", State: "retired", Os: "linux", LastContact: at(now, 90*24*time.Hour), EnrolledAt: at(now, 4000*time.Hour)},
	}
	b.people = []*cutoffv1.Person{
		{PersonId: "per_ada", Email: "ada@example.com", Name: "Ada Okafor", DeviceIds: []string{"dev_7f3k2m9q"}, Accounts: []*cutoffv1.Account{{Connector: "okta", Account: "00u1f4k2"}, {Connector: "git", Account: "ada"}}},
		{PersonId: "per_grace", Email: "grace@example.com", Name: "Grace Lindqvist", DeviceIds: []string{"dev_9c1zr5vd", "dev_pending1"}, Accounts: []*cutoffv1.Account{{Connector: "okta", Account: "00u9b7c1"}}},
		{PersonId: "per_linus", Email: "linus@example.com", Name: "Linus Amaro"},
	}
	b.cuts = []*cutoffv1.Cut{
		{
			CutId: "cut_open", CaseId: "case_open", DeviceId: "dev_9c1zr5vd", Hostname: "lap-grace", Level: "seal", State: "open", Cause: "operator", Actor: "admin-ada",
			Reason: "laptop left in a taxi, reported 02:40", Exposure: now.Add(2*time.Hour + 14*time.Minute).Format(time.RFC3339), OpenedAt: at(now, 95*time.Second),
			OrderState: "done", OrderDeliveredAt: at(now, 94*time.Second+700*time.Millisecond), FirstRemovedMs: 21, ReceiptAt: at(now, 94*time.Second),
			Items: sampleItems("verified", 34), Steps: sampleSteps(now, true), PersonId: "per_grace",
		},
		{
			CutId: "cut_held", CaseId: "case_held", DeviceId: "dev_2b8xw4tn", Hostname: "build-01", Level: "purge", State: "held", Cause: "operator", Actor: "operator-olu",
			Reason: "miner found on it", HeldReason: "operator-olu has cut 3 devices within the hour, the limit is 3", Exposure: "unbounded", OpenedAt: at(now, 12*time.Minute),
		},
		{
			CutId: "cut_waiting", CaseId: "case_waiting", DeviceId: "dev_4h6yp8sj", Hostname: "lap-linus", Level: "seal", State: "open", Cause: "policy", Actor: "policy",
			Reason: "rule disk-encrypted does not hold", Exposure: "unbounded", OpenedAt: at(now, 5*time.Hour), OrderState: "drafted", Steps: sampleSteps(now, true),
		},
		{
			CutId: "cut_settled", CaseId: "case_settled", DeviceId: "dev_hostile0", Hostname: hostile, Level: "purge", State: "settled", Cause: "operator", Actor: "admin-ada",
			Reason: "trial of " + hostile, Exposure: "none", OpenedAt: at(now, 30*time.Hour), OrderState: "done", OrderDeliveredAt: at(now, 30*time.Hour-40*time.Millisecond),
			FirstRemovedMs: 17, ReceiptAt: at(now, 30*time.Hour-400*time.Millisecond), SettledAt: at(now, 30*time.Hour-3*time.Second),
			Items: []*cutoffv1.CutItem{{Id: "i", Product: hostile, User: hostile, Path: "/home/x/" + hostile + "\x00\xff\n", Action: "delete", Outcome: "verified", Detail: hostile, ResidualUntil: "none", Identifiers: ident(hostile, hostile)}},
			Steps: []*cutoffv1.CutStep{{Id: "s", Connector: hostile, Action: hostile, Target: hostile, Outcome: "verified", Proof: "L2", Detail: hostile, ResidualUntil: "none"}},
		},
		{CutId: "cut_case_a", CaseId: "case_two", DeviceId: "dev_4h6yp8sj", Hostname: "lap-linus", Level: "seal", State: "lifted", Cause: "operator", Actor: "admin-ada", Reason: "drill", Exposure: "none", OpenedAt: at(now, 90*time.Hour), LiftReason: "drill over"},
		{CutId: "cut_case_b", CaseId: "case_two", DeviceId: "dev_1t5gq7wx", Hostname: "kiosk-lobby", Level: "seal", State: "lapsed", Cause: "operator", Actor: "admin-ada", Reason: "drill", Exposure: "none", OpenedAt: at(now, 90*time.Hour)},
	}
	b.conns = []*cutoffv1.Connector{
		{Name: "okta", Kind: "oidc", Product: "Okta", Health: "ok", LastUsed: at(now, 90*time.Second), AddedAt: at(now, 700*time.Hour)},
		{Name: "git", Kind: "http", Product: "Forgejo", Health: "failing", HealthDetail: "503 from git.example.com, three times", LastUsed: at(now, 30*time.Second), AddedAt: at(now, 650*time.Hour)},
		{Name: "pager", Kind: "http", Product: "webhook", Health: "unknown", AddedAt: at(now, 20*time.Hour)},
	}
	b.tokens = []*cutoffv1.Token{
		{TokenId: "tok_a81f", Group: "default", Uses: 25, Used: 7, State: "live", ExpiresAt: at(now, -5*time.Hour), CreatedBy: "admin-ada"},
		{TokenId: "tok_77c0", Group: "finance", Uses: 1, Used: 1, State: "used-up", ExpiresAt: at(now, 20*time.Hour), CreatedBy: "operator-olu"},
	}
	b.changes = sampleChanges(now)
	b.policy = &cutoffv1.GetPolicyResponse{Version: 4, AppliedBy: "admin-ada", AppliedAt: at(now, 49*time.Hour), Yaml: samplePolicy}
}

const samplePolicy = `# Held against every report.
groups:
  default:
    - rule: disk-encrypted
      when: posture.disk_encrypted == true
      consequence: seal
      grace: 4h
    - rule: firewall-on
      when: posture.firewall_on == true
      consequence: warn
`

func sampleChanges(now time.Time) []*cutoffv1.CatalogueChange {
	files := []*cutoffv1.CatalogueFile{{Name: "acme.yaml", Yaml: "id: org-acme\nproduct: Acme CLI\ncredentials:\n  - id: org-acme-token\n    what: <b>its token</b>\n"}}
	count := &cutoffv1.CatalogueCount{At: at(now, time.Hour), Devices: 7, Asked: 2, Answered: 2, Matching: 1, Items: 3,
		Groups:   []*cutoffv1.CatalogueGroupCount{{Group: "default", Devices: 5, Answered: 1}, {Group: "pilots", Devices: 2, Answered: 1, Matching: 1, Items: 3}},
		Problems: []string{"the device did not answer in time"}}
	return []*cutoffv1.CatalogueChange{
		{ChangeId: "cat_proposed", State: "proposed", Canary: "pilots", Files: files, Products: []string{"org-acme"}, Reason: "The new command line keeps its token in a file.",
			AskedBy: "admin-ben", AskedAt: at(now, 2*time.Hour), Count: count},
		{ChangeId: "cat_canary", State: "canary", Version: 5, Canary: "pilots", Files: files, Products: []string{"org-beta", "org-gamma"}, AskedBy: "admin-ben", AskedAt: at(now, 50*time.Hour),
			ApprovedBy: "admin-ada", ApprovedAt: at(now, 49*time.Hour), Count: count, CanaryDevices: 2, CanaryPlanned: 1, CanaryMatching: 1, CanaryItems: 3},
		{ChangeId: "cat_own", State: "proposed", Canary: "pilots", Files: files, Products: []string{"org-own"}, AskedBy: "admin-ada", AskedAt: at(now, time.Minute)},
	}
}
