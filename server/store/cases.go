package store

import (
	"context"
	"database/sql"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/flow"
)

// InsertCase adds a decision.
func (t *Tx) InsertCase(ctx context.Context, c cut.Case) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO cases (id, device_id, person_id, credential_id, level, cause, reason,
		actor, person, machine, state, needs, held_reason, asked_at, last_device, remaining)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		c.ID, c.DeviceID, c.PersonID, c.CredentialID, c.Level, c.Cause, c.Reason,
		c.Actor, c.Person, integer(c.Machine), c.State, c.Needs, c.HeldReason, micros(c.AskedAt), c.Cursor, c.Remaining)
	return wrap(err)
}

// CaseByID reads one.
func (t *Tx) CaseByID(ctx context.Context, id string) (cut.Case, error) {
	var c cut.Case
	var machine int
	var asked sql.NullInt64
	err := t.tx.QueryRowContext(ctx, `SELECT id, device_id, person_id, credential_id, level, cause, reason, actor,
		person, machine, state, needs, held_reason, asked_at, last_device, remaining FROM cases WHERE id = $1`, id).
		Scan(&c.ID, &c.DeviceID, &c.PersonID, &c.CredentialID, &c.Level, &c.Cause, &c.Reason, &c.Actor,
			&c.Person, &machine, &c.State, &c.Needs, &c.HeldReason, &asked, &c.Cursor, &c.Remaining)
	c.Machine, c.AskedAt = machine != 0, timeOf(asked)
	return c, found(err, "case")
}

// SetCase writes what may change of a case, if it is in state from.
func (t *Tx) SetCase(ctx context.Context, from cut.CaseState, c cut.Case) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE cases SET state = $1, held_reason = $2, last_device = $3, remaining = $4
		WHERE id = $5 AND state = $6`, c.State, c.HeldReason, c.Cursor, c.Remaining, c.ID, from)
	return changed(res, err, "case")
}

// CasesIn lists the ids of cases in a state, asked for at or before a time.
func (t *Tx) CasesIn(ctx context.Context, state cut.CaseState, before time.Time) ([]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT id FROM cases WHERE state = $1 AND asked_at <= $2
		AND state IN ('holding', 'held', 'opening') ORDER BY asked_at, id`, state, micros(before))
	if err != nil {
		return nil, wrap(err)
	}
	return texts(rows)
}

// texts reads and closes rows of one text column.
func texts(rows *sql.Rows) ([]string, error) {
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, wrap(err)
		}
		all = append(all, s)
	}
	return all, wrap(rows.Err())
}

// CountUnit notes what was let through under a budget.
func (t *Tx) CountUnit(ctx context.Context, budget flow.Budget, unit string, at time.Time) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO brake_units (person, machine, group_name, unit, at)
		VALUES ($1, $2, $3, $4, $5)`, budget.Person, integer(budget.Machine), budget.Group, unit, micros(at))
	return wrap(err)
}

// UnitsSince lists the distinct units let through under a budget since a time.
func (t *Tx) UnitsSince(ctx context.Context, budget flow.Budget, since time.Time) ([]string, error) {
	where, args := budgetRows(budget, since)
	rows, err := t.tx.QueryContext(ctx, `SELECT DISTINCT unit FROM brake_units `+where, args...)
	if err != nil {
		return nil, wrap(err)
	}
	return texts(rows)
}

// CountUnits counts what was let through under a budget since a time.
func (t *Tx) CountUnits(ctx context.Context, budget flow.Budget, since time.Time) (int, error) {
	where, args := budgetRows(budget, since)
	var n int
	err := t.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM brake_units `+where, args...).Scan(&n)
	return n, wrap(err)
}

// budgetRows is the condition for the rows of a budget.
func budgetRows(budget flow.Budget, since time.Time) (where string, args []any) {
	switch {
	case !budget.Machine:
		return `WHERE machine = 0 AND person = $1 AND at > $2`, []any{budget.Person, micros(since)}
	case budget.Group != "":
		return `WHERE machine = 1 AND group_name = $1 AND at > $2`, []any{budget.Group, micros(since)}
	}
	return `WHERE machine = 1 AND at > $1`, []any{micros(since)}
}

// Remaining is how many units large cases being opened have still to come.
func (t *Tx) Remaining(ctx context.Context, budget flow.Budget) (int, error) {
	query, args := `SELECT COALESCE(SUM(remaining), 0) FROM cases
		WHERE remaining > 0 AND (state = 'opening' OR (state = 'holding' AND needs = 0)) `, []any{}
	if budget.Machine {
		query += `AND machine = 1`
	} else {
		query, args = query+`AND machine = 0 AND person = $1`, []any{budget.Person}
	}
	var n int
	err := t.tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, wrap(err)
}

// NextDevices are a person's devices after one, by id; retired ones are left
// out.
func (t *Tx) NextDevices(ctx context.Context, personID, after string, limit int) ([]device.Device, error) {
	return t.devices(ctx, `WHERE d.person_id = $1 AND d.id > $2 AND d.state <> 'retired' ORDER BY d.id LIMIT `+limitText(limit),
		personID, after)
}
