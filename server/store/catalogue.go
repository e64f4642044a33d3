package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cutoff/proto/addition"
	"cutoff/server/catalogue"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// Choices reads a group's; the zero ones if it made none.
func (t *Tx) Choices(ctx context.Context, group string) (catalogue.Choices, error) {
	var c catalogue.Choices
	var text string
	err := t.tx.QueryRowContext(ctx, `SELECT version, choices FROM group_choices WHERE group_name = $1`, group).
		Scan(&c.Version, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, wrap(err)
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("choices of %s: %w", group, err)
	}
	return c, nil
}

// PutChoices replaces a group's.
func (t *Tx) PutChoices(ctx context.Context, group string, c catalogue.Choices, by string, now time.Time) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode choices: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO group_choices (group_name, version, choices, set_at, set_by)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (group_name) DO UPDATE SET version = excluded.version,
		choices = excluded.choices, set_at = excluded.set_at, set_by = excluded.set_by`,
		group, c.Version, string(text), micros(now), by)
	return wrap(err)
}

// CatalogueVersion is the highest number given to choices or a change.
func (t *Tx) CatalogueVersion(ctx context.Context) (int64, error) {
	var n int64
	err := t.tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM (
		SELECT MAX(version) AS version FROM group_choices
		UNION ALL SELECT MAX(version) AS version FROM catalogue_changes) v`).Scan(&n)
	return n, wrap(err)
}

// CatalogueOf reads what a device was sent, its group and the highest version.
func (t *Tx) CatalogueOf(ctx context.Context, deviceID string) (flow.SentCatalogue, error) {
	s := flow.SentCatalogue{DeviceID: deviceID}
	var at sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT d.group_name, COALESCE(c.number, 0), COALESCE(c.content, ''),
		COALESCE(c.version, 0), COALESCE(c.taken, 0), COALESCE(c.planned, 0), c.planned_at
		FROM devices d LEFT JOIN device_catalogues c ON c.device_id = d.id WHERE d.id = $1`, deviceID).
		Scan(&s.Group, &s.Number, &s.Content, &s.Version, &s.Taken, &s.Planned, &at)
	if err != nil {
		return s, found(err, "device")
	}
	s.PlannedAt = timeOf(at)
	s.Newest, err = t.CatalogueVersion(ctx)
	return s, err
}

// PutSentCatalogue notes what a device is sent; a Conflict unless its number is
// higher than the last.
func (t *Tx) PutSentCatalogue(ctx context.Context, s flow.SentCatalogue, now time.Time) error {
	result, err := t.tx.ExecContext(ctx, `INSERT INTO device_catalogues
		(device_id, number, content, version, signed_at, taken, planned) VALUES ($1, $2, $3, $4, $5, 0, 0)
		ON CONFLICT (device_id) DO UPDATE SET number = excluded.number, content = excluded.content,
		version = excluded.version, signed_at = excluded.signed_at WHERE excluded.number > device_catalogues.number`,
		s.DeviceID, s.Number, s.Content, s.Version, micros(now))
	if err != nil {
		return wrap(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fault.New(fault.Conflict, "the device was sent a newer catalogue meanwhile"))
	}
	return nil
}

// SetCatalogueTaken notes that a device keeps what it was sent under number.
func (t *Tx) SetCatalogueTaken(ctx context.Context, deviceID string, number uint64) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE device_catalogues SET taken = $1
		WHERE device_id = $2 AND number = $1`, number, deviceID)
	return wrap(err)
}

// SetCataloguePlanned notes with which version the device made an inventory; no
// version that it was not sent counts.
func (t *Tx) SetCataloguePlanned(ctx context.Context, deviceID string, version int64, now time.Time) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE device_catalogues SET planned = $1, planned_at = $2
		WHERE device_id = $3 AND version >= $1`, version, micros(now), deviceID)
	return wrap(err)
}

// CataloguePlans counts the live devices of a group, and those whose last
// inventory was made with at least version.
func (t *Tx) CataloguePlans(ctx context.Context, group string, version int64) (devices, planned int, err error) {
	err = t.tx.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN c.planned >= $2 THEN 1 END)
		FROM devices d LEFT JOIN device_catalogues c ON c.device_id = d.id
		WHERE d.group_name = $1 AND d.state NOT IN ('retired', 'purged')`, group, version).Scan(&devices, &planned)
	return devices, planned, wrap(err)
}

