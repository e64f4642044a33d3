package flow_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"cutoff/server/fault"
	"cutoff/server/flow"
)

// renew gets the device's next certificate as its newest one.
func (h *harness) renew(l *laptop, peer flow.Peer) [][]byte {
	h.t.Helper()
	h.advance(time.Minute)
	chain, _, err := h.Renew(h.t.Context(), peer, l.csr(h.t))
	if err != nil {
		h.t.Fatal(err)
	}
	return chain
}

func TestCertificatesRotate(t *testing.T) {
	// Each script issues certificates by "renew" (0 is the first one) and shows
	// them in turn; clone says whether the last one shown is taken for a copy.
	for name, c := range map[string]struct {
		script []string
		clone  bool
	}{
		"the first is current":                             {[]string{"show 0"}, false},
		"the current one stays good while a next is out":   {[]string{"renew", "show 0"}, false},
		"the next becomes current at its first use":        {[]string{"renew", "show 1", "show 1"}, false},
		"the one before is a clone once the next was used": {[]string{"renew", "show 1", "show 0"}, true},
		"a next whose answer was lost is replaced":         {[]string{"renew", "renew", "show 2"}, false},
		"a replaced next is a clone":                       {[]string{"renew", "renew", "show 1"}, true},
		"a replaced next is a clone after the other too":   {[]string{"renew", "renew", "show 2", "show 1"}, true},
		"one from two renewals ago is a clone":             {[]string{"renew", "show 1", "renew", "show 2", "show 0"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			l := h.enrol("rotating")
			chains := [][][]byte{l.Chain}
			peer := l.peer(t)
			for _, step := range c.script {
				if step == "renew" {
					chains = append(chains, h.renew(l, peer))
					continue
				}
				shown, err := h.authenticate(l, chains[step[5]-'0'])
				if err != nil {
					t.Fatal(err)
				}
				peer = shown
			}
			v := h.view(l.DeviceID)
			if got := slices.Contains(v.Facts, "clone"); got != c.clone {
				t.Fatalf("facts %v, want clone %v", v.Facts, c.clone)
			}
			_, refused := h.lease(peer)
			if c.clone != (refused == "clone") {
				t.Fatalf("lease refused %q, want clone %v", refused, c.clone)
			}
			_, _, err := h.Renew(t.Context(), peer, l.csr(t))
			if c.clone {
				mustFail(t, err, fault.Denied, "newer one")
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAClonedDeviceGetsNoLeaseUntilAPersonDecides(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("copied")
	next := h.renew(l, l.peer(t))
	peer, err := h.authenticate(l, next)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := h.authenticate(l, l.Chain); err != nil {
			t.Fatal(err)
		}
	}
	if _, refused := h.lease(peer); refused != "clone" {
		t.Fatalf("refused %q, want clone", refused)
	}
	if n := count(h.recorded(l.DeviceID), "device.fact"); n != 1 {
		t.Fatalf("%d facts in evidence, want 1", n)
	}
	if _, err := h.DecideDevice(t.Context(), admin, "copied", true); err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(peer); refused != "" {
		t.Fatalf("refused %q after a person decided", refused)
	}
}

func TestARestoredServerAdoptsACertificateNewerThanItsRows(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("newer")
	h.advance(time.Hour)
	issued, err := h.authority.Issue(flow.IssueRequest{CSR: l.csr(t), DeviceID: l.DeviceID, After: serialOf(t, l.Chain), Now: h.Now()})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := h.authenticate(l, issued.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(peer); refused != "" {
		t.Fatalf("refused %q", refused)
	}
	if !slices.Contains(h.recorded(l.DeviceID), "certificate.adopted") {
		t.Fatal("no evidence of the adoption")
	}
}

func TestSerialsGrowEvenIfTheClockIsSetBack(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("clock")
	h.advance(-48 * time.Hour)
	next := h.renew(l, l.peer(t))
	if first, second := serialOf(t, l.Chain), serialOf(t, next); second <= first {
		t.Fatalf("serial %s after %s", second, first)
	}
}

func TestAuthenticateRefusesStrangers(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("known")
	other := newLaptop(t, "other")
	serial := serialOf(t, l.Chain)
	_, err := h.Authenticate(t.Context(), "dev_nobody", serial, l.public(), false)
	mustFail(t, err, fault.Unauthenticated, "no device")
	_, err = h.Authenticate(t.Context(), l.DeviceID, serial, other.public(), false)
	mustFail(t, err, fault.Unauthenticated, "no device")
	_, err = h.Authenticate(t.Context(), l.DeviceID, serial, nil, false)
	mustFail(t, err, fault.Unauthenticated, "no device")
	if _, err := h.RetireDevice(t.Context(), admin, "known"); err != nil {
		t.Fatal(err)
	}
	_, err = h.authenticate(l, l.Chain)
	mustFail(t, err, fault.Denied, "retired")
	_, _, err = h.Renew(t.Context(), l.peer(t), l.csr(t))
	mustFail(t, err, fault.Denied, "retired")
}

func TestRenewKeepsTheKey(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("keeper")
	_, _, err := h.Renew(t.Context(), l.peer(t), newLaptop(t, "thief").csr(t))
	mustFail(t, err, fault.Denied, "another key")
	_, _, err = h.Renew(t.Context(), l.peer(t), []byte("garbage"))
	mustFail(t, err, fault.Invalid, "cannot be read")
}

func TestAnExpiredCertificateStillRenewsAndGetsNoLease(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("sleeper")
	h.advance(30 * 24 * time.Hour)
	peer, err := h.Authenticate(t.Context(), l.DeviceID, serialOf(t, l.Chain), l.public(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(peer); refused != "certificate-expired" {
		t.Fatalf("refused %q", refused)
	}
	chain := h.renew(l, peer)
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if !leaf.NotAfter.After(h.Now()) {
		t.Fatal("the new certificate is expired too")
	}
	if peer, err = h.authenticate(l, chain); err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(peer); refused != "" {
		t.Fatalf("refused %q", refused)
	}
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
