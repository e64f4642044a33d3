// Package cut holds one case: its level, state, items and what may still work
// of it. State moves only by its table; exposure is a pure function. It must
// not know how cuts are stored, delivered or carried out.
package cut

import (
	"errors"
	"fmt"
	"time"

	"cutoff/server/revoke"
)

// Level says whether a cut can be undone.
type Level string

// Levels. The empty level is invalid.
const (
	Seal  Level = "seal"
	Purge Level = "purge"
)

// State is where a cut stands.
type State string

// States of a cut.
const (
	Held    State = "held"
	Open    State = "open"
	Refused State = "refused"
	Lapsed  State = "lapsed"
	Settled State = "settled"
	Lifting State = "lifting"
	Lifted  State = "lifted"
)

// Cause says what asked for a cut.
type Cause string

// Causes.
const (
	Operator Cause = "operator"
	Policy   Cause = "policy"
	Expiry   Cause = "expiry"
	Signal   Cause = "signal"
)

// HeldFor is how long a held cut waits before it lapses.
const HeldFor = 24 * time.Hour

// ErrTransition says that a cut cannot move so.
var ErrTransition = errors.New("cut state does not allow it")

// Event is what moves a cut.
type Event string

// Events. Each is one row of the table.
const (
	// Approve lets a held cut through.
	Approve Event = "approve"
	// Refuse turns a held cut down.
	Refuse Event = "refuse"
	// Lapse ends a held cut nobody decided.
	Lapse Event = "lapse"
	// SelfSealed: an agent's own seal arrived for it.
	SelfSealed Event = "self-sealed"
	// Settle: nothing is due any more.
	Settle Event = "settle"
	// Reopen: a late receipt, a retry or an escalation made something due.
	Reopen Event = "reopen"
	// Lift ends it.
	Lift Event = "lift"
	// Return: everything is back.
	Return Event = "return"
	// CutAgain: a lift is superseded by a new decision.
	CutAgain Event = "cut-again"
)

var table = map[State]map[Event]State{
	Held:    {Approve: Open, Refuse: Refused, Lapse: Lapsed, SelfSealed: Open},
	Refused: {SelfSealed: Lifting},
	Lapsed:  {SelfSealed: Open},
	Open:    {Settle: Settled, Lift: Lifting, Reopen: Open, SelfSealed: Open},
	Settled: {Reopen: Open, Lift: Lifting, SelfSealed: Open},
	Lifting: {Return: Lifted, CutAgain: Open},
}

// Next returns the state after event; the pair must be in the table.
func Next(from State, event Event) (State, error) {
	to, ok := table[from][event]
	if !ok {
		return from, fmt.Errorf("%w: %s in state %s", ErrTransition, event, from)
	}
	return to, nil
}

// Cut is one case for one device, or for none. Zero times mean not yet.
type Cut struct {
	ID           string
	CaseID       string
	DeviceID     string
	PersonID     string
	CredentialID string
	Level        Level
	State        State
	Cause        Cause
	Reason       string
	// Actor is the person or machine part that asked for it.
	Actor      string
	HeldReason string
	// LetThrough is set once its cloud steps may run.
	LetThrough bool
	OpenedAt   time.Time
	SettledAt  time.Time
	LiftReason string
	LiftActor  string
	// Delivered and ReceiptAt are of its newest order.
	DeliveredAt time.Time
	ReceiptAt   time.Time
	// FirstRemoved is how long after delivery the first item was gone, as the
	// receipt says; zero if nothing was removed.
	FirstRemoved time.Duration
	OrderState   string
	// ReceiptDue says that the device still owes its answer.
	ReceiptDue bool
	Items      []Item
	Steps      []revoke.Step
	Approvals  []Approval
}

// Active reports whether the cut stands (so that its device gets no lease).
func (c *Cut) Active() bool { return c.State == Open || c.State == Settled || c.State == Lifting }

// Item is one credential on the device, as its receipts say.
type Item struct {
	ID          string
	Product     string
	User        string
	Path        string
	Action      string
	Outcome     revoke.Outcome
	Detail      string
	Residual    revoke.Residual
	Identifiers []Identifier
	Sealed      bool
	Regain      string
	Confidence  string
}

// Identifier is one non-secret name of a credential.
type Identifier struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// Approval is one person's word on a held cut.
type Approval struct {
	Actor   string
	Verdict string
	Reason  string
	At      time.Time
}
