package flow

import (
	"context"

	"cutoff/server/device"

	"filippo.io/age"
)

// Reservation is the cut id and escrow key for a device's next cut.
type Reservation struct {
	CutID     string
	EscrowID  string
	Recipient string
	wrapped   []byte
}

// reserve draws the device's next reservation and keeps it: the escrow's row
// and the device's columns.
func (f *Flow) reserve(ctx context.Context, tx DeviceTx, deviceID string) (Reservation, error) {
	return Reservation{}, errUnbuilt
}

// escrowIdentity unwraps the private half of an escrow, to open the headers of
// a lift.
func (f *Flow) escrowIdentity(ctx context.Context, tx DeviceTx, escrowID string) (age.Identity, error) {
	return nil, errUnbuilt
}

// grant signs the standing grant for the device's reservation.
func (f *Flow) grant(d *device.Device) ([]byte, error) { return nil, errUnbuilt }

// resolveDevice finds a device by id or unique hostname.
func (f *Flow) resolveDevice(ctx context.Context, tx DeviceTx, idOrHostname string) (device.Device, error) {
	return device.Device{}, errUnbuilt
}
