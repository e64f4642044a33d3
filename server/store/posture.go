package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cutoff/server/posture"
)

// PutPosture replaces the device's last report.
func (t *Tx) PutPosture(ctx context.Context, deviceID string, facts []posture.Fact, now time.Time) error {
	text, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("encode posture: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO postures (device_id, at, facts) VALUES ($1, $2, $3)
		ON CONFLICT (device_id) DO UPDATE SET at = excluded.at, facts = excluded.facts`, deviceID, micros(now), string(text))
	return wrap(err)
}

// Posture is the last report and when it came; none before the first.
func (t *Tx) Posture(ctx context.Context, deviceID string) ([]posture.Fact, time.Time, error) {
	var at sql.NullInt64
	var text []byte
	err := t.tx.QueryRowContext(ctx, `SELECT at, facts FROM postures WHERE device_id = $1`, deviceID).Scan(&at, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, wrap(err)
	}
	var facts []posture.Fact
	if err := json.Unmarshal(text, &facts); err != nil {
		return nil, time.Time{}, fmt.Errorf("posture of %s: %w", deviceID, err)
	}
	return facts, timeOf(at), nil
}
