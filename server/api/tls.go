package api

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"cutoff/server/fault"
)

// bindingLabel and bindingSize make the channel binding a Hello signs.
const (
	bindingLabel = "EXPORTER-cutoff-hello"
	bindingSize  = 32
)

// Trust is what the agents' listener must know of the trust domain.
type Trust struct {
	// Domain is the trust domain's name.
	Domain string
	// Roots are the CA certificates that may have signed a device's.
	Roots *x509.CertPool
	// Certificate answers this server's own certificate for agents.
	Certificate func() (*tls.Certificate, error)
	// Now is the clock.
	Now func() time.Time
}

// config is TLS 1.3 with a client certificate asked for and, if one is given,
// verified. Who must have one is the access table's affair: Roster and Enroll
// are called before there is any. A certificate whose time is over passes here
// and is told from a live one by its methods.
func (t Trust) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return t.Certificate()
		},
		VerifyConnection: t.verify,
	}
}

func (t Trust) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	if _, err := deviceOf(leaf, t.Domain); err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.Roots, Intermediates: between,
		CurrentTime: clamp(t.Now(), leaf.NotBefore, leaf.NotAfter),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	return nil
}

// clamp is the time nearest to now at which the certificate is in force: age is
// judged later, by who calls what.
func clamp(now, from, until time.Time) time.Time {
	switch {
	case now.Before(from):
		return from
	case now.After(until):
		return until
	default:
		return now
	}
}

// deviceOf is the device a certificate names: its one URI
// spiffe://<domain>/device/<id>.
func deviceOf(cert *x509.Certificate, domain string) (string, error) {
	if len(cert.URIs) != 1 {
		return "", fmt.Errorf("client certificate has %d names, want one", len(cert.URIs))
	}
	id, ok := strings.CutPrefix(cert.URIs[0].Path, "/device/")
	want := url.URL{Scheme: "spiffe", Host: domain, Path: "/device/" + id}
	if !ok || id == "" || strings.Contains(id, "/") || *cert.URIs[0] != want {
		return "", fmt.Errorf("client certificate names no device of %s", domain)
	}
	return id, nil
}

// client is what a connection's certificate proved.
type client struct {
	deviceID string
	serial   string
	// publicKey is the raw Ed25519 device key.
	publicKey ed25519.PublicKey
	expired   bool
}

// clientOf answers who is at the other end; ok is false without a certificate.
func (t Trust) clientOf(ctx context.Context) (c client, ok bool, err error) {
	state, err := tlsOf(ctx)
	if err != nil || len(state.PeerCertificates) == 0 {
		return client{}, false, err
	}
	leaf := state.PeerCertificates[0]
	id, err := deviceOf(leaf, t.Domain)
	if err != nil {
		return client{}, false, err
	}
	key, isEd25519 := leaf.PublicKey.(ed25519.PublicKey)
	if !isEd25519 {
		return client{}, false, fault.New(fault.Unauthenticated, "the certificate's key is not Ed25519")
	}
	now := t.Now()
	return client{
		deviceID: id, serial: fmt.Sprintf("%032x", leaf.SerialNumber), publicKey: key,
		expired: now.After(leaf.NotAfter) || now.Before(leaf.NotBefore.Add(-clockLeeway)),
	}, true, nil
}

// clockLeeway is how far this server's clock may lie behind the one that
// issued a certificate (another node, or the same before a clock was set back).
const clockLeeway = 10 * time.Minute

// bindingOf is the TLS exporter value of the caller's connection, which its
// Hello must repeat: a Hello relayed over another connection does not hold.
func bindingOf(ctx context.Context) ([]byte, error) {
	state, err := tlsOf(ctx)
	if err != nil {
		return nil, err
	}
	return state.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
}

func tlsOf(ctx context.Context) (tls.ConnectionState, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return tls.ConnectionState{}, fault.New(fault.Unauthenticated, "the connection is not known")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return tls.ConnectionState{}, fault.New(fault.Unauthenticated, "the connection is not TLS")
	}
	return info.State, nil
}

// sourceOf is the caller's address without its port, for limits and evidence.
func sourceOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return hostOf(p.Addr.String())
}
