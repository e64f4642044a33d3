// Package assertion signs the short statements by which this server shows a
// provider who it is: JWTs under a private key that the administrator handed in
// (RFC 7523). It must not keep a key longer than its maker, nor put one into an
// error.
package assertion

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"maps"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// MaxLife is the longest that a statement may be valid: five minutes, as
// draft-parecki-oauth-global-token-revocation-06 wants at most.
const MaxLife = 5 * time.Minute

// clocks is how far back a statement is dated, for clocks that differ; GitHub
// advises the same.
const clocks = time.Minute

// What New finds wrong. Neither says anything of the text.
var (
	ErrKey         = errors.New("want a private key, RSA of at least 2048 bits or EC P-256: in PEM, as a JWK, or a Google service account's JSON file")
	ErrCertificate = errors.New("want the key's certificate in PEM")
)

// Signer makes statements under one key. It is safe for many goroutines.
type Signer struct {
	signer  jose.Signer
	account string
}

// New reads a private key as people have it: in PEM (PKCS#8, PKCS#1 or SEC 1;
// \n may stand for the ends of lines), as a JWK, or in a Google service
// account's JSON. RSA of 2048 bits and more signs by RS256, P-256 by ES256.
// keyID goes into the header, instead of the one that the JSON says; certificate
// is in PEM and goes there as its hash, by which Entra knows the key. Both may
// be empty. The error is ErrKey or ErrCertificate.
func New(text, keyID, certificate string) (*Signer, error) {
	k, err := parse(text)
	if err != nil {
		return nil, err
	}
	if keyID == "" {
		keyID = k.id
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if keyID != "" {
		options = options.WithHeader("kid", keyID)
	}
	if certificate != "" {
		block, _ := pem.Decode(lines(certificate))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, ErrCertificate
		}
		sum := sha256.Sum256(block.Bytes)
		options = options.WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: k.private}, options)
	if err != nil {
		return nil, ErrKey
	}
	return &Signer{signer: signer, account: k.account}, nil
}

// Account is the e-mail address of a Google service account, which is the
// issuer of its statements; empty of another key.
func (s *Signer) Account() string { return s.account }

// Statement is what is said. Issuer is needed; an empty Subject or Audience is
// left out.
type Statement struct {
	Issuer, Subject, Audience string
	At                        time.Time     // now
	Life                      time.Duration // from At, at most MaxLife
	More                      map[string]any
}

// Sign makes the compact form (RFC 7515) of a statement. Each has its own jti.
func (s *Signer) Sign(of Statement) (string, error) {
	// One audience is a text and no list: some providers take no other.
	claims := map[string]any{
		"iss": of.Issuer, "jti": rand.Text(),
		"iat": of.At.Add(-clocks).Unix(), "exp": of.At.Add(min(of.Life, MaxLife)).Unix(),
	}
	for name, text := range map[string]string{"sub": of.Subject, "aud": of.Audience} {
		if text != "" {
			claims[name] = text
		}
	}
	maps.Copy(claims, of.More)
	token, err := jwt.Signed(s.signer).Claims(claims).Serialize()
	if err != nil {
		return "", errors.New("the statement cannot be signed")
	}
	return token, nil
}
