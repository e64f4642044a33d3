// Package cut holds one case: its level, state, items and what may still work
// of it. State moves only by its table; exposure is a pure function. It must
// not know how cuts are stored, delivered or carried out.
package cut

import (
	"errors"
	"fmt"
	"time"

	"cutoff/server/order"
	"cutoff/server/revoke"
)

// Level says whether a cut can be undone.
type Level string

// Levels. The empty level is invalid.
const (
	Seal  Level = "seal"
	Purge Level = "purge"
)

// Valid reports whether l is a level.
func (l Level) Valid() bool { return l == Seal || l == Purge }

// Above reports whether l takes more than o.
func (l Level) Above(o Level) bool { return l == Purge && o == Seal }

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
	// AskAgain: a new decision for a device whose last one was turned down. A
	// device has one reserved cut id until a lift, so the cut is the same.
	AskAgain Event = "ask-again"
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

// A lifted cut's id can still come back from a device that sealed itself under
// an old standing grant before it heard of the lift: it is lifted again. A
// seal that arrives during a lift changes nothing: the lift restores it too.
var table = map[State]map[Event]State{
	Held:    {Approve: Open, Refuse: Refused, Lapse: Lapsed, SelfSealed: Open},
	Refused: {SelfSealed: Lifting, AskAgain: Held},
	Lapsed:  {SelfSealed: Open, AskAgain: Held},
	Open:    {Settle: Settled, Lift: Lifting, Reopen: Open, SelfSealed: Open},
	Settled: {Settle: Settled, Reopen: Open, Lift: Lifting, SelfSealed: Open},
	Lifting: {Return: Lifted, CutAgain: Open, SelfSealed: Lifting},
	Lifted:  {SelfSealed: Lifting},
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
	// Hostname is of its device, for people.
	Hostname string
	Level    Level
	State    State
	Cause    Cause
	Reason   string
	// Actor is the person or machine part that asked for it.
	Actor      string
	HeldReason string
	// LetThrough is set once its cloud steps may run.
	LetThrough bool
	// Stepless is set when its row was read and it had no step, so that none
	// need be looked for.
	Stepless bool
	// PendingCase is the case that waits to raise its level, or to let its
	// cloud steps through; empty if none does.
	PendingCase string
	// Escrow is the id of the key its sealed items are encrypted to.
	Escrow     string
	OpenedAt   time.Time
	SettledAt  time.Time
	LiftReason string
	LiftActor  string
	LiftedAt   time.Time
	// DeliveredAt is of its newest order; ReceiptAt of the newest receipt.
	DeliveredAt time.Time
	ReceiptAt   time.Time
	// FirstRemoved is how long after it was received the first item was gone,
	// as the receipt says; zero if nothing was removed.
	FirstRemoved time.Duration
	// ReceiptNumber and ReceiptPart are the highest applied.
	ReceiptNumber uint64
	ReceiptPart   uint32
	// Unfinished is set while the device says that it still tries something.
	Unfinished bool
	// OrderID, OrderState and OrderKind are of its newest order.
	OrderID    string
	OrderState order.State
	OrderKind  order.Kind
	Items      []Item
	Steps      []revoke.Step
	// Lives stands for Items and Steps where they were left out: until when
	// anything of them may still work.
	Lives     *revoke.Residual
	Approvals []Approval
}

// SetOrder notes the state and kind of the newest order; empty is none.
func (c *Cut) SetOrder(state, kind string) {
	c.OrderState, c.OrderKind = order.State(state), order.Kind(kind)
	if state == "" {
		c.OrderState = order.None
	}
}

// Standing reports whether the state is that of a cut that stands, so that its
// device gets no lease.
func (s State) Standing() bool { return s == Open || s == Settled || s == Lifting }

// Active reports whether the cut stands (so that its device gets no lease).
func (c *Cut) Active() bool { return c.State.Standing() }

// ReceiptDue reports whether the device still owes the answer to an order.
func (c *Cut) ReceiptDue() bool { return c.OrderState.Due() }

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

// Verdicts of an approval.
const (
	Approved   = "approve"
	TurnedDown = "refuse"
)

// Approval is one person's word on a held cut.
type Approval struct {
	Actor string
	// Person is the name under which it counts.
	Person  string
	Verdict string
	Reason  string
	At      time.Time
}

// Case is one decision: what was asked, by whom, and whether it was let
// through. All its cuts share its id.
type Case struct {
	ID           string
	DeviceID     string
	PersonID     string
	CredentialID string
	Level        Level
	Cause        Cause
	Reason       string
	// Actor asked; Person is the name under which brake and approvals count.
	Actor   string
	Person  string
	Machine bool
	State   CaseState
	// Needs is how many people other than the asker must agree.
	Needs      int
	HeldReason string
	AskedAt    time.Time
	// Cursor is the last device of a large case already dealt with, and
	// Remaining how many units of the brake are still to come.
	Cursor    string
	Remaining int
}

// CaseState is where a decision stands.
type CaseState string

// States of a case. A case that is being held or opened has devices left to
// deal with: large ones are worked off in batches.
const (
	CaseHolding CaseState = "holding"
	CaseHeld    CaseState = "held"
	CaseOpening CaseState = "opening"
	CaseOpen    CaseState = "open"
	CaseRefused CaseState = "refused"
	CaseLapsed  CaseState = "lapsed"
)
