package flow

import (
	"errors"
	"fmt"
	"math/big"
	"time"
)

// ErrShredded says that an escrow's wrapping key was destroyed on purpose.
var ErrShredded = errors.New("escrow key is shredded")

// Serial is a certificate's serial number as rows keep it: 32 hex digits, so
// that serials compare as texts.
func Serial(n *big.Int) string { return fmt.Sprintf("%032x", n) }

// Authority is the trust domain's certificate authority and signed roster.
type Authority interface {
	// RequestKey is the raw Ed25519 key of a PKCS #10 request in DER that the key
	// itself signed; anything else is Invalid.
	RequestKey(csr []byte) ([]byte, error)
	// Issue signs a device certificate for the checked request.
	Issue(IssueRequest) (Issued, error)
	// Roster is the newest signed roster's envelope; RosterVersion its number.
	Roster() []byte
	RosterVersion() uint64
	// RootKey is the raw Ed25519 public key that signed the roster.
	RootKey() []byte
	TrustDomain() string
}

// IssueRequest asks for a device certificate.
type IssueRequest struct {
	// CSR is a PKCS #10 request in DER; the device key must have signed it.
	CSR []byte
	// DeviceID is the name the certificate gives; not the request's.
	DeviceID string
	// TrialRoot marks the certificate as one of a trial.
	TrialRoot string
	// After is the newest serial the device was ever given, or empty: the new
	// one is higher, whatever the clock does.
	After string
	Now   time.Time
}

// Issued is a certificate just signed.
type Issued struct {
	// Chain is DER, leaf first.
	Chain [][]byte
	// Serial is 32 hex digits; a later certificate of a device has a higher one.
	Serial string
	// PublicKey is the raw Ed25519 device key.
	PublicKey []byte
}

// EscrowVault wraps the private halves of escrow keys, each by a key of its own
// that is kept outside the database and all its backups.
type EscrowVault interface {
	// Wrap draws the wrapping key of id, makes it durable and wraps private.
	Wrap(id string, private []byte) ([]byte, error)
	// Unwrap is the reverse; the error wraps ErrShredded once Shred was done.
	Unwrap(id string, wrapped []byte) ([]byte, error)
	// Shred destroys the wrapping key for good; a second time changes nothing.
	Shred(id string) error
}
