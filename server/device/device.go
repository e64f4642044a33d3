// Package device holds what an enrolment is: its identity, its state and the
// table by which the state moves. It must not know how a device is stored or
// reached.
package device

import (
	"errors"
	"fmt"
	"time"
)

// State is where a device stands.
type State string

// States of a device. The empty state is invalid.
const (
	Pending State = "pending"
	Trusted State = "trusted"
	Warned  State = "warned"
	Sealed  State = "sealed"
	Purged  State = "purged"
	Retired State = "retired"
)

// ErrTransition says that a device cannot move so.
var ErrTransition = errors.New("device state does not allow it")

var moves = map[State][]State{
	Pending: {Trusted, Sealed, Purged, Retired},
	Trusted: {Warned, Sealed, Purged, Retired},
	Warned:  {Trusted, Sealed, Purged, Retired},
	Sealed:  {Trusted, Purged, Retired},
	Purged:  {Retired},
}

// Move returns to if the table allows it from from; staying is always allowed.
func Move(from, to State) (State, error) {
	if from == to && from != "" {
		return to, nil
	}
	for _, s := range moves[from] {
		if s == to {
			return to, nil
		}
	}
	return from, fmt.Errorf("%w: %s to %s", ErrTransition, from, to)
}

// Device is one enrolment. Zero times mean never.
type Device struct {
	ID       string
	Group    string
	Hostname string
	OS       string
	Arch     string
	State    State
	// Anchor tells the same machine enrolled anew.
	Anchor []byte
	// PublicKey is the device key: a raw Ed25519 public key, 32 bytes.
	PublicKey    []byte
	AgentVersion string
	// TrialRoot is the agent's --root, or empty.
	TrialRoot string
	PersonID  string
	// CutID is the standing cut, or empty.
	CutID string
	// ReservedCut and Escrow are the ids under which its next cut will be
	// opened, whatever the cause; Recipient is the escrow's age recipient.
	ReservedCut string
	Escrow      string
	Recipient   string
	// CurrentSerial and NextSerial are of its certificates (hex). Next becomes
	// current at its first use; anything else is superseded.
	CurrentSerial string
	NextSerial    string
	// OrderNumber and LeaseNumber are the highest ever used for it.
	OrderNumber uint64
	LeaseNumber uint64
	Facts       []string
	EnrolledAt  time.Time
	LastContact time.Time
	LeaseUntil  time.Time
	// ExtendedUntil is the latest end of a lease with any extension ever given.
	ExtendedUntil time.Time
	// LeaseCodes are the hashes of its one-time codes, as its leases carry them.
	LeaseCodes   []byte
	InventoryAt  time.Time
	PostureAt    time.Time
	RetiredAt    time.Time
	EnrolledWith string
	Silence      Silence
	Said         Said
}

// GrantedUntil is until when the device may trust itself at most: its lease,
// and every extension it was ever given. Zero: it never had a lease.
func (d *Device) GrantedUntil() time.Time {
	if d.ExtendedUntil.After(d.LeaseUntil) {
		return d.ExtendedUntil
	}
	return d.LeaseUntil
}

// Trial reports whether the device was enrolled with --root.
func (d *Device) Trial() bool { return d.TrialRoot != "" }
