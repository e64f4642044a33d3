package stepca

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"time"

	"cutoff/server/connector/outgoing"
)

// crl is the CA's list of revoked certificates.
type crl struct {
	serials map[string]bool // decimal
	made    time.Time
	next    time.Time
}

// errNoCRL says that the CA has none.
var errNoCRL = errors.New("the CA has no CRL")

// list reads the CRL and checks that the CA signed it. It carries a critical
// IssuingDistributionPoint, on which stock verifiers stumble (openssl: error
// 44) and which says nothing that matters here: all of step-ca's are whole.
func (c *Connector) list(ctx context.Context) (*crl, error) {
	res, err := c.client.Do(ctx, outgoing.Request{Method: http.MethodGet, URL: c.at("crl")})
	if err != nil {
		return nil, err
	}
	switch res.Status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusNotImplemented:
		return nil, errNoCRL
	default:
		return nil, &answerError{res.Status, "crl-refused"}
	}
	read, err := x509.ParseRevocationList(res.Body)
	if err != nil {
		return nil, &malformed{"crl-malformed"}
	}
	signers, err := c.intermediates(ctx)
	if err != nil {
		return nil, err
	}
	signed := false
	for _, ca := range signers {
		signed = signed || read.CheckSignatureFrom(ca) == nil
	}
	if !signed {
		return nil, &malformed{"crl-not-signed-by-the-ca"}
	}
	l := &crl{serials: make(map[string]bool, len(read.RevokedCertificateEntries)), made: read.ThisUpdate, next: read.NextUpdate}
	for _, e := range read.RevokedCertificateEntries {
		if e.ReasonCode != removedFromCRL {
			l.serials[e.SerialNumber.String()] = true
		}
	}
	return l, nil
}

// removedFromCRL is RFC 5280 §5.3.1's word for "revoked no more".
const removedFromCRL = 8

// intermediates are the certificates by which the CA signs.
func (c *Connector) intermediates(ctx context.Context) ([]*x509.Certificate, error) {
	var answer struct {
		Certificates []string `json:"crts"`
	}
	if err := c.get(ctx, "intermediates", nil, &answer); err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, text := range answer.Certificates {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, cert)
		}
	}
	if len(all) == 0 {
		return nil, &malformed{"answer-malformed"}
	}
	return all, nil
}

// malformed is an answer that makes no sense: to be asked again.
type malformed struct{ word string }

// Error is the word.
func (e *malformed) Error() string { return e.word }

func (l *crl) has(serial string) bool {
	n, ok := new(big.Int).SetString(serial, 10)
	return ok && l.serials[n.String()]
}
