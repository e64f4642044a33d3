package flow

import (
	"context"
	"fmt"

	"filippo.io/age"

	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/escrow"
	"cutoff/server/lease"
)

// Reservation is the cut id and escrow key for a device's next cut, whatever
// its cause. An escrow key is never used again after a lift.
type Reservation struct {
	CutID     string
	EscrowID  string
	Recipient string
	wrapped   []byte
}

// drawReservation draws a reservation. The wrapping key is durable before it
// returns, so that no row ever refers to one that is not there; what is drawn
// and then not kept wraps nothing and harms nobody.
func (f *Flow) drawReservation() (Reservation, error) {
	recipient, private, err := escrow.Draw()
	if err != nil {
		return Reservation{}, err
	}
	r := Reservation{CutID: newID("cut_"), EscrowID: newID("esc_"), Recipient: recipient}
	defer clear(private)
	if r.wrapped, err = f.vault.Wrap(r.EscrowID, private); err != nil {
		return Reservation{}, fmt.Errorf("wrap escrow key: %w", err)
	}
	return r, nil
}

// keepReservation adds the escrow's row. The device's row is the caller's.
func (f *Flow) keepReservation(ctx context.Context, tx DeviceTx, deviceID string, r Reservation) error {
	err := tx.InsertEscrow(ctx, escrow.Escrow{
		ID: r.EscrowID, DeviceID: deviceID, CutID: r.CutID, Recipient: r.Recipient, Wrapped: r.wrapped, CreatedAt: f.now(),
	})
	if err != nil {
		return fmt.Errorf("keep escrow key: %w", err)
	}
	return nil
}

// reserve draws the device's next reservation and keeps it: the escrow's row
// and the device's columns.
func (f *Flow) reserve(ctx context.Context, tx DeviceTx, deviceID string) (Reservation, error) {
	r, err := f.drawReservation()
	if err != nil {
		return Reservation{}, err
	}
	if err := f.keepReservation(ctx, tx, deviceID, r); err != nil {
		return Reservation{}, err
	}
	return r, tx.SetReservation(ctx, deviceID, r.CutID, r.EscrowID, r.Recipient)
}

// escrowIdentity unwraps the private half of an escrow, to open the headers of
// a lift. The error wraps ErrShredded if it is gone for good.
func (f *Flow) escrowIdentity(ctx context.Context, tx DeviceTx, escrowID string) (age.Identity, error) {
	e, err := tx.Escrow(ctx, escrowID)
	if err != nil {
		return nil, err
	}
	if e.Shredded() {
		return nil, ErrShredded
	}
	private, err := f.vault.Unwrap(e.ID, e.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("unwrap escrow key: %w", err)
	}
	defer clear(private)
	return escrow.Identity(private)
}

// grant signs the standing grant for the device's reservation, with the
// deadlines of its group g: they hold until its first lease. A device that waits
// for a person has none to miss.
func (f *Flow) grant(d *device.Device, g *device.Group) ([]byte, error) {
	envelope, err := signed.Seal(signed.TypeGrant, lease.Standing(d, g), f.signers.Lease)
	if err != nil {
		return nil, fmt.Errorf("sign standing grant: %w", err)
	}
	return envelope, nil
}
