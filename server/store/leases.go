package store

import (
	"context"
	"time"

	"cutoff/server/device"
)

// SetLease notes a granted lease; the number must be the next.
func (t *Tx) SetLease(ctx context.Context, id string, number uint64, until, now time.Time) error {
	return t.oneDevice(ctx, `UPDATE devices SET lease_number = $1, lease_until = $2, last_contact = $3
		WHERE id = $4 AND lease_number = $5`, number, micros(until), micros(now), id, number-1)
}

// DeviceAndGroup reads a device and its group in one statement.
func (t *Tx) DeviceAndGroup(ctx context.Context, id string) (device.Device, device.Group, error) {
	var row groupRow
	d, err := scanDevice(t.tx.QueryRowContext(ctx, `SELECT `+deviceColumns+`, `+groupColumns+`
		FROM devices d JOIN groups g ON g.name = d.group_name WHERE d.id = $1`, id), row.targets()...)
	return d, row.group(), found(err, "device")
}
