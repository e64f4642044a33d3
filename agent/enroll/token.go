// Package enroll makes this machine a device of a server: it reads the
// enrolment token, holds the server's roster against the token's pin and the
// live connection against the roster, and only then hands over the token's
// secret. It also keeps the rule by which an agent knows its server for ever
// after. It must not act on orders or remove anything.
package enroll

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Token is a parsed enrolment token.
type Token struct {
	// TrustDomain is the server's.
	TrustDomain string
	// RootPin is SHA-256 of the raw root key.
	RootPin [32]byte
	// Secret is what the server knows the token by.
	Secret [32]byte
}

// ErrToken says that a text is no enrolment token. It never repeats the text.
var ErrToken = errors.New("this is not an enrolment token")

// tokenPrefix is the version of the token's layout.
const tokenPrefix = "cutoff1"

// maxToken and maxDomain bound a token and a trust domain, in bytes.
const (
	maxToken  = 1024
	maxDomain = 253
)

// ParseToken reads cutoff1.<trust domain>.<root pin>.<secret>, the last three
// in unpadded base64url.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	parts := strings.Split(text, ".")
	if len(text) > maxToken || len(parts) != 4 || parts[0] != tokenPrefix {
		return Token{}, ErrToken
	}
	var decoded [3][]byte
	for i, part := range parts[1:] {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return Token{}, ErrToken
		}
		decoded[i] = raw
	}
	t := Token{TrustDomain: string(decoded[0])}
	if !validDomain(t.TrustDomain) || len(decoded[1]) != len(t.RootPin) || len(decoded[2]) != len(t.Secret) {
		return Token{}, ErrToken
	}
	copy(t.RootPin[:], decoded[1])
	copy(t.Secret[:], decoded[2])
	return t, nil
}

// validDomain accepts what may stand in a SPIFFE id as its trust domain.
func validDomain(name string) bool {
	if name == "" || len(name) > maxDomain {
		return false
	}
	for _, c := range []byte(name) {
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}
