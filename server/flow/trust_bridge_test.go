package flow

import (
	"context"

	"cutoff/server/evidence"
)

// Record lets tests record an event as the flow's own functions do.
func (f *Flow) Record(ctx context.Context, tx EvidenceTx, event evidence.Event) error {
	return f.record(ctx, tx, event)
}
