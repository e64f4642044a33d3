package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"cutoff/server/fault"
	"cutoff/server/operator"
)

// InsertAccount adds an account; a Conflict if the name is taken.
func (t *Tx) InsertAccount(ctx context.Context, a operator.Account, password string) error {
	res, err := t.tx.ExecContext(ctx, `INSERT INTO operators (name, role, password, created_at)
		VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`, a.Name, a.Role, password, micros(a.CreatedAt))
	return taken(res, err, "an account", a.Name)
}

// taken turns an insert that met a row of the same name into a Conflict.
func taken(res sql.Result, err error, what, name string) error {
	if err != nil {
		return wrap(err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return fault.New(fault.Conflict, "there is already %s %q", what, name)
	}
	return wrap(err)
}

const accountColumns = `name, role, password, created_at, last_login`

func scanAccount(row interface{ Scan(...any) error }) (operator.Account, string, error) {
	var a operator.Account
	var password string
	var created, login sql.NullInt64
	if err := row.Scan(&a.Name, &a.Role, &password, &created, &login); err != nil {
		return operator.Account{}, "", err
	}
	a.CreatedAt, a.LastLogin = timeOf(created), timeOf(login)
	return a, password, nil
}

// Account reads an account and its password's hash.
func (t *Tx) Account(ctx context.Context, name string) (operator.Account, string, error) {
	a, password, err := scanAccount(t.tx.QueryRowContext(ctx, `SELECT `+accountColumns+` FROM operators WHERE name = $1`, name))
	return a, password, found(err, "account")
}

// Accounts reads all accounts, by name.
func (t *Tx) Accounts(ctx context.Context) ([]operator.Account, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+accountColumns+` FROM operators ORDER BY name`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []operator.Account
	for rows.Next() {
		a, _, err := scanAccount(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, a)
	}
	return all, wrap(rows.Err())
}

// SetLogin notes the last login.
func (t *Tx) SetLogin(ctx context.Context, name string, now time.Time) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE operators SET last_login = $1 WHERE name = $2`, micros(now), name)
	return changed(res, err, "account")
}

// DeleteAccount removes an account and its sessions.
func (t *Tx) DeleteAccount(ctx context.Context, name string) error {
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM sessions WHERE operator = $1`, name); err != nil {
		return wrap(err)
	}
	res, err := t.tx.ExecContext(ctx, `DELETE FROM operators WHERE name = $1`, name)
	return changed(res, err, "account")
}

// InsertSession adds a session.
func (t *Tx) InsertSession(ctx context.Context, s operator.Session) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO sessions (hash, operator, created_at, seen_at) VALUES ($1, $2, $3, $4)`,
		s.Hash[:], s.Operator, micros(s.CreatedAt), micros(s.SeenAt))
	return wrap(err)
}

// Session reads a session and whose it is.
func (t *Tx) Session(ctx context.Context, hash operator.Hash) (operator.Session, operator.Account, error) {
	s := operator.Session{Hash: hash}
	var created, seen sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT operator, created_at, seen_at FROM sessions WHERE hash = $1`, hash[:]).
		Scan(&s.Operator, &created, &seen)
	if err != nil {
		return operator.Session{}, operator.Account{}, found(err, "session")
	}
	s.CreatedAt, s.SeenAt = timeOf(created), timeOf(seen)
	a, _, err := t.Account(ctx, s.Operator)
	return s, a, err
}

// TouchSession notes a use; a session that ended meanwhile stays ended.
func (t *Tx) TouchSession(ctx context.Context, hash operator.Hash, now time.Time) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE sessions SET seen_at = $1 WHERE hash = $2`, micros(now), hash[:])
	return wrap(err)
}

// DeleteSession ends a session.
func (t *Tx) DeleteSession(ctx context.Context, hash operator.Hash) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM sessions WHERE hash = $1`, hash[:])
	return wrap(err)
}

