package flow

import (
	"context"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// OnReport keeps the posture a device reported, holds it against the policy and
// acts on the decision.
func (f *Flow) OnReport(ctx context.Context, peer Peer, report *cutoffv1.Report) error {
	return errUnbuilt
}
