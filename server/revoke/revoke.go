// Package revoke holds one step: a thing to revoke at one provider, the table
// by which its state moves, and the vocabulary in which a connector answers.
// Connectors import it; it must not know any of them, nor the queue.
package revoke

import (
	"errors"
	"fmt"
	"time"

	"cutoff/server/device"
)

// Outcome is what was proved of a step or an item.
type Outcome string

// Outcomes.
const (
	Verified    Outcome = "verified"
	Accepted    Outcome = "accepted"
	Unsupported Outcome = "unsupported"
	Retrying    Outcome = "retrying"
	Blocked     Outcome = "blocked"
)

// Proof is how an outcome was proved: L0 accepted only, L1 read back, L2
// probed with the credential, L3 the provider's own log.
type Proof string

// Proof levels; empty is none yet.
const (
	L0 Proof = "L0"
	L1 Proof = "L1"
	L2 Proof = "L2"
	L3 Proof = "L3"
)

// Residual is until when something may still work. The zero value is none.
type Residual struct {
	Until     time.Time
	Unbounded bool
}

// String is an RFC 3339 time, "none" or "unbounded".
func (r Residual) String() string {
	switch {
	case r.Unbounded:
		return "unbounded"
	case r.Until.IsZero():
		return "none"
	default:
		return r.Until.UTC().Format(time.RFC3339)
	}
}

// Later returns the one that lasts longer.
func (r Residual) Later(o Residual) Residual {
	if r.Unbounded || o.Unbounded {
		return Residual{Unbounded: true}
	}
	if o.Until.After(r.Until) {
		return o
	}
	return r
}

// State is where a step stands.
type State string

// States of a step.
const (
	Planned   State = "planned"
	Claimed   State = "claimed"
	Revoked   State = "revoked"
	Confirmed State = "confirmed"
	Stuck     State = "blocked"
	Withdrawn State = "withdrawn"
)

// ErrTransition says that a step cannot move so.
var ErrTransition = errors.New("step state does not allow it")

// Event is what moves a step.
type Event string

// Events. Each is a row of the table.
const (
	// Claim: a worker takes it.
	Claim Event = "claim"
	// Act: the provider did it; what is left, if anything, is confirming.
	Act Event = "act"
	// Confirm: it was read back or probed dead.
	Confirm Event = "confirm"
	// Retry: it has to be done, or to be confirmed, again later.
	Retry Event = "retry"
	// Block: a person is needed, or it is out of reach.
	Block Event = "block"
	// Release: the worker gave it back, or its claim ran out.
	Release Event = "release"
	// Withdraw: the decision behind it is gone.
	Withdraw Event = "withdraw"
)

// A closed step (confirmed, withdrawn) never moves again; doing its work anew
// is a new step.
var table = map[State]map[Event]State{
	Planned: {Claim: Claimed, Block: Stuck, Withdraw: Withdrawn},
	Claimed: {Act: Revoked, Confirm: Confirmed, Retry: Planned, Block: Stuck, Release: Planned, Claim: Claimed, Withdraw: Withdrawn},
	Revoked: {Claim: Claimed, Confirm: Confirmed, Retry: Planned, Block: Stuck, Withdraw: Withdrawn},
	Stuck:   {Retry: Planned, Withdraw: Withdrawn},
}

// Next returns the state after event; the pair must be in the table.
func Next(from State, event Event) (State, error) {
	to, ok := table[from][event]
	if !ok {
		return from, fmt.Errorf("%w: %s in state %s", ErrTransition, event, from)
	}
	return to, nil
}

// Scope says whom a step touches.
type Scope string

// Scopes.
const (
	ScopeDevice   Scope = "device"
	ScopeSessions Scope = "sessions"
	ScopePerson   Scope = "person"
)

// Undo says what undoing a step takes.
type Undo string

// Undos.
const (
	UndoFull   Undo = "full"
	UndoSignIn Undo = "sign-in"
	UndoNone   Undo = "none"
)

