package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"cutoff/server/cut"
	"cutoff/server/flow"
)

// A cut's row with the newest of its orders beside it.
const cutQuery = `SELECT c.id, c.case_id, c.device_id, c.person_id, c.credential_id, c.level, c.state, c.cause,
	c.reason, c.actor, c.held_reason, c.let_through, c.pending_case, c.escrow_id, c.opened_at, c.settled_at,
	c.lift_reason, c.lift_actor, c.lifted_at, c.receipt_at, c.first_removed_us, c.receipt_number, c.receipt_part,
	c.unfinished, d.hostname, o.id, o.state, o.kind, o.delivered_at,
	NOT EXISTS (SELECT 1 FROM steps s WHERE s.cut_id = c.id)
	FROM cuts c LEFT JOIN devices d ON d.id = c.device_id
	LEFT JOIN orders o ON o.cut_id = c.id
		AND o.seq = (SELECT MAX(n.seq) FROM orders n WHERE n.cut_id = c.id) `

func scanCut(row interface{ Scan(...any) error }) (cut.Cut, error) {
	var c cut.Cut
	var through, unfinished int
	var opened, settled, lifted, receipt, delivered sql.NullInt64
	var firstRemoved int64
	var hostname, orderID, orderState, orderKind sql.NullString
	err := row.Scan(&c.ID, &c.CaseID, &c.DeviceID, &c.PersonID, &c.CredentialID, &c.Level, &c.State, &c.Cause,
		&c.Reason, &c.Actor, &c.HeldReason, &through, &c.PendingCase, &c.Escrow, &opened, &settled,
		&c.LiftReason, &c.LiftActor, &lifted, &receipt, &firstRemoved, &c.ReceiptNumber, &c.ReceiptPart,
		&unfinished, &hostname, &orderID, &orderState, &orderKind, &delivered, &c.Stepless)
	if err != nil {
		return cut.Cut{}, err
	}
	c.LetThrough, c.Unfinished, c.Hostname = through != 0, unfinished != 0, hostname.String
	c.OpenedAt, c.SettledAt, c.LiftedAt = timeOf(opened), timeOf(settled), timeOf(lifted)
	c.ReceiptAt, c.DeliveredAt = timeOf(receipt), timeOf(delivered)
	c.FirstRemoved = time.Duration(firstRemoved) * time.Microsecond
	c.OrderID = orderID.String
	c.SetOrder(orderState.String, orderKind.String)
	return c, nil
}

// InsertCut adds a cut.
func (t *Tx) InsertCut(ctx context.Context, c cut.Cut) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO cuts (id, case_id, device_id, person_id, credential_id, level, state,
		cause, reason, actor, held_reason, let_through, pending_case, escrow_id, opened_at, lift_reason, lift_actor,
		first_removed_us, receipt_number, receipt_part, unfinished)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, '', '', 0, 0, 0, 0)`,
		c.ID, c.CaseID, c.DeviceID, c.PersonID, c.CredentialID, c.Level, c.State,
		c.Cause, c.Reason, c.Actor, c.HeldReason, integer(c.LetThrough), c.PendingCase, c.Escrow, micros(c.OpenedAt))
	return wrap(err)
}

// CutRow reads one without its items, steps and approvals.
func (t *Tx) CutRow(ctx context.Context, id string) (cut.Cut, error) {
	c, err := scanCut(t.tx.QueryRowContext(ctx, cutQuery+`WHERE c.id = $1`, id))
	return c, found(err, "cut")
}

// SetCut writes what may change of a cut, if it is in state from.
func (t *Tx) SetCut(ctx context.Context, from cut.State, c cut.Cut) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE cuts SET case_id = $1, level = $2, state = $3, cause = $4, reason = $5,
		actor = $6, held_reason = $7, let_through = $8, pending_case = $9, opened_at = $10, settled_at = $11,
		lift_reason = $12, lift_actor = $13, lifted_at = $14, receipt_at = $15, first_removed_us = $16,
		receipt_number = $17, receipt_part = $18, unfinished = $19 WHERE id = $20 AND state = $21`,
		c.CaseID, c.Level, c.State, c.Cause, c.Reason,
		c.Actor, c.HeldReason, integer(c.LetThrough), c.PendingCase, micros(c.OpenedAt), micros(c.SettledAt),
		c.LiftReason, c.LiftActor, micros(c.LiftedAt), micros(c.ReceiptAt), c.FirstRemoved.Microseconds(),
		c.ReceiptNumber, c.ReceiptPart, integer(c.Unfinished), c.ID, from)
	return changed(res, err, "cut")
}

