package store

import (
	"context"
	"time"
)

// SetLease notes a granted lease; the number must be the next.
func (t *Tx) SetLease(ctx context.Context, id string, number uint64, until, now time.Time) error {
	return t.oneDevice(ctx, `UPDATE devices SET lease_number = $1, lease_until = $2, last_contact = $3
		WHERE id = $4 AND lease_number = $5`, number, micros(until), micros(now), id, number-1)
}
