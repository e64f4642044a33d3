package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"cutoff/server/device"
)

const credentialColumns = `id, device_id, person_id, connector, product, user_name, path, identifiers, regain, label,
	held, token_type, expires_at, seen_at, harmless`

func scanCredential(row interface{ Scan(...any) error }) (device.Credential, error) {
	var c device.Credential
	var deviceID, personID sql.NullString
	var held, harmless int
	var identifiers []byte
	var expires, seen sql.NullInt64
	err := row.Scan(&c.ID, &deviceID, &personID, &c.Connector, &c.Product, &c.User, &c.Path, &identifiers, &c.Regain,
		&c.Label, &held, &c.TokenType, &expires, &seen, &harmless)
	if err != nil {
		return device.Credential{}, err
	}
	c.DeviceID, c.PersonID, c.Held = deviceID.String, personID.String, held != 0
	c.Harmless = harmless != 0
	c.ExpiresAt, c.SeenAt = timeOf(expires), timeOf(seen)
	if err := json.Unmarshal(identifiers, &c.Identifiers); err != nil {
		return device.Credential{}, fmt.Errorf("identifiers of %s: %w", c.ID, err)
	}
	return c, nil
}

// InsertCredential adds one; sealed is its token if the server holds it.
func (t *Tx) InsertCredential(ctx context.Context, c device.Credential, sealed []byte) error {
	identifiers, err := json.Marshal(c.Identifiers)
	if err != nil {
		return fmt.Errorf("encode identifiers: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO credentials (`+credentialColumns+`, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		c.ID, textOrNull(c.DeviceID), textOrNull(c.PersonID), c.Connector, c.Product, c.User, c.Path, string(identifiers),
		c.Regain, c.Label, integer(c.Held), c.TokenType, micros(c.ExpiresAt), micros(c.SeenAt), integer(c.Harmless), bytesOrNull(sealed))
	return wrap(err)
}

// Credential reads one.
func (t *Tx) Credential(ctx context.Context, id string) (device.Credential, error) {
	c, err := scanCredential(t.tx.QueryRowContext(ctx, `SELECT `+credentialColumns+` FROM credentials WHERE id = $1`, id))
	return c, found(err, "credential")
}

// SealedToken is the sealed token of a held credential.
func (t *Tx) SealedToken(ctx context.Context, id string) ([]byte, error) {
	var sealed []byte
	err := t.tx.QueryRowContext(ctx, `SELECT sealed FROM credentials WHERE id = $1 AND held = 1`, id).Scan(&sealed)
	return sealed, found(err, "held credential")
}

// CredentialsOfDevice are those that lie on a device or are held for it.
func (t *Tx) CredentialsOfDevice(ctx context.Context, deviceID string) ([]device.Credential, error) {
	return t.credentials(ctx, `WHERE device_id = $1 ORDER BY product, path, id`, deviceID)
}

// CredentialsOfPerson are those held for a person.
func (t *Tx) CredentialsOfPerson(ctx context.Context, personID string) ([]device.Credential, error) {
	return t.credentials(ctx, `WHERE person_id = $1 ORDER BY product, path, id`, personID)
}

// Credentials are all.
func (t *Tx) Credentials(ctx context.Context) ([]device.Credential, error) {
	return t.credentials(ctx, `ORDER BY device_id, product, path, id`)
}

func (t *Tx) credentials(ctx context.Context, rest string, args ...any) ([]device.Credential, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+credentialColumns+` FROM credentials `+rest, args...)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []device.Credential
	for rows.Next() {
		c, err := scanCredential(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, c)
	}
	return all, wrap(rows.Err())
}

// ReplaceInventory replaces what the device itself reported; held tokens stay.
func (t *Tx) ReplaceInventory(ctx context.Context, deviceID string, all []device.Credential, now time.Time) error {
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM credentials WHERE device_id = $1 AND held = 0`, deviceID); err != nil {
		return wrap(err)
	}
	for _, c := range all {
		c.DeviceID, c.SeenAt, c.Held = deviceID, now, false
		if err := t.InsertCredential(ctx, c, nil); err != nil {
			return err
		}
	}
	return t.oneDevice(ctx, `UPDATE devices SET inventory_at = $1 WHERE id = $2`, micros(now), deviceID)
}
