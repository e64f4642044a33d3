package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/flow"
	"cutoff/server/order"
)

const silenceColumns = `d.granted_until, d.seal_due, d.purge_due, d.hello_at,
	d.left_at, d.left_reason, d.silence_after, d.said_lease, d.said_order, d.boots`

// silenceRow takes silenceColumns.
type silenceRow struct {
	granted, seal, purge, hello, left, after sql.NullInt64
	saidLease, saidOrder                     sql.NullInt64
	reason, boots                            string
}

func (r *silenceRow) targets() []any {
	return []any{
		&r.granted, &r.seal, &r.purge, &r.hello,
		&r.left, &r.reason, &r.after, &r.saidLease, &r.saidOrder, &r.boots,
	}
}

func (r *silenceRow) silence() device.Silence {
	return device.Silence{
		GrantedUntil: timeOf(r.granted), SealDue: timeOf(r.seal), PurgeDue: timeOf(r.purge),
		HelloAt: timeOf(r.hello), LeftAt: timeOf(r.left), LeftReason: r.reason, After: timeOf(r.after),
	}
}

func (r *silenceRow) said() device.Said {
	return device.Said{
		Known: r.saidLease.Valid, Lease: uint64(r.saidLease.Int64), Order: uint64(r.saidOrder.Int64),
		Boots: strings.Fields(r.boots),
	}
}

// saidNumber is a number the device said, NULL while it has said none.
func saidNumber(s device.Said, n uint64) sql.NullInt64 {
	return sql.NullInt64{Int64: int64(min(n, math.MaxInt64)), Valid: s.Known}
}

// SetSilence writes what the device's silence means.
func (t *Tx) SetSilence(ctx context.Context, id string, s device.Silence) error {
	return t.oneDevice(ctx, `UPDATE devices SET granted_until = $1, seal_due = $2, purge_due = $3, hello_at = $4,
		left_at = $5, left_reason = $6, silence_after = $7 WHERE id = $8`,
		micros(s.GrantedUntil), micros(s.SealDue), micros(s.PurgeDue), micros(s.HelloAt), micros(s.LeftAt), s.LeftReason, micros(s.After), id)
}

// ForgetSaid forgets what the device said of its numbers and boots.
func (t *Tx) ForgetSaid(ctx context.Context, id string) error {
	return t.oneDevice(ctx, `UPDATE devices SET said_lease = NULL, said_order = NULL, boots = '' WHERE id = $1`, id)
}

// SilentDevices are trusted ones without a cut whose seal is due, after one in
// that order.
func (t *Tx) SilentDevices(
	ctx context.Context, now time.Time, up time.Duration, after flow.SilenceCursor, limit int,
) ([]device.Device, error) {
	return t.devices(ctx, `JOIN groups g ON g.name = d.group_name
		WHERE d.cut_id = '' AND d.state IN ('trusted', 'warned') AND d.seal_due <= $1
		AND (d.seal_due > $2 OR d.seal_due = $3 AND d.id > $4)
		AND (d.silence_after IS NULL OR d.silence_after <= $5) AND g.renew_us <= $6
		ORDER BY d.seal_due, d.id LIMIT `+limitText(limit),
		micros(now).Int64, after.Due.UnixMicro(), after.Due.UnixMicro(), after.ID, micros(now).Int64, up.Microseconds())
}

// ExpiredDevices are those cut for their silence whose purge is due, and that
// have not been heard since, after one by id. A seal that came late leaves as
// much time before the purge as one on time.
func (t *Tx) ExpiredDevices(ctx context.Context, now time.Time, after string, limit int) ([]device.Device, error) {
	return t.devices(ctx, `JOIN cuts c ON c.device_id = d.id JOIN groups g ON g.name = d.group_name
		WHERE c.cause = 'expiry' AND c.level = 'seal' AND c.state IN ('open', 'settled') AND c.pending_case = ''
		AND d.purge_due <= $1 AND (d.last_contact IS NULL OR d.last_contact + g.purge_us <= $2)
		AND c.opened_at + g.purge_us - g.seal_us <= $3
		AND (d.silence_after IS NULL OR d.silence_after <= $4) AND d.id > $5 ORDER BY d.id LIMIT `+limitText(limit),
		micros(now).Int64, micros(now).Int64, micros(now).Int64, micros(now).Int64, after)
}

// HeldFor lists the held cases of the machine whose reason begins so.
func (t *Tx) HeldFor(ctx context.Context, reason string) ([]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT id FROM cases WHERE state = 'held' AND machine = 1
		AND SUBSTR(held_reason, 1, $1) = $2 ORDER BY asked_at, id`, len(reason), reason)
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

// HeldSignal is the device's cut that waits for a person because of a fact.
func (t *Tx) HeldSignal(ctx context.Context, deviceID string) (cut.Cut, bool, error) {
	return oneCut(t.tx.QueryRowContext(ctx, cutQuery+`WHERE c.device_id = $1 AND c.state = 'held' AND c.cause = 'signal'`,
		deviceID))
}

// Removal is the device's newest permission to remove its agent.
func (t *Tx) Removal(ctx context.Context, deviceID string) (order.Order, bool, error) {
	o, err := scanOrder(t.tx.QueryRowContext(ctx, orderQuery+`WHERE o.device_id = $1 AND o.kind = 'uninstall'
		AND o.state <> 'superseded' ORDER BY o.created_at DESC, o.id DESC LIMIT 1`, deviceID))
	if errors.Is(err, sql.ErrNoRows) {
		return order.Order{}, false, nil
	}
	return o, err == nil, wrap(err)
}

// Pulse is the server's own; the zero one before the first beat.
func (t *Tx) Pulse(ctx context.Context) (flow.Pulse, error) {
	var p flow.Pulse
	var at, unsteady sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT at, unsteady_at, reason FROM pulse WHERE id = 1`).Scan(&at, &unsteady, &p.Reason)
	if errors.Is(err, sql.ErrNoRows) {
		return flow.Pulse{}, nil
	}
	p.At, p.UnsteadyAt = timeOf(at), timeOf(unsteady)
	return p, wrap(err)
}

// PutPulse writes it.
func (t *Tx) PutPulse(ctx context.Context, p flow.Pulse) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO pulse (id, at, unsteady_at, reason) VALUES (1, $1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET at = excluded.at, unsteady_at = excluded.unsteady_at, reason = excluded.reason`,
		micros(p.At), micros(p.UnsteadyAt), p.Reason)
	return wrap(err)
}
