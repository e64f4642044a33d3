// Package assertion signs the short statements by which this server shows a
// provider who it is: JWTs under a private key that the administrator handed in
// (RFC 7523). It must not keep a key longer than its maker, nor put one into an
// error.
package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// MaxLife is the longest that a statement may be valid: five minutes, as
// draft-parecki-oauth-global-token-revocation-06 wants at most.
const MaxLife = 5 * time.Minute

// minRSA is the shortest RSA key that is taken, in bits.
const minRSA = 2048

// Signer makes statements under one key. It is safe for many goroutines.
type Signer struct {
	signer jose.Signer
	alg    jose.SignatureAlgorithm
}

// New reads a private key in PEM (PKCS#8, PKCS#1 or SEC 1): RSA of 2048 bits
// and more signs by RS256, P-256 by ES256. keyID goes into the header; may be
// empty. Errors say nothing of the text.
func New(pemText, keyID string) (*Signer, error) {
	key, err := parse(pemText)
	if err != nil {
		return nil, err
	}
	var alg jose.SignatureAlgorithm
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSA {
			return nil, errors.New("an RSA key needs 2048 bits or more")
		}
		alg = jose.RS256
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, errors.New("an elliptic key must be P-256")
		}
		alg = jose.ES256
	default:
		return nil, errors.New("want an RSA or a P-256 private key")
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if keyID != "" {
		options = options.WithHeader("kid", keyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		return nil, errors.New("the private key cannot sign")
	}
	return &Signer{signer: signer, alg: alg}, nil
}

func parse(text string) (crypto.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("want a private key in PEM")
	}
	defer clear(block.Bytes)
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	return nil, errors.New("want an unencrypted private key in PEM (PKCS#8, PKCS#1 or SEC 1)")
}

// Algorithm is RS256 or ES256.
func (s *Signer) Algorithm() string { return string(s.alg) }

// Sign makes a statement of issuer about subject for audience, valid for life
// from now; life is bounded by MaxLife. Each has its own jti. more are further
// claims and may be nil.
func (s *Signer) Sign(issuer, subject, audience string, now time.Time, life time.Duration, more map[string]any) (string, error) {
	builder := jwt.Signed(s.signer).Claims(jwt.Claims{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience}, ID: fresh(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(min(life, MaxLife))),
	})
	if len(more) > 0 {
		builder = builder.Claims(more)
	}
	token, err := builder.Serialize()
	if err != nil {
		return "", errors.New("the statement cannot be signed")
	}
	return token, nil
}

// fresh is an id nobody has used: 128 random bits.
func fresh() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