// DeleteSessionsBefore ends sessions begun or last seen before the times.
func (t *Tx) DeleteSessionsBefore(ctx context.Context, created, seen time.Time) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM sessions WHERE created_at < $1 OR seen_at < $2`, micros(created), micros(seen))
	return wrap(err)
}

// InsertAPIKey adds a key; a Conflict if the name is taken.
func (t *Tx) InsertAPIKey(ctx context.Context, k operator.APIKey) error {
	res, err := t.tx.ExecContext(ctx, `INSERT INTO api_keys (hash, name, role, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING`,
		k.Hash[:], k.Name, k.Role, k.CreatedBy, micros(k.CreatedAt), micros(k.ExpiresAt))
	return taken(res, err, "an API key", k.Name)
}

// APIKey reads a key by its hash.
func (t *Tx) APIKey(ctx context.Context, hash operator.Hash) (operator.APIKey, error) {
	k := operator.APIKey{Hash: hash}
	var created, expires sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT name, role, created_by, created_at, expires_at FROM api_keys WHERE hash = $1`, hash[:]).
		Scan(&k.Name, &k.Role, &k.CreatedBy, &created, &expires)
	k.CreatedAt, k.ExpiresAt = timeOf(created), timeOf(expires)
	return k, found(err, "API key")
}

// APIKeys reads all keys, by name.
func (t *Tx) APIKeys(ctx context.Context) ([]operator.APIKey, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT hash, name, role, created_by, created_at, expires_at
		FROM api_keys ORDER BY name`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []operator.APIKey
	for rows.Next() {
		var k operator.APIKey
		var hash []byte
		var created, expires sql.NullInt64
		if err := rows.Scan(&hash, &k.Name, &k.Role, &k.CreatedBy, &created, &expires); err != nil {
			return nil, wrap(err)
		}
		if len(hash) != len(k.Hash) {
			return nil, fmt.Errorf("hash of API key %s has %d bytes", k.Name, len(hash))
		}
		k.Hash, k.CreatedAt, k.ExpiresAt = operator.Hash(hash), timeOf(created), timeOf(expires)
		all = append(all, k)
	}
	return all, wrap(rows.Err())
}

// DeleteAPIKey ends a key.
func (t *Tx) DeleteAPIKey(ctx context.Context, hash operator.Hash) error {
	res, err := t.tx.ExecContext(ctx, `DELETE FROM api_keys WHERE hash = $1`, hash[:])
	return changed(res, err, "API key")
}

// DeleteAPIKeysBefore removes keys that had expired at a time.
func (t *Tx) DeleteAPIKeysBefore(ctx context.Context, expired time.Time) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM api_keys WHERE expires_at <= $1`, micros(expired))
	return wrap(err)
}

// setupRow is the id of the one row of setup_codes.
const setupRow = 1

// SetupCode reads the setup code's hash; the zero one if there is none.
func (t *Tx) SetupCode(ctx context.Context) (operator.SetupCode, error) {
	var hash []byte
	var expires sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT hash, expires_at FROM setup_codes WHERE id = $1`, setupRow).Scan(&hash, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return operator.SetupCode{}, nil
	}
	if err != nil {
		return operator.SetupCode{}, wrap(err)
	}
	if len(hash) != len(operator.Hash{}) {
		return operator.SetupCode{}, fmt.Errorf("setup code hash of %d bytes", len(hash))
	}
	return operator.SetupCode{Hash: operator.Hash(hash), ExpiresAt: timeOf(expires)}, nil
}

// PutSetupCode replaces the setup code.
func (t *Tx) PutSetupCode(ctx context.Context, c operator.SetupCode) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO setup_codes (id, hash, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at`,
		setupRow, c.Hash[:], micros(c.ExpiresAt))
	return wrap(err)
}

// DeleteSetupCode removes it; none is no error.
func (t *Tx) DeleteSetupCode(ctx context.Context) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM setup_codes`)
	return wrap(err)
}
