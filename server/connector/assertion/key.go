package assertion

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// minRSA is the shortest RSA key that is taken, in bits.
const minRSA = 2048

// key is a private key that was read, and what its file says of it.
type key struct {
	private any
	alg     jose.SignatureAlgorithm
	id      string
	account string
}

func parse(text string) (key, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") {
		return usable(fromPEM(text))
	}
	var file struct {
		PEM   string `json:"private_key"`
		ID    string `json:"private_key_id"`
		Email string `json:"client_email"`
	}
	if json.Unmarshal([]byte(text), &file) == nil && file.PEM != "" {
		k, err := usable(fromPEM(file.PEM))
		k.id, k.account = file.ID, file.Email
		return k, err
	}
	var jwk jose.JSONWebKey
	if json.Unmarshal([]byte(text), &jwk) != nil {
		return key{}, ErrKey
	}
	k, err := usable(jwk.Key)
	k.id = jwk.KeyID
	return k, err
}

// lines puts the ends of lines into a PEM text that came on one.
func lines(text string) []byte { return []byte(strings.ReplaceAll(text, `\n`, "\n")) }

// fromPEM is nil for what is no key.
func fromPEM(text string) any {
	block, _ := pem.Decode(lines(text))
	if block == nil {
		return nil
	}
	defer clear(block.Bytes)
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return k
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return k
	}
	return nil
}

func usable(private any) (key, error) {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= minRSA && k.Validate() == nil {
			return key{private: k, alg: jose.RS256}, nil
		}
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return key{private: k, alg: jose.ES256}, nil
		}
	}
	return key{}, ErrKey
}
