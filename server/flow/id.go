package flow

import (
	"crypto/rand"
	"encoding/base32"
)

// idText is base32 in lower case, without letters that look alike.
var idText = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// newID draws an id nobody can guess: prefix and 80 random bits.
func newID(prefix string) string {
	raw := make([]byte, 10)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return prefix + idText.EncodeToString(raw)
}
