package scope_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"cutoff/agent/config"
	"cutoff/agent/scope"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

const acme = `id: org-acme
product: Acme
credentials:
  - id: org-acme-token
    what: Its token
    danger: 30
    paths: {linux: [~/.acme/token], darwin: [~/.acme/token], windows: ['%USERPROFILE%\.acme\token']}
    format: text
    contains: acme_pat_
    action: delete
    regain: sign-in
`

type device struct {
	t      *testing.T
	state  config.Dir
	orders ed25519.PrivateKey
}

func newDevice(t *testing.T) *device {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	state := config.Dir(filepath.Join(t.TempDir(), "state"))
	if err := state.Make(); err != nil {
		t.Fatal(err)
	}
	return &device{t: t, state: state, orders: key}
}

// start is the agent's start: what was kept is read.
func (d *device) start() *scope.Keeper {
	return scope.Open(scope.Config{State: d.state, DeviceID: "dev_1", TrustDomain: "example.com", Log: slog.New(slog.DiscardHandler),
		Keys: func() signed.Keys {
			keys, err := signed.NewKeys(d.orders.Public().(ed25519.PublicKey))
			if err != nil {
				d.t.Fatal(err)
			}
			return keys
		}})
}

func (d *device) seal(payloadType string, key ed25519.PrivateKey, change func(*cutoffv1.Catalogue)) []byte {
	d.t.Helper()
	m := &cutoffv1.Catalogue{
		TrustDomain: "example.com", DeviceId: "dev_1", Group: "laptops", Number: 3, Version: 7, Content: "c-7",
		Choices: &cutoffv1.Choices{Everything: true, Accounts: []string{"example.com"}, Policies: []string{"gnupg"}, WorkTrees: []string{"~/src"}},
		Files:   []*cutoffv1.CatalogueFile{{Name: "acme.yaml", Yaml: acme}},
	}
	if change != nil {
		change(m)
	}
	raw, err := signed.Seal(payloadType, m, key)
	if err != nil {
		d.t.Fatal(err)
	}
	return raw
}

func (d *device) catalogue(change func(*cutoffv1.Catalogue)) []byte {
	return d.seal(signed.TypeCatalogue, d.orders, change)
}

func numbered(n uint64, content string) func(*cutoffv1.Catalogue) {
	return func(m *cutoffv1.Catalogue) { m.Number, m.Version, m.Content = n, n, content }
}

func TestACatalogueIsKeptAndSurvivesARestart(t *testing.T) {
	d := newDevice(t)
	k := d.start()
	if s := k.Scope(); s.Version != "" || s.Everything || len(s.Added) != 0 {
		t.Fatalf("before the first the scope is %+v", s)
	}
	if changed, err := k.Take(d.catalogue(nil)); err != nil || !changed {
		t.Fatalf("got %v, %v", changed, err)
	}
	for name, keeper := range map[string]*scope.Keeper{"at once": k, "after a restart": d.start()} {
		s := keeper.Scope()
		number, content := keeper.Held()
		if s.Version != "7" || !s.Everything || len(s.Added) != 1 || !s.Added[0].Added || s.Added[0].Contains != "acme_pat_" {
			t.Errorf("%s: scope %+v", name, s)
		}
		if number != 3 || content != "c-7" {
			t.Errorf("%s: held %d %q", name, number, content)
		}
	}
	if changed, err := k.Take(d.catalogue(nil)); err != nil || changed {
		t.Errorf("the same again: %v, %v", changed, err)
	}
}

