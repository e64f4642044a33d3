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
	return texts(rows)
}

// ShredSteps are the accepted shreddings whose residual ends by a time.
func (t *Tx) ShredSteps(ctx context.Context, until time.Time, limit int) ([]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT id FROM steps
		WHERE connector = 'escrow' AND outcome = 'accepted' AND residual_until <= $1
		ORDER BY residual_until, id LIMIT `+limitText(limit), micros(until))
	if err != nil {
		return nil, wrap(err)
	}
	return texts(rows)
}

// ExtendShreds moves the residual of accepted shreddings to kept after they
// were done, where that is later.
func (t *Tx) ExtendShreds(ctx context.Context, kept time.Duration) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE steps SET residual_until = done_at + $1
		WHERE connector = 'escrow' AND outcome = 'accepted' AND residual_until < done_at + $2`,
		kept.Microseconds(), kept.Microseconds())
	return wrap(err)
}
