package flow

import (
	"context"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// OnInventory replaces what is known of the credentials on a device.
func (f *Flow) OnInventory(ctx context.Context, peer Peer, inventory *cutoffv1.Inventory) error {
	return errUnbuilt
}