func TestWhatIsNotANewerCatalogueOfThisDeviceIsRefused(t *testing.T) {
	d := newDevice(t)
	_, stranger, _ := ed25519.GenerateKey(nil)
	k := d.start()
	if _, err := k.Take(d.catalogue(nil)); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		raw    []byte
		reason string
		number uint64
	}{
		{"signed by a stranger", d.seal(signed.TypeCatalogue, stranger, numbered(9, "x")), "forged", 0},
		{"a proposal", d.seal(signed.TypeProposal, d.orders, numbered(9, "x")), "malformed", 0},
		{"an order's type", d.seal(signed.TypeOrder, d.orders, numbered(9, "x")), "malformed", 0},
		{"garbage", []byte("garbage"), "malformed", 0},
		{"another device's", d.catalogue(func(m *cutoffv1.Catalogue) { m.Number, m.DeviceId = 9, "dev_2" }), "foreign", 9},
		{"another trust domain's", d.catalogue(func(m *cutoffv1.Catalogue) { m.Number, m.TrustDomain = 9, "evil.example" }), "foreign", 9},
		{"an older one", d.catalogue(numbered(2, "c-2")), "stale", 2},
		{"another one of the same number", d.catalogue(numbered(3, "c-x")), "stale", 3},
		{"a number that uses all up", d.catalogue(numbered(1<<40, "c-x")), "malformed", 1 << 40},
		{"without a number", d.catalogue(numbered(0, "x")), "malformed", 0},
		{"an entry that takes a file of the system", d.catalogue(func(m *cutoffv1.Catalogue) {
			m.Number, m.Files[0].Yaml = 9, "id: org-x\nproduct: X\ncredentials:\n  - {id: org-x-y, what: y, danger: 1, paths: {linux: [/etc/shadow]}, format: text, contains: root, action: delete, regain: none}\n"
		}), "malformed", 9},
		{"an entry without a test", d.catalogue(func(m *cutoffv1.Catalogue) {
			m.Number, m.Files[0].Yaml = 9, "id: org-x\nproduct: X\ncredentials:\n  - {id: org-x-y, what: y, danger: 1, paths: {linux: [~/notes]}, format: text, action: delete, regain: none}\n"
		}), "malformed", 9},
		{"a policy nobody knows", d.catalogue(func(m *cutoffv1.Catalogue) { m.Number, m.Choices.Policies = 9, []string{"all"} }), "malformed", 9},
		{"an account that matches everybody", d.catalogue(func(m *cutoffv1.Catalogue) { m.Number, m.Choices.Accounts = 9, []string{"com"} }), "malformed", 9},
		{"a work tree that is the root", d.catalogue(func(m *cutoffv1.Catalogue) { m.Number, m.Choices.WorkTrees = 9, []string{"/"} }), "malformed", 9},
	}
	before := k.Scope()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			changed, err := k.Take(c.raw)
			var refused *scope.Refused
			if changed || !errors.As(err, &refused) {
				t.Fatalf("got %v, %v", changed, err)
			}
			if refused.Reason != c.reason || refused.Number != c.number {
				t.Errorf("refused as %s number %d, want %s %d", refused.Reason, refused.Number, c.reason, c.number)
			}
			if after := k.Scope(); after.Version != before.Version || len(after.Added) != len(before.Added) {
				t.Errorf("it changed the scope to %+v", after)
			}
		})
	}
}

func TestAProposalIsPlannedWithAndNeverKept(t *testing.T) {
	d := newDevice(t)
	k := d.start()
	s, err := k.Proposal(d.seal(signed.TypeProposal, d.orders, nil))
	if err != nil || len(s.Added) != 1 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if number, _ := k.Held(); number != 0 || len(k.Scope().Added) != 0 {
		t.Error("the proposal was kept")
	}
	if _, err := k.Proposal(d.catalogue(nil)); err == nil {
		t.Error("a catalogue passed as a proposal")
	}
}

// A crash between the two copies leaves one of each version; a copy that a user
// or a disk spoilt costs nothing.
func TestTheNewerReadableCopyCounts(t *testing.T) {
	d := newDevice(t)
	if _, err := d.start().Take(d.catalogue(nil)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(d.state), "catalogue.a"), d.catalogue(numbered(4, "c-8")), 0o600); err != nil {
		t.Fatal(err)
	}
	if number, content := d.start().Held(); number != 4 || content != "c-8" {
		t.Errorf("between the copies: %d %q", number, content)
	}
	if err := os.WriteFile(filepath.Join(string(d.state), "catalogue.a"), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if number, content := d.start().Held(); number != 3 || content != "c-7" {
		t.Errorf("with a spoilt copy: %d %q", number, content)
	}
}

func TestACatalogueOfARetiredKeyIsNotBelieved(t *testing.T) {
	d := newDevice(t)
	if _, err := d.start().Take(d.catalogue(nil)); err != nil {
		t.Fatal(err)
	}
	_, d.orders, _ = ed25519.GenerateKey(nil)
	k := d.start()
	if number, _ := k.Held(); number != 0 || k.Scope().Everything {
		t.Error("what the retired key signed is still in force")
	}
	if _, err := k.Take(d.catalogue(nil)); err != nil {
		t.Errorf("the new key's is refused: %v", err)
	}
}

func TestEveryChangedByteIsRefused(t *testing.T) {
	d := newDevice(t)
	k := d.start()
	raw := d.catalogue(nil)
	for i := range raw {
		flipped := bytes.Clone(raw)
		flipped[i] ^= 1
		if changed, err := k.Take(flipped); err == nil || changed {
			t.Fatalf("byte %d flipped was taken", i)
		}
	}
}
