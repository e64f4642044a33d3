package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/escrow"
)

// InsertEscrow adds the key of a seal to come.
func (t *Tx) InsertEscrow(ctx context.Context, e escrow.Escrow) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO escrows (id, device_id, cut_id, recipient, wrapped, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, e.ID, e.DeviceID, e.CutID, e.Recipient, e.Wrapped, micros(e.CreatedAt))
	return wrap(err)
}

// Escrow reads one.
func (t *Tx) Escrow(ctx context.Context, id string) (escrow.Escrow, error) {
	return t.escrow(ctx, `SELECT id, device_id, cut_id, recipient, wrapped, created_at, shredded_at
		FROM escrows WHERE id = $1`, id)
}

// EscrowOfCut reads the one reserved with a cut.
func (t *Tx) EscrowOfCut(ctx context.Context, cutID string) (escrow.Escrow, error) {
	return t.escrow(ctx, `SELECT id, device_id, cut_id, recipient, wrapped, created_at, shredded_at
		FROM escrows WHERE cut_id = $1`, cutID)
}

func (t *Tx) escrow(ctx context.Context, query, key string) (escrow.Escrow, error) {
	var e escrow.Escrow
	var created, shredded sql.NullInt64
	err := t.tx.QueryRowContext(ctx, query, key).
		Scan(&e.ID, &e.DeviceID, &e.CutID, &e.Recipient, &e.Wrapped, &created, &shredded)
	e.CreatedAt, e.ShreddedAt = timeOf(created), timeOf(shredded)
	return e, found(err, "escrow key")
}

// ShredEscrow writes the tombstone; one that is there stays as it is.
func (t *Tx) ShredEscrow(ctx context.Context, id string, now time.Time) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE escrows SET wrapped = NULL, shredded_at = $1
		WHERE id = $2 AND shredded_at IS NULL`, micros(now), id)
	return wrap(err)
}

// ShreddedEscrows are the ids of all tombstones.
func (t *Tx) ShreddedEscrows(ctx context.Context) ([]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT id FROM escrows WHERE shredded_at IS NOT NULL ORDER BY id`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, wrap(err)
		}
		all = append(all, id)
	}
	return all, wrap(rows.Err())
}
