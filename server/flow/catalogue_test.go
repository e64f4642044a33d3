package flow_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"cutoff/proto/addition"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/catalogue"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

const acmeYAML = `id: org-acme
product: Acme
credentials:
  - {id: org-acme-token, what: Its token, danger: 1, paths: {linux: [~/.acme/token]}, format: text, contains: acme_pat_, action: delete, regain: sign-in}
`

func acmeProposal() flow.Proposal {
	return flow.Proposal{Files: []addition.File{{Name: "acme.yaml", YAML: acmeYAML}}, Canary: "pilots", Reason: "the new CLI"}
}

var second = flow.Actor{Name: "bob", Person: "bob", Role: "admin"}

// pilots are a canary group of one laptop, and another laptop elsewhere.
func pilots(t *testing.T) (h *harness, canary, other *laptop) {
	t.Helper()
	h = newHarness(t)
	if _, err := h.SetGroup(t.Context(), admin, "pilots", flow.GroupChange{}); err != nil {
		t.Fatal(err)
	}
	canary, other = h.enrol("canary"), h.enrol("other")
	if _, err := h.AssignDevice(t.Context(), admin, canary.DeviceID, "", "pilots"); err != nil {
		t.Fatal(err)
	}
	return h, canary, other
}

// due opens what the device is sent; nil if nothing is.
func (h *harness) catalogueDue(l *laptop, held flow.HeldCatalogue) *cutoffv1.Catalogue {
	h.t.Helper()
	raw, err := h.DueCatalogue(h.t.Context(), l.peer(h.t), held)
	if err != nil {
		h.t.Fatal(err)
	}
	if raw == nil {
		return nil
	}
	keys, err := signed.NewKeys(h.config.Signers.Order.Public().(ed25519.PublicKey))
	if err != nil {
		h.t.Fatal(err)
	}
	m := &cutoffv1.Catalogue{}
	if _, err := signed.Open(raw, signed.TypeCatalogue, keys, m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *harness) propose(p flow.Proposal) flow.CatalogueView {
	h.t.Helper()
	v, problems, err := h.ProposeCatalogue(h.t.Context(), admin, p)
	if err != nil || len(problems) > 0 {
		h.t.Fatal(problems, err)
	}
	return v
}

func TestAChangeGoesToTheCanaryThenToAllAndBack(t *testing.T) {
	h, canary, other := pilots(t)
	v := h.propose(acmeProposal())
	none := flow.HeldCatalogue{}
	if v.State != catalogue.Proposed || v.Count.Devices != 2 || v.Count.Asked != 0 || h.catalogueDue(canary, none) != nil {
		t.Fatalf("a proposal reached somebody: %+v", v)
	}
	v, err := h.ApproveCatalogue(t.Context(), second, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	m := h.catalogueDue(canary, none)
	if m.GetDeviceId() != canary.DeviceID || m.GetNumber() != 1 || m.GetGroup() != "pilots" || len(m.GetFiles()) != 1 || int64(m.GetVersion()) != v.Version {
		t.Fatalf("the canary was sent %v", m)
	}
	if h.catalogueDue(other, none) != nil {
		t.Error("another group was sent it")
	}
	if _, err := h.PromoteCatalogue(t.Context(), second, v.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("promoted before a canary reported: %v", err)
	}
	held := flow.HeldCatalogue{Number: m.GetNumber(), Content: m.GetContent()}
	if err := h.OnCatalogue(t.Context(), canary.peer(t), held); err != nil {
		t.Fatal(err)
	}
	err = h.OnInventory(t.Context(), canary.peer(t), &cutoffv1.Inventory{CatalogueVersion: "0123456789ab+1",
		Items: []*cutoffv1.Item{{Id: "itm_1", Product: "org-acme", User: "alice", Path: "/home/alice/.acme/token"}}})
	if err != nil {
		t.Fatal(err)
	}
	if v, err = h.PromoteCatalogue(t.Context(), second, v.ID); err != nil || v.State != catalogue.Active || v.Items != 1 || v.Matching != 1 {
		t.Fatalf("promoted: %+v, %v", v, err)
	}
	if m := h.catalogueDue(other, none); len(m.GetFiles()) != 1 {
		t.Errorf("after promotion the other was sent %v", m)
	}
	if _, err := h.WithdrawCatalogue(t.Context(), admin, v.ID); err != nil {
		t.Fatal(err)
	}
	if m := h.catalogueDue(canary, held); m.GetNumber() <= held.Number || len(m.GetFiles()) != 0 {
		t.Errorf("after withdrawal the canary was sent %v", m)
	}
}

func TestWhoAskedForAChangeNeverLetsItOut(t *testing.T) {
	h, _, _ := pilots(t)
	v := h.propose(acmeProposal())
	for name, actor := range map[string]flow.Actor{
		"the asker": admin, "the asker under another name": {Name: "api:ci", Person: admin.Person, Role: "admin"},
		"a machine": {Name: "policy", Machine: true}, "nobody": {},
	} {
		if actor.Person == "" && name == "the asker under another name" {
			actor.Name = admin.Name
		}
		if _, err := h.ApproveCatalogue(t.Context(), actor, v.ID); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.ApproveCatalogue(t.Context(), second, v.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.PromoteCatalogue(t.Context(), admin, v.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("the asker promotes: %v", err)
	}
	if _, err := h.ApproveCatalogue(t.Context(), second, v.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("approved twice: %v", err)
	}
}

func TestMistakesOfAProposalAreAnsweredAndNothingIsKept(t *testing.T) {
	h, _, _ := pilots(t)
	p := acmeProposal()
	p.Files[0].YAML = strings.Replace(acmeYAML, "~/.acme/token", "/etc/shadow", 1)
	_, problems, err := h.ProposeCatalogue(t.Context(), admin, p)
	if err != nil || len(problems) != 1 || problems[0].Line != 4 || problems[0].Column == 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	p = acmeProposal()
	p.Canary = "nowhere"
	if _, _, err := h.ProposeCatalogue(t.Context(), admin, p); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown canary group: %v", err)
	}
	if all, err := h.CatalogueChanges(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("kept %v, %v", all, err)
	}
}

func TestADeviceIsSentWhatItsGroupChoseAboveWhatItRemembers(t *testing.T) {
	h, canary, _ := pilots(t)
	yes, domains := true, []string{"example.com"}
	change := flow.GroupChange{Choices: flow.ChoicesChange{Everything: &yes, Accounts: &domains}}
	if _, err := h.SetGroup(t.Context(), admin, "pilots", change); !fault.Is(err, fault.Conflict) {
		t.Fatalf("wider without a word: %v", err)
	}
	change.Choices.Wider = true
	v, err := h.SetGroup(t.Context(), admin, "pilots", change)
	if err != nil || !v.Choices.Everything || v.Catalogue != 1 {
		t.Fatalf("got %+v, %v", v, err)
	}
	m := h.catalogueDue(canary, flow.HeldCatalogue{Number: 41, Content: "of a server before its restore"})
	if m.GetNumber() != 42 || !m.GetChoices().GetEverything() || m.GetChoices().GetAccounts()[0] != "example.com" {
		t.Fatalf("sent %v", m)
	}
	held := flow.HeldCatalogue{Number: m.GetNumber(), Content: m.GetContent()}
	if h.catalogueDue(canary, held) != nil {
		t.Error("sent again to who keeps it")
	}
	// The same device in another group goes by that one, and by nothing of this.
	if _, err := h.AssignDevice(t.Context(), admin, canary.DeviceID, "", "default"); err != nil {
		t.Fatal(err)
	}
	if m := h.catalogueDue(canary, held); m.GetNumber() != 43 || m.GetChoices().GetEverything() || m.GetGroup() != "default" {
		t.Errorf("in another group it was sent %v", m)
	}
	// A number far away is somebody else's: it is not gone on from.
	if m := h.catalogueDue(canary, flow.HeldCatalogue{Number: 1 << 50, Content: "x"}); m.GetNumber() > 1<<20 {
		t.Errorf("the number %d was adopted", m.GetNumber())
	}
}
