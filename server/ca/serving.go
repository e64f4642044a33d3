package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"cutoff/server/flow"
)

// servingLife is how long a listener's certificate is valid; it is replaced
// when a third is left.
const servingLife = 30 * 24 * time.Hour

// Serving is the certificate of one listener, made anew in good time. Its key
// lives in memory only. Agents or Console make one.
type Serving struct {
	authority *Authority
	now       flow.Clock
	template  x509.Certificate

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
}

// Agents is the certificate of the agents' listener: agents know the server by
// spiffe://<trust-domain>/server, not by the names (hosts or addresses).
func (a *Authority) Agents(now flow.Clock, names ...string) *Serving {
	s := a.serving(now, names)
	s.template.URIs = []*url.URL{{Scheme: "spiffe", Host: a.domain, Path: "/server"}}
	return s
}

// Console is the certificate of the console's listener until it is given one.
// It never carries the server's identity toward agents.
func (a *Authority) Console(now flow.Clock, names ...string) *Serving {
	return a.serving(now, names)
}

func (a *Authority) serving(now flow.Clock, names []string) *Serving {
	s := &Serving{authority: a, now: now, template: x509.Certificate{
		Subject:               pkix.Name{CommonName: "Cutoff server"},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			s.template.IPAddresses = append(s.template.IPAddresses, ip)
		} else if name != "" {
			s.template.DNSNames = append(s.template.DNSNames, name)
		}
	}
	return s
}

// GetCertificate is for tls.Config.
func (s *Serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.current != nil && now.Before(s.renewAt) {
		return s.current, nil
	}
	made, err := s.issue(now)
	if err != nil {
		return nil, fmt.Errorf("make server certificate: %w", err)
	}
	s.current, s.renewAt = made, now.Add(servingLife*2/3)
	return made, nil
}

func (s *Serving) issue(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := s.template
	if template.SerialNumber, err = nextSerial("", now); err != nil {
		return nil, err
	}
	template.NotBefore, template.NotAfter = now.Add(-skew), now.Add(servingLife)
	ca := s.authority.certificate
	der, err := x509.CreateCertificate(rand.Reader, &template, ca, key.Public(), s.authority.signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