// SetCutReceipt writes what a receipt alone changes of a cut, if it is in state
// from: none of it but the state is in an index, each of which SQLite would
// write anew.
func (t *Tx) SetCutReceipt(ctx context.Context, from cut.State, c cut.Cut) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE cuts SET state = $1, settled_at = $2, lifted_at = $3, receipt_at = $4,
		first_removed_us = $5, receipt_number = $6, receipt_part = $7, unfinished = $8 WHERE id = $9 AND state = $10`,
		c.State, micros(c.SettledAt), micros(c.LiftedAt), micros(c.ReceiptAt), c.FirstRemoved.Microseconds(),
		c.ReceiptNumber, c.ReceiptPart, integer(c.Unfinished), c.ID, from)
	return changed(res, err, "cut")
}

// CutOfDevice is the device's cut that is asked for or stands; one that is not
// being lifted comes first.
func (t *Tx) CutOfDevice(ctx context.Context, deviceID string) (cut.Cut, bool, error) {
	return oneCut(t.tx.QueryRowContext(ctx, cutQuery+`WHERE c.device_id = $1
		AND c.state IN ('held', 'open', 'settled', 'lifting')
		ORDER BY CASE c.state WHEN 'lifting' THEN 1 ELSE 0 END, c.opened_at DESC LIMIT 1`, deviceID))
}

// CutOrReserved is the same, else the cut of the reserved id.
func (t *Tx) CutOrReserved(ctx context.Context, deviceID, reserved string) (cut.Cut, bool, error) {
	return oneCut(t.tx.QueryRowContext(ctx, cutQuery+`WHERE c.device_id = $1 AND c.state IN ('held', 'open', 'settled', 'lifting')
		OR c.id = $2 ORDER BY CASE WHEN c.state IN ('held', 'open', 'settled') THEN 0 WHEN c.state = 'lifting' THEN 1 ELSE 2 END,
		c.opened_at DESC LIMIT 1`, deviceID, reserved))
}

// CutOfSubject is the same for a cut of a person or of a credential.
func (t *Tx) CutOfSubject(ctx context.Context, personID, credentialID string) (cut.Cut, bool, error) {
	return oneCut(t.tx.QueryRowContext(ctx, cutQuery+`WHERE c.person_id = $1 AND c.credential_id = $2
		AND c.device_id = '' AND c.state IN ('held', 'open', 'settled', 'lifting')
		ORDER BY c.opened_at DESC LIMIT 1`, personID, credentialID))
}

func oneCut(row *sql.Row) (cut.Cut, bool, error) {
	c, err := scanCut(row)
	if errors.Is(err, sql.ErrNoRows) {
		return cut.Cut{}, false, nil
	}
	return c, err == nil, wrap(err)
}

// CutsOfCase lists the cuts of a case, and those that wait for it, by id.
func (t *Tx) CutsOfCase(ctx context.Context, caseID, after string, limit int) ([]cut.Cut, error) {
	return t.cuts(ctx, `WHERE (c.case_id = $1 OR c.pending_case = $2) AND c.id > $3 ORDER BY c.id LIMIT `+limitText(limit),
		caseID, caseID, after)
}

// Cuts lists cuts, newest first.
func (t *Tx) Cuts(ctx context.Context, filter flow.CutFilter) ([]cut.Cut, error) {
	where, args := `WHERE 1 = 1`, []any{}
	narrow := func(column, value string) {
		if value != "" {
			args = append(args, value)
			where += ` AND c.` + column + ` = $` + strconv.Itoa(len(args))
		}
	}
	narrow("state", string(filter.State))
	narrow("device_id", filter.DeviceID)
	narrow("person_id", filter.PersonID)
	narrow("case_id", filter.CaseID)
	where += ` ORDER BY c.opened_at DESC, c.id DESC`
	if filter.Limit > 0 {
		args = append(args, filter.Limit)
		where += ` LIMIT $` + strconv.Itoa(len(args))
	}
	return t.cuts(ctx, where, args...)
}

func (t *Tx) cuts(ctx context.Context, rest string, args ...any) ([]cut.Cut, error) {
	rows, err := t.tx.QueryContext(ctx, cutQuery+rest, args...)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []cut.Cut
	for rows.Next() {
		c, err := scanCut(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, c)
	}
	return all, wrap(rows.Err())
}

// integer is a truth value as the database keeps it.
func integer(b bool) int {
	if b {
		return 1
	}
	return 0
}
