package flow_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

func TestEnrollGivesAnIdentityThatTheRosterVouchesFor(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("ada-laptop")
	roster := h.roster()
	authority, err := x509.ParseCertificate(roster.GetCaCertificates()[0])
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(l.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: h.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		t.Fatal(err)
	}
	want := "spiffe://" + roster.GetTrustDomain() + "/device/" + l.DeviceID
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != want {
		t.Fatalf("certificate names %v, want %s", leaf.URIs, want)
	}
	if life := leaf.NotAfter.Sub(h.Now()); life != 24*time.Hour {
		t.Fatalf("certificate lives %s, want 24h", life)
	}
	keys, err := signed.NewKeys(roster.GetLeaseKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	grant := &cutoffv1.StandingGrant{}
	if _, err := signed.Open(l.Grant, signed.TypeGrant, keys, grant); err != nil {
		t.Fatal(err)
	}
	v := h.view(l.DeviceID)
	if grant.GetDeviceId() != l.DeviceID || grant.GetCutId() != v.ReservedCut || grant.GetEscrowRecipient() != v.Recipient {
		t.Fatalf("grant %v is not for the reservation of %+v", grant, v.Device)
	}
	if v.State != device.Trusted || l.Pending || !v.LastContact.IsZero() || !v.LeaseUntil.IsZero() {
		t.Fatalf("a new device is %+v", v.Device)
	}
	if got := h.recorded(l.DeviceID); !slices.Equal(got, []string{"device.enrolled"}) {
		t.Fatalf("evidence %v", got)
	}
}

func TestEnrollMarksATrialInTheCertificate(t *testing.T) {
	h := newHarness(t)
	l := newLaptop(t, "scratch")
	in := l.request(t, h.token("", 1, time.Hour), "scratch")
	in.TrialRoot = "/tmp/scratch"
	result, err := h.Enroll(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(result.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	v := h.view(result.DeviceID)
	if !slices.Equal(leaf.Subject.OrganizationalUnit, []string{"trial"}) || !v.Trial() {
		t.Fatalf("subject %v", leaf.Subject)
	}
}

func TestEnrollAnswersUnknownAndTamperedTokensAlike(t *testing.T) {
	h := newHarness(t)
	secret := h.token("", 1, time.Hour)
	tampered := bytes.Clone(secret)
	tampered[31] ^= 1
	spent := h.token("", 1, time.Hour)
	if _, err := h.Enroll(t.Context(), newLaptop(t, "a").request(t, spent, "a")); err != nil {
		t.Fatal(err)
	}
	spentTampered := bytes.Clone(spent)
	spentTampered[0] ^= 1
	var first error
	for name, bad := range map[string][]byte{
		"unknown": bytes.Repeat([]byte{7}, 32), "one bit off": tampered, "empty": nil, "short": secret[:31],
		"long": append(bytes.Clone(secret), 0), "one bit off a used-up one": spentTampered,
	} {
		in := newLaptop(t, "b").request(t, bad, "b")
		in.CSR = []byte("not looked at for who holds no token")
		_, err := h.Enroll(t.Context(), in)
		mustFail(t, err, fault.Unauthenticated, "not valid")
		if first == nil {
			first = err
		}
		if err.Error() != first.Error() || !errors.Is(err, first) {
			t.Fatalf("%s: %v differs from %v", name, err, first)
		}
	}
}

func TestEnrollTellsWhoHoldsTheSecretWhyNot(t *testing.T) {
	h := newHarness(t)
	expired := h.token("", 1, time.Minute)
	h.advance(time.Minute)
	used := h.token("", 1, time.Hour)
	if _, err := h.Enroll(t.Context(), newLaptop(t, "a").request(t, used, "a")); err != nil {
		t.Fatal(err)
	}
	text, revokedToken, err := h.CreateToken(t.Context(), admin, "", 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RevokeToken(t.Context(), admin, revokedToken.ID); err != nil {
		t.Fatal(err)
	}
	for word, secret := range map[string][]byte{"expired": expired, "used up": used, "revoked": secretOf(t, text)} {
		_, err := h.Enroll(t.Context(), newLaptop(t, "b").request(t, secret, "b"))
		mustFail(t, err, fault.Denied, word)
	}
	states := map[string]int{}
	all, err := h.ListTokens(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range all {
		states[token.StateAt(h.Now())]++
	}
	if states["expired"] != 1 || states["used-up"] != 1 || states["revoked"] != 1 {
		t.Fatalf("states %v", states)
	}
	mustFail(t, h.RevokeToken(t.Context(), admin, revokedToken.ID), fault.NotFound, "no token")
}

func TestEnrollLetsOneWinTheLastUse(t *testing.T) {
	h := newHarness(t)
	secret := h.token("", 3, time.Hour)
	var group sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		in := newLaptop(t, "racer").request(t, secret, "racer")
		in.Anchor = nil
		group.Go(func() { _, errs[i] = h.Enroll(t.Context(), in) })
	}
	group.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Limited) {
			t.Fatal(err)
		}
	}
	all, err := h.Devices(t.Context(), admin, "")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := h.ListTokens(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	if won != 3 || len(all) != 3 || tokens[0].Used != 3 {
		t.Fatalf("%d won, %d devices, %d uses; want 3 of each", won, len(all), tokens[0].Used)
	}
}

func TestEnrollAgainAfterALostAnswerIsTheSameDevice(t *testing.T) {
	h := newHarness(t)
	secret := h.token("", 1, time.Minute)
	l := newLaptop(t, "flaky")
	first, err := h.Enroll(t.Context(), l.request(t, secret, "flaky"))
	if err != nil {
		t.Fatal(err)
	}
	h.advance(2 * time.Minute) // the token is over and used up meanwhile
	second, err := h.Enroll(t.Context(), l.request(t, secret, "flaky"))
	if err != nil {
		t.Fatal(err)
	}
	third, err := h.Enroll(t.Context(), l.request(t, secret, "flaky"))
	if err != nil {
		t.Fatal(err)
	}
	if second.DeviceID != first.DeviceID || third.DeviceID != first.DeviceID || !bytes.Equal(second.Grant, first.Grant) {
		t.Fatal("another device, or another grant")
	}
	tokens, err := h.ListTokens(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	if tokens[0].Used != 1 {
		t.Fatalf("%d uses counted, want 1", tokens[0].Used)
	}
	l.EnrollResult = third
	peer, err := h.authenticate(l, third.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if _, refused := h.lease(peer); refused != "" {
		t.Fatalf("no lease: %s", refused)
	}
}

func TestEnrollRefusesAKeyThatIsInUse(t *testing.T) {
	for name, c := range map[string]struct {
		another bool
		contact bool
		later   time.Duration
	}{
		"with another token":         {another: true},
		"after the device was heard": {contact: true},
		"long after":                 {later: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			secret := h.token("", 5, 24*time.Hour)
			l := newLaptop(t, "twice")
			result, err := h.Enroll(t.Context(), l.request(t, secret, "twice"))
			if err != nil {
				t.Fatal(err)
			}
			l.EnrollResult = result
			if c.contact {
				if _, err := h.OnHello(t.Context(), l.peer(t), l.hello(t, 0, 0), binding); err != nil {
					t.Fatal(err)
				}
			}
			if c.another {
				secret = h.token("", 5, 24*time.Hour)
			}
			h.advance(c.later)
			_, err = h.Enroll(t.Context(), l.request(t, secret, "twice"))
			mustFail(t, err, fault.Conflict, "already enrolled")
		})
	}
}

func TestEnrollRefusesRequestsThatProveNoEd25519Key(t *testing.T) {
	h := newHarness(t)
	secret := h.token("", 10, time.Hour)
	l := newLaptop(t, "bad")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, other)
	if err != nil {
		t.Fatal(err)
	}
	forged := l.csr(t)
	forged[len(forged)-1] ^= 1
	for name, csr := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "another kind of key": curve, "a broken signature": forged,
		"oversized": make([]byte, 1<<20),
	} {
		in := l.request(t, secret, "bad")
		in.CSR = csr
		if _, err := h.Enroll(t.Context(), in); !fault.Is(err, fault.Invalid) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestEnrollRefusesWhatNoMachineIsCalled(t *testing.T) {
	h := newHarness(t)
	secret := h.token("", 10, time.Hour)
	for name, spoil := range map[string]func(*flow.EnrollInput){
		"no hostname":                 func(in *flow.EnrollInput) { in.Hostname = "" },
		"a hostname like a device id": func(in *flow.EnrollInput) { in.Hostname = "dev_abc" },
		"an escape sequence":          func(in *flow.EnrollInput) { in.Hostname = "a\x1b[31m" },
		"an endless hostname":         func(in *flow.EnrollInput) { in.Hostname = string(bytes.Repeat([]byte("a"), 254)) },
		"an endless anchor":           func(in *flow.EnrollInput) { in.Anchor = make([]byte, 65) },
	} {
		in := newLaptop(t, "x").request(t, secret, "x")
		spoil(&in)
		if _, err := h.Enroll(t.Context(), in); !fault.Is(err, fault.Invalid) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestEnrollLimitsBadAttemptsButNeverDelaysAGoodOne(t *testing.T) {
	h := newHarness(t)
	bad := newLaptop(t, "guesser").request(t, sha256.New().Sum(nil), "guesser")
	limited := 0
	for range 20 {
		if _, err := h.Enroll(t.Context(), bad); fault.Is(err, fault.Limited) {
			limited++
		}
	}
	if limited != 10 {
		t.Fatalf("%d of 20 bad attempts limited, want 10", limited)
	}
	good := newLaptop(t, "good").request(t, h.token("", 1, time.Hour), "good")
	good.Source = bad.Source
	if _, err := h.Enroll(t.Context(), good); err != nil {
		t.Fatalf("a good attempt from the same source: %v", err)
	}
	elsewhere := bad
	elsewhere.Source = "198.51.100.1"
	_, err := h.Enroll(t.Context(), elsewhere)
	mustFail(t, err, fault.Unauthenticated, "not valid")
	h.advance(time.Second)
	_, err = h.Enroll(t.Context(), bad)
	mustFail(t, err, fault.Unauthenticated, "not valid")
}

func TestCreateTokenRefusesWhatMakesNoSense(t *testing.T) {
	h := newHarness(t)
	for name, c := range map[string]struct {
		group string
		uses  int
		ttl   time.Duration
		kind  fault.Kind
	}{
		"no uses":       {"", 0, time.Hour, fault.Invalid},
		"no time":       {"", 1, 0, fault.Invalid},
		"for ever":      {"", 1, 1 << 62, fault.Invalid},
		"unknown group": {"nowhere", 1, time.Hour, fault.NotFound},
	} {
		if _, _, err := h.CreateToken(t.Context(), admin, c.group, c.uses, c.ttl); !fault.Is(err, c.kind) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestTokensAreNotStored(t *testing.T) {
	h := newHarness(t)
	secret := h.token("", 1, time.Hour)
	err := h.store.View(t.Context(), func(tx flow.Tx) error {
		_, _, err := tx.TokenByHash(t.Context(), secret)
		return err
	})
	mustFail(t, err, fault.NotFound, "no such token")
}

func TestAMachineThatWasPurgedAndLetGoIsReplacedByItsNewEnrolment(t *testing.T) {
	h := newHarness(t)
	old := h.enrol("renewed")
	err := h.store.Update(t.Context(), func(tx flow.Tx) error {
		return tx.MoveDevice(t.Context(), old.DeviceID, device.Trusted, device.Purged)
	})
	if err != nil {
		t.Fatal(err)
	}
	again := &laptop{key: newKey(t), anchor: old.anchor}
	h.enrolAs(again, "renewed")
	if again.Pending {
		t.Fatal("pending, though no cut stands")
	}
	if v := h.view("renewed"); v.ID != again.DeviceID {
		t.Fatalf("the name is still the old device's: %s", v.ID)
	}
	if v := h.view(old.DeviceID); v.State != device.Retired {
		t.Fatalf("the old enrolment is %s", v.State)
	}
}

func TestAnotherEnrolmentOfATrustedMachineTakesNothingFromIt(t *testing.T) {
	h := newHarness(t)
	old := h.enrol("victim")
	thief := &laptop{key: newKey(t), anchor: old.anchor}
	h.enrolAs(thief, "victim")
	if v := h.view(old.DeviceID); v.State != device.Trusted {
		t.Fatalf("whoever knows a machine id moved its device to %s", v.State)
	}
	if _, refused := h.lease(old.peer(t)); refused != "" {
		t.Fatalf("refused %q", refused)
	}
}
