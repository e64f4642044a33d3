package store

import (
	"context"
	"database/sql"

	"cutoff/server/cut"
)

// InsertApproval adds one person's word on a case.
func (t *Tx) InsertApproval(ctx context.Context, caseID string, a cut.Approval) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO approvals (case_id, person, actor, verdict, reason, at)
		VALUES ($1, $2, $3, $4, $5, $6)`, caseID, a.Person, a.Actor, a.Verdict, a.Reason, micros(a.At))
	return wrap(err)
}

// Approvals lists a case's, oldest first.
func (t *Tx) Approvals(ctx context.Context, caseID string) ([]cut.Approval, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT person, actor, verdict, reason, at FROM approvals
		WHERE case_id = $1 ORDER BY at, person`, caseID)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []cut.Approval
	for rows.Next() {
		var a cut.Approval
		var at sql.NullInt64
		if err := rows.Scan(&a.Person, &a.Actor, &a.Verdict, &a.Reason, &at); err != nil {
			return nil, wrap(err)
		}
		a.At = timeOf(at)
		all = append(all, a)
	}
	return all, wrap(rows.Err())
}
