package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/lease"
)

// InsertExtension adds one that was given.
func (t *Tx) InsertExtension(ctx context.Context, e lease.Extension) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO extensions
		(device_id, number, kind, add_us, until, given_at, given_by, person)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		e.DeviceID, e.Number, e.Kind, e.Add.Microseconds(), micros(e.Until), micros(e.GivenAt), e.GivenBy, e.Person)
	return wrap(err)
}

// SetExtended raises until when the device may trust itself with all its
// extensions, and with it when the server acts on its silence; none of them
// falls.
func (t *Tx) SetExtended(ctx context.Context, id string, until time.Time) error {
	return t.oneDevice(ctx, `UPDATE devices SET
		extended_until = CASE WHEN extended_until > $1 THEN extended_until ELSE $1 END,
		granted_until = CASE WHEN granted_until > $1 THEN granted_until ELSE $1 END,
		seal_due = CASE WHEN seal_due > $1 THEN seal_due ELSE $1 END,
		purge_due = CASE WHEN purge_due > $1 + (SELECT g.purge_us - g.seal_us FROM groups g WHERE g.name = devices.group_name)
			THEN purge_due ELSE $1 + (SELECT g.purge_us - g.seal_us FROM groups g WHERE g.name = devices.group_name) END
		WHERE id = $2`, micros(until), id)
}

// NewestExtension is the number of the device's newest one; 0 before the first.
func (t *Tx) NewestExtension(ctx context.Context, deviceID string) (uint64, error) {
	var n uint64
	err := t.tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM extensions WHERE device_id = $1`, deviceID).Scan(&n)
	return n, wrap(err)
}

// CountExtensions counts those that were given one by one since a time: to the
// device, and by the person.
func (t *Tx) CountExtensions(ctx context.Context, deviceID, person string, since time.Time) (device, by int, err error) {
	err = t.tx.QueryRowContext(ctx, `SELECT
		(SELECT COUNT(*) FROM extensions WHERE device_id = $1 AND kind <> 'export' AND given_at >= $3),
		(SELECT COUNT(*) FROM extensions WHERE person = $2 AND kind <> 'export' AND given_at >= $3)`,
		deviceID, person, micros(since)).Scan(&device, &by)
	return device, by, wrap(err)
}

// Given is the latest end of a lease with what was given to the device one by
// one, exports left out; zero before the first.
func (t *Tx) Given(ctx context.Context, deviceID string) (time.Time, error) {
	var until sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT MAX(until) FROM extensions WHERE device_id = $1 AND kind <> 'export'`, deviceID).
		Scan(&until)
	return timeOf(until), wrap(err)
}

// SetLeaseCodes keeps the hashes that the device's leases carry.
func (t *Tx) SetLeaseCodes(ctx context.Context, id string, hashes []byte) error {
	return t.oneDevice(ctx, `UPDATE devices SET lease_codes = $1 WHERE id = $2`, hashes, id)
}

// InsertLeaseCode adds a code that was drawn.
func (t *Tx) InsertLeaseCode(ctx context.Context, c lease.SealedCode) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO lease_codes (device_id, hash, add_us, sealed) VALUES ($1, $2, $3, $4)`,
		c.DeviceID, c.Hash, c.Add.Microseconds(), c.Sealed)
	return wrap(err)
}

// LeaseCode is one code of that length which was not given out; a NotFound if
// there is none.
func (t *Tx) LeaseCode(ctx context.Context, deviceID string, add time.Duration) (lease.SealedCode, error) {
	c := lease.SealedCode{DeviceID: deviceID, Add: add}
	err := t.tx.QueryRowContext(ctx, `SELECT hash, sealed FROM lease_codes WHERE device_id = $1 AND add_us = $2
		ORDER BY hash LIMIT 1`, deviceID, add.Microseconds()).Scan(&c.Hash, &c.Sealed)
	return c, found(err, "code")
}

// DeleteLeaseCode removes one, for it is given out now.
func (t *Tx) DeleteLeaseCode(ctx context.Context, deviceID string, hash []byte) error {
	return t.oneDevice(ctx, `DELETE FROM lease_codes WHERE device_id = $1 AND hash = $2`, deviceID, hash)
}
