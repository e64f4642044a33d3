package ca

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"cutoff/server/fault"
	"cutoff/server/flow"
)

// Lifetimes. A certificate starts a little in the past, for clocks that are
// behind.
const (
	deviceLife = 24 * time.Hour
	caLife     = 20 * 365 * 24 * time.Hour
	skew       = 5 * time.Minute
)

// maxRequest bounds a certificate request in bytes.
const maxRequest = 16 << 10

// trialUnit is the organizational unit of a trial device's certificate.
const trialUnit = "trial"

// Issue signs a device certificate. The request gives only the key, and proves
// that the asker has it; its names are not looked at.
func (a *Authority) Issue(in flow.IssueRequest) (flow.Issued, error) {
	raw, err := a.RequestKey(in.CSR)
	if err != nil {
		return flow.Issued{}, err
	}
	key := ed25519.PublicKey(raw)
	serial, err := nextSerial(in.After, in.Now)
	if err != nil {
		return flow.Issued{}, err
	}
	subject := pkix.Name{CommonName: in.DeviceID}
	if in.TrialRoot != "" {
		subject.OrganizationalUnit = []string{trialUnit}
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: a.domain, Path: "/device/" + in.DeviceID}},
		NotBefore:             in.Now.Add(-skew),
		NotAfter:              in.Now.Add(deviceLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.certificate, key, a.signer)
	if err != nil {
		return flow.Issued{}, fmt.Errorf("sign device certificate: %w", err)
	}
	return flow.Issued{
		Chain:     [][]byte{der, a.certificate.Raw},
		Serial:    flow.Serial(serial),
		PublicKey: key,
	}, nil
}

// RequestKey is the Ed25519 key of a request that the key itself signed.
func (a *Authority) RequestKey(der []byte) ([]byte, error) {
	if len(der) == 0 || len(der) > maxRequest {
		return nil, fault.New(fault.Invalid, "the certificate request has %d bytes", len(der))
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the certificate request cannot be read")
	}
	key, ok := request.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fault.New(fault.Invalid, "the certificate request's key is not Ed25519")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the certificate request is not signed by its own key")
	}
	return key, nil
}

// nextSerial is nanoseconds since 1970 and 64 random bits: unguessable, and
// higher than after even if the clock was set back meanwhile. So the server can
// tell a certificate newer than its (restored) rows from a superseded one.
func nextSerial(after string, now time.Time) (*big.Int, error) {
	at := uint64(max(now.UnixNano(), 1))
	if after != "" {
		last, err := hex.DecodeString(after)
		if err != nil || len(last) != 16 {
			return nil, fmt.Errorf("serial %q is not one of ours", after)
		}
		at = max(at, binary.BigEndian.Uint64(last)+1)
	}
	raw := make([]byte, 16)
	binary.BigEndian.PutUint64(raw, at)
	_, _ = rand.Read(raw[8:]) // crypto/rand.Read never fails
	return new(big.Int).SetBytes(raw), nil
}

func selfSign(domain string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	serial, err := nextSerial("", now)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Cutoff " + domain},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: domain}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