// FoundOfProduct counts what the last inventories of a group's devices hold of
// a product, by device.
func (t *Tx) FoundOfProduct(ctx context.Context, group, product string) (map[string]int, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT c.device_id, COUNT(*) FROM credentials c JOIN devices d ON d.id = c.device_id
		WHERE d.group_name = $1 AND d.state NOT IN ('retired', 'purged') AND c.product = $2 AND c.held = 0
		GROUP BY c.device_id`, group, product)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			return nil, wrap(err)
		}
		all[id] = n
	}
	return all, wrap(rows.Err())
}

// changeSteps are a change's steps as JSON.
type changeSteps struct {
	Asked     catalogue.Step `json:"asked"`
	Approved  catalogue.Step `json:"approved"`
	Promoted  catalogue.Step `json:"promoted"`
	Retracted catalogue.Step `json:"withdrawn"`
}

func changeTexts(c *catalogue.Change) (files, steps, counted string, err error) {
	var texts [3]string
	for i, v := range []any{c.Files, changeSteps{c.Asked, c.Approved, c.Promoted, c.Retracted}, c.Count} {
		raw, err := json.Marshal(v)
		if err != nil {
			return "", "", "", fmt.Errorf("encode catalogue change: %w", err)
		}
		texts[i] = string(raw)
	}
	return texts[0], texts[1], texts[2], nil
}

// InsertChange adds a proposal.
func (t *Tx) InsertChange(ctx context.Context, c catalogue.Change) error {
	files, steps, counted, err := changeTexts(&c)
	if err != nil {
		return err
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO catalogue_changes
		(id, state, version, canary, files, reason, person, steps, counted, asked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		c.ID, string(c.State), c.Version, c.Canary, files, c.Reason, c.Person, steps, counted, micros(c.Asked.At))
	return wrap(err)
}

// SetChange replaces what may change of one; a Conflict if it is not from any
// more.
func (t *Tx) SetChange(ctx context.Context, from catalogue.State, c catalogue.Change) error {
	_, steps, counted, err := changeTexts(&c)
	if err != nil {
		return err
	}
	result, err := t.tx.ExecContext(ctx, `UPDATE catalogue_changes SET state = $1, version = $2, steps = $3, counted = $4
		WHERE id = $5 AND state = $6`, string(c.State), c.Version, steps, counted, c.ID, string(from))
	if err != nil {
		return wrap(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fault.New(fault.Conflict, "the catalogue change is not %s any more", from))
	}
	return nil
}

const changeColumns = `id, state, version, canary, files, reason, person, steps, counted`

func scanChange(row interface{ Scan(...any) error }) (catalogue.Change, error) {
	var c catalogue.Change
	var files, steps, counted string
	err := row.Scan(&c.ID, &c.State, &c.Version, &c.Canary, &files, &c.Reason, &c.Person, &steps, &counted)
	if err != nil {
		return c, err
	}
	var s changeSteps
	c.Files = []addition.File{}
	err = errors.Join(json.Unmarshal([]byte(files), &c.Files), json.Unmarshal([]byte(steps), &s),
		json.Unmarshal([]byte(counted), &c.Count))
	if err != nil {
		return c, fmt.Errorf("catalogue change %s: %w", c.ID, err)
	}
	c.Asked, c.Approved, c.Promoted, c.Retracted = s.Asked, s.Approved, s.Promoted, s.Retracted
	return c, nil
}

// Change reads one by its id.
func (t *Tx) Change(ctx context.Context, id string) (catalogue.Change, error) {
	c, err := scanChange(t.tx.QueryRowContext(ctx, `SELECT `+changeColumns+` FROM catalogue_changes WHERE id = $1`, id))
	return c, found(err, "catalogue change")
}

// Changes are all, newest first.
func (t *Tx) Changes(ctx context.Context) ([]catalogue.Change, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+changeColumns+` FROM catalogue_changes ORDER BY asked_at DESC, id`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []catalogue.Change
	for rows.Next() {
		c, err := scanChange(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, c)
	}
	return all, wrap(rows.Err())
}
