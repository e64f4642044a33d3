package flow_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// catalogue pushes one to the agent, signed by key.
func (s *server) catalogue(key ed25519.PrivateKey, payloadType string, change func(*cutoffv1.Catalogue)) {
	s.t.Helper()
	m := &cutoffv1.Catalogue{TrustDomain: domain, DeviceId: s.deviceID, Group: "laptops", Number: 5, Version: 2, Content: "c-2",
		Choices: &cutoffv1.Choices{Everything: true}}
	change(m)
	raw, err := signed.Seal(payloadType, m, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.push(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Catalogue{Catalogue: raw}})
}

func asItIs(*cutoffv1.Catalogue) {}

func TestACatalogueIsTakenAnsweredAndToldAtTheNextHello(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.catalogue(s.order, signed.TypeCatalogue, asItIs)
	s.until("the answer", func(s *seen) bool {
		return len(s.held) == 1 && s.held[0].GetNumber() == 5 && s.held[0].GetContent() == "c-2"
	})
	s.until("an inventory with it", func(s *seen) bool { return len(s.inventory) == 1 })
}

func TestForgedForeignOlderAndMalformedCataloguesAreRefusedAndReported(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.catalogue(s.order, signed.TypeCatalogue, asItIs)
	s.until("the true one", func(s *seen) bool { return len(s.held) == 1 })
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	nine := func(m *cutoffv1.Catalogue) { m.Number, m.Content = 9, "c-9" }
	pushes := []struct {
		reason string
		push   func()
	}{
		{"forged", func() { s.catalogue(stranger, signed.TypeCatalogue, nine) }},
		{"foreign", func() {
			s.catalogue(s.order, signed.TypeCatalogue, func(m *cutoffv1.Catalogue) { nine(m); m.DeviceId = "dev_other" })
		}},
		{"stale", func() {
			s.catalogue(s.order, signed.TypeCatalogue, func(m *cutoffv1.Catalogue) { m.Number, m.Content = 4, "c-1" })
		}},
		{"malformed", func() { s.catalogue(s.order, signed.TypeProposal, nine) }},
	}
	for i, p := range pushes {
		p.push()
		s.until("refused as "+p.reason, func(s *seen) bool {
			of := s.refusalsOf("catalogue")
			return len(of) == i+1 && of[i].GetReason() == p.reason
		})
	}
	s.set(func() {
		if len(s.seen.held) != 1 {
			t.Errorf("%d catalogues were taken", len(s.seen.held))
		}
	})
}

func TestACutThatStandsLooksAgainWithANewCatalogue(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	s.command(purging, "cut_1")
	s.until("the receipt", receipts(1))
	m.eventually("gone", func() bool { return !m.has("credentials") })
	m.write("credentials")
	s.catalogue(s.order, signed.TypeCatalogue, asItIs)
	m.eventually("the sweep", func() bool { return !m.has("credentials") })
}
