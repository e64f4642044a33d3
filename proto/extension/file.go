package extension

import (
	"crypto/sha256"
	"encoding/hex"
)

// MaxFile bounds the file of an extension, in bytes; one has some 300.
const MaxFile = 16 << 10

// FileName is what the file of a device is called on a mirror. It tells nothing
// of the device to who does not know it.
func FileName(trustDomain, deviceID string) string {
	sum := sha256.Sum256([]byte("cutoff extension\x00" + trustDomain + "\x00" + deviceID))
	return hex.EncodeToString(sum[:])
}
