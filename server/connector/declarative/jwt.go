package declarative

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
)

// signer is a private key that assertions are signed with, and what names it.
type signer struct {
	key   crypto.Signer
	id    string
	email string // the issuer, of a Google service account
}

var errKey = errors.New("want a private key, RSA of at least 2048 bits or EC P-256: in PEM, as a JWK, or a Google service account's JSON file")

// parseSigner reads a private key as people have it. Errors hold none of it.
func parseSigner(text string) (signer, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return parseJSONKey([]byte(text))
	}
	key, err := parsePEM(text)
	return signer{key: key}, err
}

func parsePEM(text string) (crypto.Signer, error) {
	// A secret that came on one line has \n where the lines end.
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil {
		return nil, errKey
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return usable(key)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return usable(key)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, errKey
	}
	return usable(key)
}

func usable(key any) (crypto.Signer, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return k, nil
		}
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	}
	return nil, errKey
}

func parseJSONKey(text []byte) (signer, error) {
	var k struct {
		Type  string `json:"type"`
		PEM   string `json:"private_key"`
		PEMID string `json:"private_key_id"`
		Email string `json:"client_email"`

		Kty, Kid, N, E, D, P, Q, Crv, X, Y string
	}
	if json.Unmarshal(text, &k) != nil {
		return signer{}, errKey
	}
	if k.PEM != "" {
		key, err := parsePEM(k.PEM)
		return signer{key: key, id: k.PEMID, email: k.Email}, err
	}
	number := func(s string) *big.Int {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
		if err != nil {
			return new(big.Int)
		}
		return new(big.Int).SetBytes(raw)
	}
	switch {
	case k.Kty == "RSA" && k.P != "" && k.Q != "" && number(k.E).IsInt64():
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())},
			D:         number(k.D), Primes: []*big.Int{number(k.P), number(k.Q)},
		}
		if key.N.BitLen() < 2048 || key.Validate() != nil {
			return signer{}, errKey
		}
		key.Precompute()
		return signer{key: key, id: k.Kid}, nil
	case k.Kty == "EC" && k.Crv == "P-256":
		raw := make([]byte, 32)
		if number(k.D).BitLen() > 256 {
			return signer{}, errKey
		}
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), number(k.D).FillBytes(raw))
		if err != nil {
			return signer{}, errKey
		}
		return signer{key: key, id: k.Kid}, nil
	}
	return signer{}, errKey
}

// assertion is a JWT about who asks: short-lived, for one audience, never used
// twice (jti). An empty issuer is the service account's own.
func (c *Connector) assertion(v values, issuer, subject, audience string, extra map[string]any) (string, error) {
	text := c.auth.token.key.render(v)
	if text == hidden {
		return hidden, nil
	}
	s, err := parseSigner(text)
	if err != nil {
		return "", errUnsafe{"key", "not-a-private-key"}
	}
	if issuer == "" {
		issuer = s.email
	}
	if id := c.auth.token.keyID.render(v); id != "" {
		s.id = id
	}
	// A minute back, for clocks that differ; GitHub advises the same.
	at := c.now()
	claims := map[string]any{"iss": issuer, "iat": at.Unix() - 60, "exp": at.Add(assertionLife).Unix(), "jti": rand.Text()}
	for key, value := range map[string]string{"sub": subject, "aud": audience} {
		if value != "" {
			claims[key] = value
		}
	}
	for key, value := range extra {
		claims[key] = value
	}
	header := map[string]string{"typ": "JWT"}
	if s.id != "" {
		header["kid"] = s.id
	}
	if err := nameCertificate(header, c.auth.token.certificate.render(v)); err != nil {
		return "", err
	}
	return s.sign(header, claims)
}

// nameCertificate adds the certificate's hash, by which Entra knows the key.
func nameCertificate(header map[string]string, text string) error {
	if text == "" {
		return nil
	}
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil || block.Type != "CERTIFICATE" {
		return errUnsafe{"key_certificate", "not-a-certificate"}
	}
	sum := sha256.Sum256(block.Bytes)
	header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	return nil
}

// sign makes the compact form of RFC 7515, RS256 or ES256 as the key is.
func (s signer) sign(header map[string]string, claims map[string]any) (string, error) {
	_, isEC := s.key.(*ecdsa.PrivateKey)
	header["alg"] = "RS256"
	if isEC {
		header["alg"] = "ES256"
	}
	var text []string
	for _, part := range []any{header, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			return "", errUnsafe{"assertion", "unsafe-value"}
		}
		text = append(text, base64.RawURLEncoding.EncodeToString(raw))
	}
	input := strings.Join(text, ".")
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	if key, ok := s.key.(*ecdsa.PrivateKey); ok {
		a, b, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			return "", errUnsafe{"key", "does-not-sign"}
		}
		signature = append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	} else {
		raw, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			return "", errUnsafe{"key", "does-not-sign"}
		}
		signature = raw
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
