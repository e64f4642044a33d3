package flow

import (
	"context"
	"time"
)

// answerTime is how long a device that was sent an order is left in peace: it
// is at work on it.
const answerTime = 30 * time.Second

// OrdersDue names the devices to which an order is due now and was not sent a
// moment ago: those whose hint was lost, and those that never answered.
func (f *Flow) OrdersDue(ctx context.Context) (ids []string, err error) {
	now := f.now()
	err = f.store.View(ctx, func(tx Tx) error {
		ids, err = tx.DevicesWithOrders(ctx, now, now.Add(-answerTime))
		return err
	})
	return ids, err
}
