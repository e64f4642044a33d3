package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/flow"
)

const connectorColumns = `id, name, kind, product, config, secrets, health, detail, checked_at, last_used, added_at, added_by`

func scanConnector(row interface{ Scan(...any) error }) (flow.Connector, error) {
	var c flow.Connector
	var checked, used, added sql.NullInt64
	err := row.Scan(&c.ID, &c.Name, &c.Kind, &c.Product, &c.Config, &c.Sealed, &c.Health, &c.HealthDetail,
		&checked, &used, &added, &c.AddedBy)
	if err != nil {
		return flow.Connector{}, err
	}
	c.CheckedAt, c.LastUsed, c.AddedAt = timeOf(checked), timeOf(used), timeOf(added)
	return c, nil
}

// InsertConnector adds a connector; a Conflict if the name is taken.
func (t *Tx) InsertConnector(ctx context.Context, c flow.Connector) error {
	res, err := t.tx.ExecContext(ctx, `INSERT INTO connectors (`+connectorColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (name) DO NOTHING`,
		c.ID, c.Name, c.Kind, c.Product, c.Config, c.Sealed, c.Health, c.HealthDetail,
		micros(c.CheckedAt), micros(c.LastUsed), micros(c.AddedAt), c.AddedBy)
	return taken(res, err, "a connector", c.Name)
}

// Connector reads one by name.
func (t *Tx) Connector(ctx context.Context, name string) (flow.Connector, error) {
	c, err := scanConnector(t.tx.QueryRowContext(ctx, `SELECT `+connectorColumns+` FROM connectors WHERE name = $1`, name))
	return c, found(err, "connector")
}

// Connectors reads all, by name.
func (t *Tx) Connectors(ctx context.Context) ([]flow.Connector, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+connectorColumns+` FROM connectors ORDER BY name`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []flow.Connector
	for rows.Next() {
		c, err := scanConnector(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, c)
	}
	return all, wrap(rows.Err())
}

// DeleteConnector removes one by name.
func (t *Tx) DeleteConnector(ctx context.Context, name string) error {
	res, err := t.tx.ExecContext(ctx, `DELETE FROM connectors WHERE name = $1`, name)
	return changed(res, err, "connector")
}

// SetConnectorHealth notes how it last did; one that went is no error.
func (t *Tx) SetConnectorHealth(ctx context.Context, name, health, detail string, now time.Time) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE connectors SET health = $1, detail = $2, checked_at = $3 WHERE name = $4`,
		health, detail, micros(now), name)
	return wrap(err)
}

// SetConnectorUsed notes a use; one that went is no error.
func (t *Tx) SetConnectorUsed(ctx context.Context, name string, now time.Time) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE connectors SET last_used = $1 WHERE name = $2`, micros(now), name)
	return wrap(err)
}

// Settings reads what the configuration said at the last start.
func (t *Tx) Settings(ctx context.Context) (map[string]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT name, value FROM settings`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, wrap(err)
		}
		all[name] = value
	}
	return all, wrap(rows.Err())
}

// PutSetting keeps one.
func (t *Tx) PutSetting(ctx context.Context, name, value string) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return wrap(err)
}
