package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/device"
)

// forgetAfter is how long a certificate whose end nobody knows is remembered
// after it was last seen.
const forgetAfter = 400 * 24 * time.Hour

// NoteCertificates keeps certificates that were reported to lie on a device,
// beside all that were before, and forgets those that have ended.
func (t *Tx) NoteCertificates(ctx context.Context, deviceID string, all []device.Certificate, now time.Time) error {
	if len(all) == 0 {
		return nil
	}
	for _, c := range all {
		_, err := t.tx.ExecContext(ctx, `INSERT INTO certificates (device_id, kind, issuer, serial, name, expires_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (device_id, kind, issuer, serial) DO UPDATE SET expires_at = excluded.expires_at, seen_at = excluded.seen_at`,
			deviceID, c.Kind, c.Issuer, c.Serial, c.Name, micros(c.ExpiresAt), micros(now))
		if err != nil {
			return wrap(err)
		}
	}
	_, err := t.tx.ExecContext(ctx, `DELETE FROM certificates WHERE device_id = $1
		AND (expires_at < $2 OR expires_at IS NULL AND seen_at < $3)`, deviceID, micros(now), micros(now.Add(-forgetAfter)))
	return wrap(err)
}

// Certificates are those of a device that have not ended at now, as far as is
// known: what lies on it, and what lay there before.
func (t *Tx) Certificates(ctx context.Context, deviceID string, now time.Time) ([]device.Certificate, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT device_id, kind, issuer, serial, name, expires_at, seen_at FROM certificates
		WHERE device_id = $1 AND (expires_at IS NULL OR expires_at >= $2) ORDER BY kind, issuer, serial`, deviceID, micros(now))
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []device.Certificate
	for rows.Next() {
		var c device.Certificate
		var expires, seen sql.NullInt64
		if err := rows.Scan(&c.DeviceID, &c.Kind, &c.Issuer, &c.Serial, &c.Name, &expires, &seen); err != nil {
			return nil, wrap(err)
		}
		c.ExpiresAt, c.SeenAt = timeOf(expires), timeOf(seen)
		all = append(all, c)
	}
	return all, wrap(rows.Err())
}
