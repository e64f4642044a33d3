package flow

import (
	"context"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

// CutTx is the part of a transaction that keeps cases, cuts, items, steps,
// orders, receipts and approvals.
type CutTx interface {
	InsertCase(ctx context.Context, c cut.Case) error
	// CaseByID is NotFound if there is none.
	CaseByID(ctx context.Context, id string) (cut.Case, error)
	// SetCase writes what may change of a case, if it is in state from.
	SetCase(ctx context.Context, from cut.CaseState, c cut.Case) error
	// CasesIn lists the ids of cases in a state asked for at or before a time.
	CasesIn(ctx context.Context, state cut.CaseState, before time.Time) ([]string, error)

	InsertCut(ctx context.Context, c cut.Cut) error
	// CutRow is a cut without its items, steps and approvals; NotFound if there is none.
	CutRow(ctx context.Context, id string) (cut.Cut, error)
	// SetCut writes what may change of a cut, if it is in state from.
	SetCut(ctx context.Context, from cut.State, c cut.Cut) error
	// SetCutReceipt writes of a cut in state from what a receipt alone changes:
	// its state and times, and what was heard of the device.
	SetCutReceipt(ctx context.Context, from cut.State, c cut.Cut) error
	// CutOfDevice is the device's cut that is held, open, settled or lifting;
	// found is false if it has none.
	CutOfDevice(ctx context.Context, deviceID string) (c cut.Cut, found bool, err error)
	// CutOrReserved is the same, else the cut of the id that is reserved for the
	// device, whatever its state.
	CutOrReserved(ctx context.Context, deviceID, reserved string) (c cut.Cut, found bool, err error)
	// CutOfSubject is the same for a cut of a person or of a credential.
	CutOfSubject(ctx context.Context, personID, credentialID string) (c cut.Cut, found bool, err error)
	// CutsOfCase lists the cuts of a case and those that wait for it, by id,
	// after the given one.
	CutsOfCase(ctx context.Context, caseID, after string, limit int) ([]cut.Cut, error)
	// Cuts lists cuts, newest first.
	Cuts(ctx context.Context, filter CutFilter) ([]cut.Cut, error)

	// NextDevices are a person's devices after one, by id.
	NextDevices(ctx context.Context, personID, after string, limit int) ([]device.Device, error)

	// CountUnit notes that unit was let through under budget at a time.
	CountUnit(ctx context.Context, budget Budget, unit string, at time.Time) error
	// UnitsSince lists the distinct units let through under budget since a time.
	UnitsSince(ctx context.Context, budget Budget, since time.Time) ([]string, error)
	// CountUnits is how many were let through since a time, the same one more
	// than once if it came more than once.
	CountUnits(ctx context.Context, budget Budget, since time.Time) (int, error)
	// Remaining is how many units the large cases being opened under budget
	// have still to come.
	Remaining(ctx context.Context, budget Budget) (int, error)

	// PutItems adds items of different ids, or replaces those with their ids if
	// replace is set.
	PutItems(ctx context.Context, cutID string, items []cut.Item, replace bool) error
	Items(ctx context.Context, cutID string) ([]cut.Item, error)
	// HasItem reports whether the cut's receipts list the item.
	HasItem(ctx context.Context, cutID, itemID string) (bool, error)

	InsertStep(ctx context.Context, s revoke.Step) error
	Step(ctx context.Context, id string) (revoke.Step, error)
	// SetStep writes what may change of a step, if it is in state from and,
	// where it is claimed, still by the same holder.
	SetStep(ctx context.Context, from revoke.State, holder string, s revoke.Step) error
	Steps(ctx context.Context, cutID string) ([]revoke.Step, error)
	// Lives is until when anything of a cut's items and steps may still work.
	Lives(ctx context.Context, cutID string) (revoke.Residual, error)
	// DueSteps lists what has a step due at now that nobody has a live claim on.
	DueSteps(ctx context.Context, now time.Time, limit int) ([]StepGroup, error)
	// HeldSteps lists the steps a holder has claimed.
	HeldSteps(ctx context.Context, holder string) ([]revoke.Step, error)

	InsertOrder(ctx context.Context, o order.Order) error
	OrderByID(ctx context.Context, id string) (order.Order, error)
	// DueOrder is the order the device has not answered yet and the highest
	// number the device has seen; found is false if there is none.
	DueOrder(ctx context.Context, deviceID string) (o order.Order, seen uint64, found bool, err error)
	// DevicesWithOrders lists the devices that have an unanswered order which may
	// be sent at now, and was not sent after the time since.
	DevicesWithOrders(ctx context.Context, now, since time.Time) ([]string, error)
	// OrdersOfCut lists a cut's orders, oldest first.
	OrdersOfCut(ctx context.Context, cutID string) ([]order.Order, error)
	// SetOrder writes what may change of an order, if it is in state from.
	SetOrder(ctx context.Context, from order.State, o order.Order) error

	// InsertReceipt notes a receipt by its digest; known is the digest of the
	// one stored before for the same cut, order and part, if any.
	InsertReceipt(ctx context.Context, r Receipt) (known []byte, err error)

	InsertApproval(ctx context.Context, caseID string, a cut.Approval) error
	Approvals(ctx context.Context, caseID string) ([]cut.Approval, error)
}

// Receipt is the row that makes a receipt's storing idempotent. Its bytes are
// in the evidence.
type Receipt struct {
	CutID   string
	OrderID string
	Part    uint32
	Digest  []byte
	At      time.Time
}

// CutFilter narrows a list of cuts; zero fields do not.
type CutFilter struct {
	State    cut.State
	DeviceID string
	PersonID string
	CaseID   string
	// Limit bounds the answer; zero is all.
	Limit int
}

// Budget is whose allowance of the brake a cut uses: a person's by name, or
// the machine's, which is counted as a whole and again for each group.
type Budget struct {
	Person string
	// Machine is set for policy, signals and silence.
	Machine bool
	// Group narrows the machine's; empty is the fleet.
	Group string
}
