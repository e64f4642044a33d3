package enroll

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Roster is a verified roster: whom this device trusts. The zero value trusts
// nobody.
type Roster struct {
	// Domain is the trust domain, Version the roster's.
	Domain  string
	Version uint64
	// OrderKeys and LeaseKeys are those that sign orders, and leases and grants.
	OrderKeys signed.Keys
	LeaseKeys signed.Keys
	// Envelope is what was signed.
	Envelope []byte
	roots    *x509.CertPool
}

// maxCAs bounds the certificates of a roster.
const maxCAs = 16

// OpenRoster verifies a roster by the root key and for the trust domain.
func OpenRoster(envelope, rootKey []byte, domain string) (*Roster, error) {
	keys, err := signed.NewKeys(rootKey)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	m := &cutoffv1.Roster{}
	if _, err := signed.Open(envelope, signed.TypeRoster, keys, m); err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	if m.GetTrustDomain() != domain {
		return nil, fmt.Errorf("roster: %w: of another trust domain", signed.ErrUntrusted)
	}
	r := &Roster{Domain: domain, Version: m.GetVersion(), Envelope: envelope, roots: x509.NewCertPool()}
	if n := len(m.GetCaCertificates()); n == 0 || n > maxCAs {
		return nil, fmt.Errorf("roster: %w: %d CA certificates", signed.ErrMalformed, n)
	}
	for _, der := range m.GetCaCertificates() {
		cert, err := x509.ParseCertificate(der)
		if err != nil || !cert.IsCA {
			return nil, fmt.Errorf("roster: %w: CA certificate", signed.ErrMalformed)
		}
		r.roots.AddCert(cert)
	}
	if r.OrderKeys, err = signed.NewKeys(m.GetOrderKeys()...); err != nil {
		return nil, fmt.Errorf("roster: %w: order keys", signed.ErrMalformed)
	}
	if r.LeaseKeys, err = signed.NewKeys(m.GetLeaseKeys()...); err != nil {
		return nil, fmt.Errorf("roster: %w: lease keys", signed.ErrMalformed)
	}
	return r, nil
}

// ErrServer says that the other end is not this trust domain's server.
var ErrServer = errors.New("the other end is not the enrolled server")

// VerifyServer checks that the connection's other end is the trust domain's
// server: its certificate chains to a CA of the roster and names
// spiffe://<trust domain>/server. Address and host name do not count, and the
// time only inside the certificate's validity: a device whose clock is years
// off still finds its server.
func (r *Roster) VerifyServer(state tls.ConnectionState, now time.Time) error {
	return r.verify(state.PeerCertificates, x509.ExtKeyUsageServerAuth, "/server", now)
}

// VerifyDevice checks that a chain is a certificate of the device with this id.
func (r *Roster) VerifyDevice(chain []*x509.Certificate, deviceID string, now time.Time) error {
	return r.verify(chain, x509.ExtKeyUsageClientAuth, "/device/"+deviceID, now)
}

func (r *Roster) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, path string, now time.Time) error {
	if r == nil || r.roots == nil || len(chain) == 0 {
		return ErrServer
	}
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: r.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage},
		CurrentTime: clamp(now, leaf.NotBefore, leaf.NotAfter),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	want := url.URL{Scheme: "spiffe", Host: r.Domain, Path: path}
	if len(leaf.URIs) != 1 || *leaf.URIs[0] != want {
		return fmt.Errorf("%w: its certificate does not name %s", ErrServer, want.String())
	}
	return nil
}

func clamp(now, from, to time.Time) time.Time {
	switch {
	case now.Before(from):
		return from
	case now.After(to):
		return to
	}
	return now
}