// NoConnector is the connector of a step that nothing configured can reach.
const NoConnector = "none"

// Escrow is the connector of the step that shreds a device's escrow key: the
// server itself, by its vault.
const Escrow = "escrow"

// Step is one thing to revoke at one provider. A zero Due means closed.
type Step struct {
	ID    string
	CutID string
	// Connector is the configured connector's name.
	Connector string
	// Action is the connector's own name for what is done: refresh-tokens,
	// sessions, disable-user …
	Action string
	// Target is what people read: alice@example.com, token 3f…, key AKIA…
	Target string
	// Params are what the connector needs to find the target; never a secret.
	Params map[string]string
	Scope  Scope
	Undo   Undo
	// UndoOf is the id of the step this one undoes, or empty.
	UndoOf string
	// Rank orders the steps of one connector: low first.
	Rank  int
	State State
	// Acted is set once the act itself is done: what is due is confirming.
	Acted    bool
	Outcome  Outcome
	Proof    Proof
	Residual Residual
	Detail   string
	Attempts int
	Due      time.Time
	DoneAt   time.Time
	// Holder and ClaimedUntil are the claim under which a worker acts.
	Holder       string
	ClaimedUntil time.Time
	// Memo is what Revoke noted for Confirm and for an undo; never a secret.
	Memo map[string]string
}

// Counts reports whether the step is part of what the cut must end: not
// withdrawn, and not an undo.
func (s *Step) Counts() bool { return s.State != Withdrawn && s.UndoOf == "" }

// Open reports whether something of the step is still due.
func (s *Step) Open() bool { return !s.Due.IsZero() }

// Spec is a step as a connector plans it: everything but its life.
type Spec struct {
	Connector string
	Action    string
	Target    string
	Params    map[string]string
	Scope     Scope
	Undo      Undo
	Rank      int
	// Residual is known before anything is called (an expiry, a token's life).
	Residual Residual
	// Unsupported is set, with Detail, when the connector already knows that
	// it cannot do it.
	Unsupported bool
	// Blocked is set, with Detail, when a person is needed before anything can be
	// done: an account that is not found is never skipped.
	Blocked bool
	Detail  string
}

// Subject is whom and what a cut is about: what a connector plans from.
type Subject struct {
	Level string
	// PersonScope is true for a cut of a person: sign-in is blocked, all keys go.
	PersonScope bool
	// PersonID is whom the cut is about; empty for a device that is nobody's.
	PersonID string
	// Cause and CutID are the cut's; OpenedAt its line: what was issued before it
	// is to die.
	Cause    string
	CutID    string
	OpenedAt time.Time
	DeviceID string
	Hostname string
	// Accounts are the person's accounts at this connector; Email the person's.
	Accounts    []string
	Email       string
	Credentials []Credential
	// Certificates were ever seen on the device and have not ended: what was
	// renewed lies there no more, but lives.
	Certificates []device.Certificate
	// OneCredential is set where one credential is cut, and not its device.
	OneCredential bool
}

// Credential is one of the inventory, by non-secret names only.
type Credential struct {
	ID          string
	Product     string
	Path        string
	Identifiers map[string]string
	// Names are all of its identifiers in the order they were found, also those
	// of one kind: a file may hold several certificates.
	Names   []device.Identifier
	Expires time.Time
	// Held is set when the server holds the token itself (see Secrets).
	Held      bool
	Connector string
	TokenType string
}

// Result is a connector's answer to Revoke or Confirm.
type Result struct {
	// Outcome: Verified or Accepted close the step (Accepted only if nothing
	// more can be proved), Retrying makes it due again, Unsupported and
	// Blocked close it.
	Outcome Outcome
	Proof   Proof
	// Detail is one finer word or safe sentence; never a secret, never a body.
	Detail   string
	Residual Residual
	// Again is when to come back: a Retry-After, or a confirmation that must
	// wait. Zero lets the queue choose by back-off.
	Again time.Duration
	// Done says that the act itself is done and what is left is confirming.
	Done bool
	Memo map[string]string
}
