// Package order decides whether the agent may act: it turns a signed order, or
// a lease that has run out, into a Verified, which is the only thing a journal
// takes and so the only way to a removal. Bytes are verified before they are
// parsed. It must not keep anything on disk, read a clock or carry anything
// out.
package order

import (
	"errors"
	"fmt"
	"time"

	"filippo.io/age"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Verified is the word to act that has been checked. Only Open and Expired make
// one; the zero value allows nothing.
type Verified struct {
	kind           cutoffv1.OrderKind
	cause          cutoffv1.Cause
	cutID          string
	caseID         string
	orderID        string
	number         uint64
	leaseNumber    uint64
	recipient      string
	reason         string
	nextGrant      []byte
	dropRegainable bool
	standingGrant  bool
	at             Moment
}

// Moment is one reading of the machine's clocks.
type Moment struct {
	// Wall is the wall clock, for people.
	Wall time.Time
	// Boot is the boot clock, which counts suspended time too.
	Boot time.Duration
	// BootID names the boot the boot clock counts from.
	BootID string
}

// At is when it was checked.
func (v Verified) At() Moment { return v.at }

// Valid reports whether v was made by a check and not by hand.
func (v Verified) Valid() bool { return v.kind != cutoffv1.OrderKind_ORDER_KIND_UNSPECIFIED }

// Kind says what to do: seal, purge or lift; or that the agent may be removed.
func (v Verified) Kind() cutoffv1.OrderKind { return v.kind }

// Cause says what moved the agent: an order or an expiry.
func (v Verified) Cause() cutoffv1.Cause { return v.cause }

// CutID is the cut it belongs to.
func (v Verified) CutID() string { return v.cutID }

// CaseID is the case of the decision; empty for an expiry.
func (v Verified) CaseID() string { return v.caseID }

// OrderID is the order's; empty for an expiry.
func (v Verified) OrderID() string { return v.orderID }

// Number is the order's number; 0 for an expiry.
func (v Verified) Number() uint64 { return v.number }

// LeaseNumber is the number of the lease that ran out; 0 for an order.
func (v Verified) LeaseNumber() uint64 { return v.leaseNumber }

// Recipient is the age recipient a seal encrypts to.
func (v Verified) Recipient() string { return v.recipient }

// Reason is what the person who ordered it wrote.
func (v Verified) Reason() string { return v.reason }

// NextGrant is, in a lift, the verified envelope of the new standing grant, or
// nil.
func (v Verified) NextGrant() []byte { return v.nextGrant }

// DropRegainable is set for an expiry of a group whose at_expiry is purge: what
// a sign-in regains is removed outright, the rest sealed.
func (v Verified) DropRegainable() bool { return v.dropRegainable }

// StandingGrant is set when the lease was unreadable and the standing grant
// spoke in its place.
func (v Verified) StandingGrant() bool { return v.standingGrant }

// State is what the agent knows when it judges. The zero value trusts nobody.
type State struct {
	// DeviceID is this device's.
	DeviceID string
	// OrderKeys and LeaseKeys are the roster's.
	OrderKeys signed.Keys
	LeaseKeys signed.Keys
	// Challenges are those this process drew.
	Challenges *Challenges
	// HighestOrder and HighestLease are the highest numbers ever accepted.
	HighestOrder uint64
	HighestLease uint64
	// Now is the clocks' reading.
	Now Moment
}

// Reason says why something signed was refused.
type Reason string

// Reasons of a refusal, as they travel in a Refusal.
const (
	Forged    Reason = "forged"
	Replayed  Reason = "replayed"
	Stale     Reason = "stale"
	Foreign   Reason = "foreign"
	Malformed Reason = "malformed"
)

// Refused is the error of Open, and of Lease and Grant, with what a signed
// Refusal needs. CutID and Number are empty unless a signature vouched for them.
type Refused struct {
	Reason Reason
	CutID  string
	Number uint64
	cause  string
}

// Error says why.
func (r *Refused) Error() string { return fmt.Sprintf("refused as %s: %s", r.Reason, r.cause) }

func refuse(reason Reason, cause string) *Refused { return &Refused{Reason: reason, cause: cause} }

// refuseEnvelope maps an error of proto/signed.
func refuseEnvelope(err error) *Refused {
	if errors.Is(err, signed.ErrUntrusted) {
		return refuse(Forged, "no signature by a key of the roster")
	}
	return refuse(Malformed, err.Error())
}

// maxID bounds an id and maxReason a reason, in bytes.
const (
	maxID     = 128
	maxReason = 4096
)

// checkID refuses ids that cannot be a name in the journal or a path.
func checkID(name, id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("%s of %d bytes", name, len(id))
	}
	for _, c := range []byte(id) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if !ok {
			return fmt.Errorf("%s with a byte that no id has", name)
		}
	}
	return nil
}

// checkRecipient refuses what age cannot encrypt to.
func checkRecipient(recipient string) error {
	if _, err := age.ParseX25519Recipient(recipient); err != nil {
		return errors.New("escrow recipient is not an age X25519 recipient")
	}
	return nil
}
