package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"cutoff/server/decision"
	"cutoff/server/flow"
)

// NewestPolicy reads the policy in force; the zero one if there is none.
func (t *Tx) NewestPolicy(ctx context.Context) (flow.PolicyFile, error) {
	var p flow.PolicyFile
	var at sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT version, yaml, applied_at, applied_by FROM policies
		ORDER BY version DESC LIMIT 1`).Scan(&p.Version, &p.YAML, &at, &p.AppliedBy)
	if errors.Is(err, sql.ErrNoRows) {
		return flow.PolicyFile{}, nil
	}
	p.AppliedAt = timeOf(at)
	return p, wrap(err)
}

// PolicyStamp reads the stamp of the policy in force.
func (t *Tx) PolicyStamp(ctx context.Context) (flow.PolicyStamp, error) {
	var s flow.PolicyStamp
	var at sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT version, applied_at FROM policies ORDER BY version DESC LIMIT 1`).
		Scan(&s.Version, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return flow.PolicyStamp{}, nil
	}
	s.AppliedAt = timeOf(at)
	return s, wrap(err)
}

// InsertPolicy adds a version.
func (t *Tx) InsertPolicy(ctx context.Context, p flow.PolicyFile) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO policies (version, yaml, applied_at, applied_by)
		VALUES ($1, $2, $3, $4)`, p.Version, p.YAML, micros(p.AppliedAt), p.AppliedBy)
	return wrap(err)
}

// Decision reads the last decision about a device; the zero one before the first.
func (t *Tx) Decision(ctx context.Context, deviceID string) (decision.Decision, error) {
	var d decision.Decision
	var at sql.NullInt64
	var rules string
	err := t.tx.QueryRowContext(ctx, `SELECT consequence, at, policy, rules FROM decisions WHERE device_id = $1`, deviceID).
		Scan(&d.Consequence, &at, &d.Policy, &rules)
	if errors.Is(err, sql.ErrNoRows) {
		return decision.Decision{}, nil
	}
	if err != nil {
		return decision.Decision{}, wrap(err)
	}
	d.At = timeOf(at)
	if err := json.Unmarshal([]byte(rules), &d.Rules); err != nil {
		return decision.Decision{}, fmt.Errorf("decision about %s: %w", deviceID, err)
	}
	return d, nil
}

// PutDecision keeps the last decision about a device.
func (t *Tx) PutDecision(ctx context.Context, deviceID string, d decision.Decision) error {
	rules, err := json.Marshal(d.Rules)
	if err != nil {
		return fmt.Errorf("encode decision: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO decisions (device_id, consequence, at, policy, rules)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (device_id) DO UPDATE SET consequence = excluded.consequence,
		at = excluded.at, policy = excluded.policy, rules = excluded.rules`,
		deviceID, string(d.Consequence), micros(d.At), d.Policy, string(rules))
	return wrap(err)
}
