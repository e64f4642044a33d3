package flow

import (
	"context"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

var errSoon = fault.New(fault.Unavailable, "not built yet")

// Open is the one function that opens cuts.
func (f *Flow) Open(ctx context.Context, request OpenRequest) (caseID string, cuts []cut.Cut, err error) {
	return "", nil, errSoon
}

func (f *Flow) Preview(ctx context.Context, request OpenRequest) (Preview, error) {
	return Preview{}, errSoon
}

// Approve takes a cut or case id; the whole case is let through.
func (f *Flow) Approve(ctx context.Context, actor Actor, id, reason string) (cut.Cut, error) {
	return cut.Cut{}, errSoon
}

func (f *Flow) Refuse(ctx context.Context, actor Actor, id, reason string) (cut.Cut, error) {
	return cut.Cut{}, errSoon
}

func (f *Flow) LapseHeld(ctx context.Context) error { return errSoon }

// ResumeCases finishes large cases that a crash left half opened; daemon calls it at start and every few seconds.
func (f *Flow) ResumeCases(ctx context.Context) error { return errSoon }

func (f *Flow) Lift(ctx context.Context, actor Actor, cutID, reason string) (cut.Cut, error) {
	return cut.Cut{}, errSoon
}

// Cut is whole: with items, steps, approvals.
func (f *Flow) Cut(ctx context.Context, id string) (cut.Cut, error) { return cut.Cut{}, errSoon }

// Case lists the whole cuts of a case.
func (f *Flow) Case(ctx context.Context, id string) ([]cut.Cut, error) { return nil, errSoon }

// Cuts lists cuts newest first, without items and steps; exposures come along by cut id.
func (f *Flow) Cuts(ctx context.Context, filter CutFilter) ([]cut.Cut, error) { return nil, errSoon }

// Exposure of a whole cut, as of the server's clock.
func (f *Flow) Exposure(c *cut.Cut) revoke.Residual { return cut.Exposure(c, f.now()) }

func (f *Flow) PendingOrder(ctx context.Context, peer Peer, challenge []byte) ([]byte, error) {
	return nil, errSoon
}

func (f *Flow) OnOrderReceived(ctx context.Context, peer Peer, orderID string) error { return errSoon }

func (f *Flow) OnReceipt(ctx context.Context, peer Peer, envelope []byte) (*cutoffv1.ReceiptAck, error) {
	return nil, errSoon
}

func (f *Flow) OnRefusal(ctx context.Context, peer Peer, envelope []byte) error { return errSoon }

func (f *Flow) Unseal(ctx context.Context, peer Peer, cutID string, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
	return nil, errSoon
}

func (f *Flow) DueSteps(ctx context.Context, now time.Time, limit int) ([]StepGroup, error) {
	return nil, errSoon
}

func (f *Flow) ClaimSteps(ctx context.Context, cutID, connector, holder string, until time.Time) ([]revoke.Step, error) {
	return nil, errSoon
}

func (f *Flow) OnStep(ctx context.Context, step revoke.Step, result revoke.Result) error {
	return errSoon
}

func (f *Flow) ReleaseSteps(ctx context.Context, holder string) error { return errSoon }
