package api_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

func TestWithoutACertificateOnlyRosterAndEnrollAreAnswered(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	client := s.dial(nil)
	ctx := t.Context()
	roster, err := client.Roster(ctx, &cutoffv1.RosterRequest{})
	if err != nil || len(roster.GetRoster()) == 0 || len(roster.GetRootKey()) != ed25519.PublicKeySize {
		t.Errorf("Roster answered %v, %v", roster, err)
	}
	_, err = client.Enroll(ctx, &cutoffv1.EnrollRequest{TokenSecret: make([]byte, 32)})
	if err == nil {
		t.Error("Enroll took a token nobody made")
	}
	_, err = client.Renew(ctx, &cutoffv1.RenewRequest{})
	wantCode(t, err, codes.Unauthenticated)
	_, err = client.Reconcile(ctx, &cutoffv1.ReconcileRequest{})
	wantCode(t, err, codes.Unauthenticated)
	_, err = client.Unseal(ctx, &cutoffv1.UnsealRequest{})
	wantCode(t, err, codes.Unauthenticated)
	opened, err := client.Connect(ctx)
	if err == nil {
		_, err = opened.Recv()
	}
	wantCode(t, err, codes.Unauthenticated)
}

func TestAnExpiredCertificateMayRenewAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	s.advance(40 * 24 * time.Hour)
	client, binding := s.dialBound(d)
	ctx := t.Context()
	answer, err := client.Renew(ctx, &cutoffv1.RenewRequest{Csr: requestFor(t, d.key, "laptop")})
	if err != nil || len(answer.GetCertificate()) == 0 {
		t.Fatalf("Renew answered %v, %v", answer, err)
	}
	opened, err := client.Connect(ctx)
	if err == nil {
		_, err = opened.Recv()
	}
	wantCode(t, err, codes.Unauthenticated)
	_, err = client.Unseal(ctx, &cutoffv1.UnsealRequest{CutId: "cut_x"})
	wantCode(t, err, codes.Unauthenticated)
	_, err = client.Reconcile(ctx, &cutoffv1.ReconcileRequest{Hello: s.hello(d, <-binding)})
	if err != nil {
		t.Errorf("Reconcile refused an expired certificate: %v", err)
	}
	// With the new one it is let in again.
	d.chain = answer.GetCertificate()
	s.connect(d, 1)
}

func TestACertificateOfAnotherCAIsRefusedInTheHandshake(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	real := s.enrol("laptop")
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "forged"},
		NotBefore: s.Now().Add(-time.Hour), NotAfter: s.Now().Add(time.Hour),
		URIs:        []*url.URL{{Scheme: "spiffe", Host: s.authority.TrustDomain(), Path: "/device/" + real.id}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	client := s.dial(&device{id: real.id, key: key, chain: [][]byte{der}})
	_, err = client.Roster(t.Context(), &cutoffv1.RosterRequest{})
	wantCode(t, err, codes.Unavailable)
}

func TestAHelloOfAnotherConnectionIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	client := s.dial(d)
	opened, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Hello{Hello: &cutoffv1.StreamHello{
		Hello: s.hello(d, challengeOf(9)), Challenge: challengeOf(1),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = opened.Recv()
	wantCode(t, err, codes.Unauthenticated)
	if s.hub.Connected(d.id) {
		t.Error("the stream counts as connected")
	}
}

func TestAStreamBeginsWithAHello(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened, err := s.dial(d).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Report{Report: &cutoffv1.Report{}}}); err != nil {
		t.Fatal(err)
	}
	_, err = opened.Recv()
	wantCode(t, err, codes.InvalidArgument)
}

func TestALeaseIsGrantedOnTheStream(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	opened := s.connect(d, 1)
	nonce := challengeOf(5)
	err := opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Lease{Lease: &cutoffv1.LeaseRequest{Nonce: nonce}}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := opened.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answer.GetLease().GetNonce(), nonce) || len(answer.GetLease().GetLease()) == 0 {
		t.Errorf("got %v, want a lease for the nonce", answer)
	}
}

func TestAnOversizedMessageEndsItsCallAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.enrol("laptop")
	healthy := s.connect(s.enrol("other"), 1)
	_, err := s.dial(d).Renew(t.Context(), &cutoffv1.RenewRequest{Csr: make([]byte, 9<<20)})
	wantCode(t, err, codes.ResourceExhausted)
	_, err = s.dial(nil).Enroll(t.Context(), &cutoffv1.EnrollRequest{TrialRoot: string(make([]byte, 1<<20))})
	wantCode(t, err, codes.InvalidArgument)
	opened := s.connect(d, 2)
	_ = opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Receipt{Receipt: make([]byte, 9<<20)}})
	_, err = opened.Recv()
	wantCode(t, err, codes.ResourceExhausted)
	if err := healthy.Send(leaseRequest(3)); err != nil {
		t.Fatal(err)
	}
	if answer, err := healthy.Recv(); err != nil || answer.GetLease() == nil {
		t.Errorf("another device's stream got %v, %v", answer, err)
	}
}

func leaseRequest(b byte) *cutoffv1.ConnectRequest {
	return &cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Lease{
		Lease: &cutoffv1.LeaseRequest{Nonce: challengeOf(b)},
	}}
}

func TestGarbageIsAnsweredByClosing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	garbage := make([]byte, 10<<20)
	_, _ = rand.Read(garbage)

	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	wantClosed(t, raw, garbage)

	// And the same behind a good handshake.
	secure, err := tls.Dial("tcp", s.address, &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantClosed(t, secure, garbage)

	if _, err := s.dial(nil).Roster(t.Context(), &cutoffv1.RosterRequest{}); err != nil {
		t.Errorf("after the garbage: %v", err)
	}
}

// wantClosed writes garbage and fails unless the other side closes.
func wantClosed(t *testing.T, conn net.Conn, garbage []byte) {
	t.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(garbage) // an error is what is hoped for
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection was kept open")
	}
}
