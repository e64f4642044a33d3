package stepca_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"cutoff/server/connector/stepca"
	"cutoff/server/device"
	"cutoff/server/e2e/stack"
	"cutoff/server/revoke"
)

// bench is a real step-ca and a connector for it; reported is what was ever
// seen on the device.
type bench struct {
	t        *testing.T
	ca       *stack.StepCA
	c        *stepca.Connector
	reported []device.Certificate
	answered bool
}

func newBench(t *testing.T, password string) *bench {
	t.Helper()
	s := &stack.Stack{Dir: t.TempDir()}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ca, err := s.StartStepCA(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, ca: ca}
	if password == "" {
		password = ca.Password
	}
	made, problems := stepca.New(fmt.Sprintf("server: %s\nprovisioner: cutoff\nissuer: %s\nssh_ca: %s\ncertificate_life: 24h\nallow: 127.0.0.1\nca: |\n  %s\n",
		ca.Base, ca.Issuer, ssh.FingerprintSHA256(ca.UserCA), strings.ReplaceAll(strings.TrimSpace(ca.RootPEM), "\n", "\n  ")),
		stepca.Config{Name: "ca", Secrets: map[string]string{"password": password}, Now: time.Now, Seen: func(context.Context, string, string) ([]device.Certificate, bool, error) {
			return b.reported, b.answered, nil
		}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(made.Close)
	b.c = made
	return b
}

func (b *bench) issue(name string) tls.Certificate {
	b.t.Helper()
	cert, err := b.ca.Issue(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return cert
}

func (b *bench) renew(old tls.Certificate) (int, tls.Certificate) {
	b.t.Helper()
	status, cert, err := b.ca.Renew(b.t.Context(), old)
	if err != nil {
		b.t.Fatal(err)
	}
	return status, cert
}

// names are a certificate's, as an agent reports them.
func names(c tls.Certificate) []device.Identifier {
	return []device.Identifier{
		{Kind: "x509-serial", Value: hex.EncodeToString(c.Leaf.SerialNumber.Bytes())},
		{Kind: "x509-subject", Value: c.Leaf.Subject.String()}, {Kind: "x509-issuer", Value: c.Leaf.Issuer.String()},
	}
}

func (b *bench) report(c tls.Certificate) {
	b.reported = append(b.reported, device.Certificates(names(c), c.Leaf.NotAfter)...)
}

func (b *bench) steps(of []device.Identifier, until time.Time) []revoke.Step {
	var all []revoke.Step
	for i, s := range b.c.Plan(revoke.Subject{
		DeviceID: "dev_1", Hostname: "laptop-1", Credentials: []revoke.Credential{{ID: "crd_1", Names: of, Expires: until}}, Certificates: b.reported,
	}) {
		all = append(all, revoke.Step{
			ID: "step_" + strconv.Itoa(i), CutID: "cut_1", Connector: "ca", Action: s.Action, Target: s.Target, Params: s.Params, Residual: s.Residual,
		})
	}
	return all
}

// carry acts and confirms, as the queue does.
func (b *bench) carry(s *revoke.Step) revoke.Result {
	b.t.Helper()
	r := b.c.Revoke(b.t.Context(), *s)
	if r.Outcome == revoke.Retrying && r.Done {
		s.Memo, s.Residual, s.Acted = maps.Clone(r.Memo), r.Residual, true
		r = b.c.Confirm(b.t.Context(), *s)
	}
	if r.Memo != nil {
		s.Memo = maps.Clone(r.Memo)
	}
	return r
}

func TestARenewedCertificateIsFollowedAtARealStepCA(t *testing.T) {
	b := newBench(t, "")
	first, other := b.issue("laptop-1"), b.issue("laptop-2")
	status, second := b.renew(first)
	if status != 201 {
		t.Fatalf("a good certificate renews: %d", status)
	}
	// The server has seen both, one after the other; the file holds the second.
	b.report(first)
	b.report(second)
	_, unseen := b.renew(second)

	all := b.steps(names(second), second.Leaf.NotAfter)
	if len(all) != 2 || all[0].Action != "revoke-certificate" || all[1].Action != "follow-renewals" {
		t.Fatalf("planned %+v", all)
	}
	r := b.carry(&all[0])
	if r.Outcome != revoke.Verified || r.Proof != revoke.L1 || r.Detail != "in-the-crl" || !r.Residual.Until.Equal(second.Leaf.NotAfter) {
		t.Errorf("got %+v, want it verified by the CRL, and to live until %s", r, second.Leaf.NotAfter)
	}
	if status, _ := b.renew(second); status != 401 {
		t.Errorf("the revoked certificate renews: %d", status)
	}
	// The trap: the one from before the renewal, and the one after, renew still.
	for _, c := range []tls.Certificate{first, unseen} {
		if status, _ := b.renew(c); status != 201 {
			t.Fatalf("another serial is refused (%d): this CA differs from the one that is followed", status)
		}
	}
	r = b.carry(&all[1])
	if r.Outcome != revoke.Retrying || !r.Done || !r.Residual.Unbounded || r.Again <= 0 {
		t.Errorf("before the device answered: %+v", r)
	}
	if status, _ := b.renew(first); status != 401 {
		t.Errorf("the serial from before the renewal renews: %d", status)
	}
	if status, _ := b.renew(unseen); status != 201 {
		t.Fatalf("an unseen one is refused: %d", status)
	}
	// The device answers: what it removed is the third.
	b.report(unseen)
	b.answered = true
	if r = b.c.Confirm(t.Context(), all[1]); r.Outcome != revoke.Retrying || r.Done {
		t.Errorf("another was reported: %+v", r)
	}
	if r = b.carry(&all[1]); r.Outcome != revoke.Verified || r.Proof != revoke.L1 || r.Residual.Unbounded {
		t.Errorf("after the answer: %+v", r)
	}
	if status, _ := b.renew(unseen); status != 401 {
		t.Errorf("the renewed certificate renews: %d", status)
	}
	if status, _ := b.renew(other); status != 201 {
		t.Errorf("another device's certificate was hit: %d", status)
	}
	again := b.steps(names(second), second.Leaf.NotAfter)[0]
	if r := b.carry(&again); r.Outcome != revoke.Verified || r.Detail != "already, in-the-crl" {
		t.Errorf("a repeat: %+v", r)
	}
	if undo := b.c.UndoSpecs(again); undo != nil {
		t.Errorf("a revocation is undone: %v", undo)
	}
}

func TestARealStepCASaysYesToASerialItNeverGave(t *testing.T) {
	b := newBench(t, "")
	if status, body, err := b.ca.RevokeBare(t.Context(), "12345"); err != nil || status != 200 {
		t.Fatalf("got %d %s %v: the trap is gone", status, body, err)
	}
	if status, body, err := b.ca.RevokeBare(t.Context(), "12345"); err != nil || status != 400 || !strings.Contains(body, "already revoked") {
		t.Fatalf("got %d %s %v: a repeat has another answer", status, body, err)
	}
	// A file's certificate of another CA is none of this one's business.
	all := b.steps([]device.Identifier{{Kind: "x509-serial", Value: "0a"}, {Kind: "x509-issuer", Value: "CN=Other CA"}}, time.Time{})
	if len(all) != 0 {
		t.Errorf("planned %+v", all)
	}
}

func TestAnSSHCertificateOfARealStepCAIsRecordedAsRevoked(t *testing.T) {
	b := newBench(t, "")
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line, err := b.ca.IssueSSH(t.Context(), key, "alice@laptop-1", "root")
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	cert, until := parsed.(*ssh.Certificate), time.Now().Add(16*time.Hour)
	all := b.steps([]device.Identifier{
		{Kind: "ssh-cert-serial", Value: strconv.FormatUint(cert.Serial, 10)}, {Kind: "ssh-cert-key-id", Value: cert.KeyId},
		{Kind: "ssh-cert-ca", Value: ssh.FingerprintSHA256(cert.SignatureKey)},
	}, until)
	if len(all) != 1 || all[0].Action != "revoke-ssh-certificate" {
		t.Fatalf("planned %+v", all)
	}
	r := b.carry(&all[0])
	if r.Outcome != revoke.Verified || r.Proof != revoke.L1 || r.Residual.Unbounded || r.Residual.Until.Before(until.Add(-time.Second)) {
		t.Errorf("got %+v; hosts take it until it ends", r)
	}
}

func TestAWrongPasswordNeedsAPerson(t *testing.T) {
	b := newBench(t, "not-the-password-9")
	first := b.issue("laptop-1")
	s := b.steps(names(first), first.Leaf.NotAfter)[0]
	r := b.carry(&s)
	if r.Outcome != revoke.Blocked || r.Detail != "wrong-password" {
		t.Errorf("got %+v", r)
	}
	if status, _ := b.renew(first); status != 201 {
		t.Errorf("revoked with a wrong password: %d", status)
	}
}

func TestAConnectorIsTestedWithoutChangingAnything(t *testing.T) {
	b := newBench(t, "")
	for _, f := range b.c.Check(t.Context()) {
		t.Logf("%s: %v, %s", f.Name, f.OK, f.Detail)
		if !f.OK || f.Name == "least privilege" {
			t.Errorf("%s: %s", f.Name, f.Detail)
		}
	}
	first := b.issue("laptop-1")
	if status, _ := b.renew(first); status != 201 {
		t.Errorf("the test revoked: %d", status)
	}
}
