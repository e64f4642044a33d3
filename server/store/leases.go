package store

import (
	"context"
	"time"

	"cutoff/server/device"
)

// SetLease notes a granted lease; the number must be the next. What the device
// said it holds and how long it may now be silent are d's.
func (t *Tx) SetLease(ctx context.Context, d *device.Device, number uint64, until, now time.Time) error {
	s := &d.Silence
	return t.oneDevice(ctx, `UPDATE devices SET lease_number = $1, lease_until = $2, last_contact = $3, granted_until = $4,
		seal_due = $5, purge_due = $6, said_lease = $7, said_order = $8
		WHERE id = $9 AND lease_number = $10`, number, micros(until), micros(now), micros(s.GrantedUntil),
		micros(s.SealDue), micros(s.PurgeDue),
		saidNumber(d.Said, d.Said.Lease), saidNumber(d.Said, d.Said.Order), d.ID, number-1)
}

// DeviceAndGroup reads a device and its group in one statement.
func (t *Tx) DeviceAndGroup(ctx context.Context, id string) (device.Device, device.Group, error) {
	var row groupRow
	d, err := scanDevice(t.tx.QueryRowContext(ctx, `SELECT `+deviceColumns+`, `+groupColumns+`
		FROM devices d JOIN groups g ON g.name = d.group_name WHERE d.id = $1`, id), row.targets()...)
	return d, row.group(), found(err, "device")
}
