package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"cutoff/server/order"
)

const orderColumns = `o.id, o.cut_id, o.case_id, o.device_id, o.kind, o.state, o.number, o.recipient, o.next_grant,
	o.reason, o.created_at, o.sent_at, o.delivered_at, o.done_at, o.detail, o.not_before`

const orderQuery = `SELECT ` + orderColumns + ` FROM orders o `

// scanOrder reads orderColumns, and more columns after them into more.
func scanOrder(row interface{ Scan(...any) error }, more ...any) (order.Order, error) {
	var o order.Order
	var created, sent, delivered, done, notBefore sql.NullInt64
	err := row.Scan(append([]any{
		&o.ID, &o.CutID, &o.CaseID, &o.DeviceID, &o.Kind, &o.State, &o.Number, &o.Recipient, &o.NextGrant,
		&o.Reason, &created, &sent, &delivered, &done, &o.Detail, &notBefore,
	}, more...)...)
	if err != nil {
		return order.Order{}, err
	}
	o.CreatedAt, o.SentAt, o.DeliveredAt = timeOf(created), timeOf(sent), timeOf(delivered)
	o.DoneAt, o.NotBefore = timeOf(done), timeOf(notBefore)
	return o, nil
}

// InsertOrder adds an order.
func (t *Tx) InsertOrder(ctx context.Context, o order.Order) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO orders (id, cut_id, case_id, device_id, kind, state, number, recipient,
		next_grant, reason, created_at, sent_at, detail, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
		(SELECT COALESCE(MAX(n.seq), 0) + 1 FROM orders n WHERE n.cut_id = $14))`,
		o.ID, o.CutID, o.CaseID, o.DeviceID, o.Kind, o.State, o.Number, o.Recipient,
		bytesOrNull(o.NextGrant), o.Reason, micros(o.CreatedAt), micros(o.SentAt), o.Detail, o.CutID)
	return wrap(err)
}

// OrderByID reads one.
func (t *Tx) OrderByID(ctx context.Context, id string) (order.Order, error) {
	o, err := scanOrder(t.tx.QueryRowContext(ctx, orderQuery+`WHERE o.id = $1`, id))
	return o, found(err, "order")
}

// DueOrder is the newest order the device has not answered yet, and the
// device's order number.
func (t *Tx) DueOrder(ctx context.Context, deviceID string) (o order.Order, seen uint64, found bool, err error) {
	o, err = scanOrder(t.tx.QueryRowContext(ctx, `SELECT `+orderColumns+`, d.order_number
		FROM orders o JOIN devices d ON d.id = o.device_id
		WHERE o.device_id = $1 AND o.state IN ('drafted', 'delivered', 'refused')
		ORDER BY o.created_at DESC, o.seq DESC LIMIT 1`, deviceID), &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return order.Order{}, 0, false, nil
	}
	return o, seen, err == nil, wrap(err)
}

// OrdersOfCut lists a cut's orders, oldest first.
func (t *Tx) OrdersOfCut(ctx context.Context, cutID string) ([]order.Order, error) {
	rows, err := t.tx.QueryContext(ctx, orderQuery+`WHERE o.cut_id = $1 ORDER BY o.seq`, cutID)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []order.Order
	for rows.Next() {
		o, err := scanOrder(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, o)
	}
	return all, wrap(rows.Err())
}

// SetOrder writes what may change of an order, if it is in state from.
func (t *Tx) SetOrder(ctx context.Context, from order.State, o order.Order) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE orders SET state = $1, number = $2, sent_at = $3, delivered_at = $4,
		done_at = $5, detail = $6, not_before = $7 WHERE id = $8 AND state = $9`,
		o.State, o.Number, micros(o.SentAt), micros(o.DeliveredAt),
		micros(o.DoneAt), o.Detail, micros(o.NotBefore), o.ID, from)
	return changed(res, err, "order")
}

// limitText is a LIMIT as it stands in a statement; zero is none.
func limitText(limit int) string {
	if limit <= 0 {
		limit = 1 << 30
	}
	return strconv.Itoa(limit)
}
