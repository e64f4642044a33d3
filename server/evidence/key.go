package evidence

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
)

// keyPrefix begins the text of an evidence key.
const keyPrefix = "cutoff-evidence1."

// FormatKey is a public evidence key as one line of text, as people pass it on.
func FormatKey(key ed25519.PublicKey) string {
	return keyPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParseKey reads FormatKey's text; white space around it is ignored.
func ParseKey(text string) (ed25519.PublicKey, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), keyPrefix)
	if !ok {
		return nil, fmt.Errorf("not an evidence key: it begins with %q", keyPrefix)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("not an evidence key: %q is followed by 43 characters of base64url", keyPrefix)
	}
	return raw, nil
}
