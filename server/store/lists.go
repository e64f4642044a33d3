package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/revoke"
)

// InsertListEntry adds what a step asks a list to name; again it changes nothing.
func (t *Tx) InsertListEntry(ctx context.Context, connector string, e revoke.ListEntry) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO list_entries (connector, step_id, kind, authority, value, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (connector, step_id, kind, authority, value) DO NOTHING`,
		connector, e.StepID, e.Kind, e.Authority, e.Value, micros(e.ExpiresAt))
	return wrap(err)
}

// DeleteListEntries removes what a step asks for.
func (t *Tx) DeleteListEntries(ctx context.Context, connector, stepID string) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM list_entries WHERE connector = $1 AND step_id = $2`, connector, stepID)
	return wrap(err)
}

// ListEntries are all that a list names at now.
func (t *Tx) ListEntries(ctx context.Context, connector string, now time.Time) ([]revoke.ListEntry, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT step_id, kind, authority, value, expires_at FROM list_entries
		WHERE connector = $1 AND (expires_at IS NULL OR expires_at >= $2) ORDER BY kind, authority, value, step_id`, connector, micros(now))
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []revoke.ListEntry
	for rows.Next() {
		var e revoke.ListEntry
		var expires sql.NullInt64
		if err := rows.Scan(&e.StepID, &e.Kind, &e.Authority, &e.Value, &expires); err != nil {
			return nil, wrap(err)
		}
		e.ExpiresAt = timeOf(expires)
		all = append(all, e)
	}
	return all, wrap(rows.Err())
}

// List is a connector's list as it is published; NotFound before the first.
func (t *Tx) List(ctx context.Context, connector string) (revoke.List, error) {
	var l revoke.List
	var made sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT version, bytes, signature, signer, made_at FROM lists WHERE connector = $1`, connector).
		Scan(&l.Version, &l.Bytes, &l.Signature, &l.Signer, &made)
	l.MadeAt = timeOf(made)
	return l, found(err, "list")
}

// PutList publishes a list, if none of its version or a later one is there.
func (t *Tx) PutList(ctx context.Context, connector string, l revoke.List) error {
	res, err := t.tx.ExecContext(ctx, `INSERT INTO lists (connector, version, bytes, signature, signer, made_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (connector) DO UPDATE SET version = excluded.version, bytes = excluded.bytes,
		signature = excluded.signature, signer = excluded.signer, made_at = excluded.made_at WHERE lists.version < excluded.version`,
		connector, l.Version, l.Bytes, l.Signature, l.Signer, micros(l.MadeAt))
	return changed(res, err, "list")
}

// NoteListHost keeps which version a host said it has.
func (t *Tx) NoteListHost(ctx context.Context, connector string, h revoke.ListHost) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO list_hosts (connector, name, version, said_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (connector, name) DO UPDATE SET version = excluded.version, said_at = excluded.said_at`,
		connector, h.Name, h.Version, micros(h.At))
	return wrap(err)
}

// ListHosts are the hosts that said which version of a list they have.
func (t *Tx) ListHosts(ctx context.Context, connector string) ([]revoke.ListHost, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT name, version, said_at FROM list_hosts WHERE connector = $1 ORDER BY name`, connector)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []revoke.ListHost
	for rows.Next() {
		var h revoke.ListHost
		var at sql.NullInt64
		if err := rows.Scan(&h.Name, &h.Version, &at); err != nil {
			return nil, wrap(err)
		}
		h.At = timeOf(at)
		all = append(all, h)
	}
	return all, wrap(rows.Err())
}
