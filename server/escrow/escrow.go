// Package escrow holds the key of one seal: an age X25519 identity whose public
// half rides in leases and orders and whose private half never lies unwrapped.
// It must not know where the wrapping key is kept.
package escrow

import (
	"fmt"
	"time"

	"filippo.io/age"
)

// Escrow is the key of one seal, drawn when its cut id is reserved.
type Escrow struct {
	ID       string
	DeviceID string
	// CutID is the reserved cut it belongs to.
	CutID string
	// Recipient is the public half, "age1…".
	Recipient string
	// Wrapped is the private half as the vault wrapped it; empty once shredded.
	Wrapped    []byte
	CreatedAt  time.Time
	ShreddedAt time.Time
}

// Shredded reports whether the private half is gone for good.
func (e *Escrow) Shredded() bool { return !e.ShreddedAt.IsZero() }

// Draw makes a new key pair: the recipient and the private half to be wrapped
// at once.
func Draw() (recipient string, private []byte, err error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return "", nil, fmt.Errorf("draw escrow key: %w", err)
	}
	return identity.Recipient().String(), []byte(identity.String()), nil
}

// Identity parses an unwrapped private half.
func Identity(private []byte) (*age.X25519Identity, error) {
	identity, err := age.ParseX25519Identity(string(private))
	if err != nil {
		// Not the error itself: it may quote the key.
		return nil, fmt.Errorf("unwrapped escrow key is not an age identity")
	}
	return identity, nil
}
