// Package order holds the signed instruction of a cut to its device: what it
// says, the table by which its state moves, and how it becomes an envelope. It
// must not decide that there is one, nor know how it travels.
package order

import (
	"crypto"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Kind says what an order tells the agent to do. The empty kind is invalid.
type Kind string

// Kinds.
const (
	Seal      Kind = "seal"
	Purge     Kind = "purge"
	Lift      Kind = "lift"
	Uninstall Kind = "uninstall"
)

// State is where an order stands. None is no order at all.
type State string

// States of an order.
const (
	None    State = "none"
	Drafted State = "drafted"
	// Delivered: the device verified and journalled it.
	Delivered State = "delivered"
	// Done: its receipt is stored and nothing more is due on the device.
	Done State = "done"
	// Partial: a receipt is stored, the device still tries the rest.
	Partial State = "partial"
	// Refused: the device said no. It is offered again later, for a refusal
	// can be the work of whoever sits between.
	Refused State = "refused"
	// Superseded: another order took its place.
	Superseded State = "superseded"
)

// Event is what moves an order.
type Event string

// Events. Each is a row of the table.
const (
	// Deliver: the device said that it has it.
	Deliver Event = "deliver"
	// Complete: a receipt that leaves nothing due.
	Complete Event = "complete"
	// Answer: a receipt that leaves something due.
	Answer Event = "answer"
	// Refuse: the device's signed refusal.
	Refuse Event = "refuse"
	// Supersede: a lift, an escalation or a new cut took its place.
	Supersede Event = "supersede"
)

// ErrTransition says that an order cannot move so.
var ErrTransition = errors.New("order state does not allow it")

// A receipt may come before the word that the order arrived (the stream broke
// between the two), and after the order was superseded (it was on its way): the
// device did it all the same, so a superseded order stays what it is.
var table = map[State]map[Event]State{
	Drafted:    {Deliver: Delivered, Complete: Done, Answer: Partial, Refuse: Refused, Supersede: Superseded},
	Delivered:  {Deliver: Delivered, Complete: Done, Answer: Partial, Refuse: Refused, Supersede: Superseded},
	Refused:    {Deliver: Delivered, Complete: Done, Answer: Partial, Refuse: Refused, Supersede: Superseded},
	Partial:    {Deliver: Partial, Complete: Done, Answer: Partial, Supersede: Superseded},
	Done:       {Deliver: Done, Complete: Done, Answer: Partial},
	Superseded: {Deliver: Superseded, Complete: Superseded, Answer: Superseded, Refuse: Superseded},
}

// Next returns the state after event; the pair must be in the table.
func Next(from State, event Event) (State, error) {
	to, ok := table[from][event]
	if !ok {
		return from, fmt.Errorf("%w: %s in state %s", ErrTransition, event, from)
	}
	return to, nil
}

// Due reports whether an order in this state still has to reach the device.
func (s State) Due() bool { return s == Drafted || s == Delivered || s == Refused }

// MaxJump bounds how far above the stored number a device's own may be before
// it is a sign of a rolled-back server or a lying device instead of a lost
// write.
const MaxJump = 1 << 32

// ErrExhausted says that a device's order numbers are used up.
var ErrExhausted = errors.New("order numbers are used up")

// NextNumber is the number an order is signed with: above everything the
// server stored and the device is known to have seen.
func NextNumber(stored, reported uint64) (uint64, error) {
	top := max(stored, reported)
	if top >= math.MaxInt64 {
		return 0, ErrExhausted
	}
	return top + 1, nil
}

// Order is one order of a cut. Zero times mean not yet.
type Order struct {
	ID       string
	CutID    string
	CaseID   string
	DeviceID string
	Kind     Kind
	State    State
	// Number is the one it was last signed with; zero if it never left.
	Number uint64
	// Recipient is the escrow key's public half, for a seal.
	Recipient string
	// NextGrant is, in a lift, the new standing grant's envelope.
	NextGrant []byte
	Reason    string
	CreatedAt time.Time
	// SentAt is when it was last signed and handed out.
	SentAt      time.Time
	DeliveredAt time.Time
	DoneAt      time.Time
	// Detail is the device's reason for a refusal.
	Detail string
	// NotBefore holds back an order the device refused.
	NotBefore time.Time
}

// Sent reports whether the order may have left the server.
func (o *Order) Sent() bool { return o.Number > 0 }

// Sign makes the envelope that answers challenge, as number, at now.
func (o *Order) Sign(signer crypto.Signer, challenge []byte, number uint64, now time.Time) ([]byte, error) {
	kind, err := o.Kind.wire()
	if err != nil {
		return nil, err
	}
	return signed.Seal(signed.TypeOrder, &cutoffv1.Order{
		OrderId: o.ID, CutId: o.CutID, CaseId: o.CaseID, DeviceId: o.DeviceID,
		Kind: kind, Number: number, Challenge: challenge, EscrowRecipient: o.Recipient,
		Reason: o.Reason, IssuedAt: timestamppb.New(now), NextGrant: o.NextGrant,
	}, signer)
}

func (k Kind) wire() (cutoffv1.OrderKind, error) {
	switch k {
	case Seal:
		return cutoffv1.OrderKind_ORDER_KIND_SEAL, nil
	case Purge:
		return cutoffv1.OrderKind_ORDER_KIND_PURGE, nil
	case Lift:
		return cutoffv1.OrderKind_ORDER_KIND_LIFT, nil
	case Uninstall:
		return cutoffv1.OrderKind_ORDER_KIND_UNINSTALL, nil
	}
	return 0, fmt.Errorf("order kind %q", string(k))
}

// KindOf reads a kind from the wire; false for one that is not known.
func KindOf(k cutoffv1.OrderKind) (Kind, bool) {
	switch k {
	case cutoffv1.OrderKind_ORDER_KIND_SEAL:
		return Seal, true
	case cutoffv1.OrderKind_ORDER_KIND_PURGE:
		return Purge, true
	case cutoffv1.OrderKind_ORDER_KIND_LIFT:
		return Lift, true
	case cutoffv1.OrderKind_ORDER_KIND_UNINSTALL:
		return Uninstall, true
	}
	return "", false
}
