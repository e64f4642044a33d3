package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/device"
)

const tokenColumns = `id, group_name, uses, used, created_by, created_at, expires_at, revoked_at`

func scanToken(row interface{ Scan(...any) error }, more ...any) (device.Token, error) {
	var k device.Token
	var created, expires, revoked sql.NullInt64
	err := row.Scan(append([]any{
		&k.ID, &k.Group, &k.Uses, &k.Used, &k.CreatedBy, &created, &expires, &revoked,
	}, more...)...)
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = timeOf(created), timeOf(expires), timeOf(revoked)
	return k, err
}

// InsertToken adds an enrolment token; of its secret only the hash is kept.
func (t *Tx) InsertToken(ctx context.Context, k device.Token, hash []byte) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO tokens
		(id, hash, group_name, uses, used, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		k.ID, hash, k.Group, k.Uses, k.Used, k.CreatedBy, micros(k.CreatedAt), micros(k.ExpiresAt))
	return wrap(err)
}

// TokenByHash finds a token by its secret's hash and answers the hash as well.
func (t *Tx) TokenByHash(ctx context.Context, hash []byte) (device.Token, []byte, error) {
	var stored []byte
	k, err := scanToken(t.tx.QueryRowContext(ctx,
		`SELECT `+tokenColumns+`, hash FROM tokens WHERE hash = $1`, hash), &stored)
	return k, stored, found(err, "token")
}

// Tokens are all, newest first.
func (t *Tx) Tokens(ctx context.Context) ([]device.Token, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+tokenColumns+` FROM tokens ORDER BY created_at DESC, id`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []device.Token
	for rows.Next() {
		k, err := scanToken(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, k)
	}
	return all, wrap(rows.Err())
}

// UseToken counts one use of a token that has one left.
func (t *Tx) UseToken(ctx context.Context, id string) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE tokens SET used = used + 1 WHERE id = $1 AND used < uses`, id)
	return changed(res, err, "token")
}

// RevokeToken ends a token that was not revoked before.
func (t *Tx) RevokeToken(ctx context.Context, id string, now time.Time) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL`,
		micros(now), id)
	return changed(res, err, "token")
}
