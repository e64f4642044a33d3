package store

import (
	"context"
	"time"
)

// DevicesWithOrders lists the devices that have an unanswered order which may
// be sent at now, and was not sent after the time since. A refused one is its
// own due time's affair.
func (t *Tx) DevicesWithOrders(ctx context.Context, now, since time.Time) ([]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT DISTINCT device_id FROM orders
		WHERE state IN ('drafted', 'delivered', 'refused') AND (not_before IS NULL OR not_before <= $1)
		AND (sent_at IS NULL OR sent_at <= $2 OR state = 'refused')`, micros(now), micros(since))
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, wrap(err)
		}
		ids = append(ids, id)
	}
	return ids, wrap(rows.Err())
}
