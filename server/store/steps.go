package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"cutoff/server/flow"
	"cutoff/server/revoke"
)

const stepQuery = `SELECT id, cut_id, connector, action, target, params, scope, undo, undo_of, step_rank, state, acted,
	outcome, proof, residual_until, residual_unbounded, detail, attempts, due_at, done_at, holder, claimed_until, memo
	FROM steps `

func scanStep(row interface{ Scan(...any) error }) (revoke.Step, error) {
	var s revoke.Step
	var params, memo []byte
	var acted, unbounded int
	var until, due, done, claimed sql.NullInt64
	err := row.Scan(&s.ID, &s.CutID, &s.Connector, &s.Action, &s.Target, &params, &s.Scope, &s.Undo, &s.UndoOf, &s.Rank,
		&s.State, &acted, &s.Outcome, &s.Proof, &until, &unbounded, &s.Detail, &s.Attempts, &due, &done, &s.Holder,
		&claimed, &memo)
	if err != nil {
		return revoke.Step{}, err
	}
	s.Acted, s.Residual = acted != 0, revoke.Residual{Until: timeOf(until), Unbounded: unbounded != 0}
	s.Due, s.DoneAt, s.ClaimedUntil = timeOf(due), timeOf(done), timeOf(claimed)
	if s.Params, err = words(params); err != nil {
		return revoke.Step{}, fmt.Errorf("params of step %s: %w", s.ID, err)
	}
	if s.Memo, err = words(memo); err != nil {
		return revoke.Step{}, fmt.Errorf("memo of step %s: %w", s.ID, err)
	}
	return s, nil
}

func words(text []byte) (map[string]string, error) {
	if len(text) == 0 || string(text) == "{}" {
		return nil, nil
	}
	var m map[string]string
	return m, json.Unmarshal(text, &m)
}

func wordsText(m map[string]string) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(m)
	return string(text), err
}

// InsertStep adds a step.
func (t *Tx) InsertStep(ctx context.Context, s revoke.Step) error {
	params, err := wordsText(s.Params)
	if err != nil {
		return fmt.Errorf("encode params: %w", err)
	}
	memo, err := wordsText(s.Memo)
	if err != nil {
		return fmt.Errorf("encode memo: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO steps (id, cut_id, connector, action, target, params, scope, undo, undo_of,
		step_rank, state, acted, outcome, proof, residual_until, residual_unbounded, detail, attempts, due_at, done_at,
		holder, claimed_until, memo)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)`,
		s.ID, s.CutID, s.Connector, s.Action, s.Target, params, s.Scope, s.Undo, s.UndoOf,
		s.Rank, s.State, integer(s.Acted), s.Outcome, s.Proof, micros(s.Residual.Until), integer(s.Residual.Unbounded),
		s.Detail, s.Attempts, micros(s.Due), micros(s.DoneAt), s.Holder, micros(s.ClaimedUntil), memo)
	return wrap(err)
}

// Step reads one.
func (t *Tx) Step(ctx context.Context, id string) (revoke.Step, error) {
	s, err := scanStep(t.tx.QueryRowContext(ctx, stepQuery+`WHERE id = $1`, id))
	return s, found(err, "step")
}

// SetStep writes what may change of a step, if it is in state from and held by
// holder (empty: by nobody).
func (t *Tx) SetStep(ctx context.Context, from revoke.State, holder string, s revoke.Step) error {
	params, err := wordsText(s.Params)
	if err != nil {
		return fmt.Errorf("encode params: %w", err)
	}
	memo, err := wordsText(s.Memo)
	if err != nil {
		return fmt.Errorf("encode memo: %w", err)
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE steps SET state = $1, acted = $2, outcome = $3, proof = $4,
		residual_until = $5, residual_unbounded = $6, detail = $7, attempts = $8, due_at = $9, done_at = $10, holder = $11,
		claimed_until = $12, memo = $13, params = $14 WHERE id = $15 AND state = $16 AND holder = $17`,
		s.State, integer(s.Acted), s.Outcome, s.Proof,
		micros(s.Residual.Until), integer(s.Residual.Unbounded), s.Detail, s.Attempts, micros(s.Due), micros(s.DoneAt), s.Holder,
		micros(s.ClaimedUntil), memo, params, s.ID, from, holder)
	return changed(res, err, "step")
}

// Steps lists a cut's, in the order in which they are to be done.
func (t *Tx) Steps(ctx context.Context, cutID string) ([]revoke.Step, error) {
	return t.steps(ctx, `WHERE cut_id = $1 ORDER BY connector, step_rank, id`, cutID)
}

// HeldSteps lists what a holder has claimed.
func (t *Tx) HeldSteps(ctx context.Context, holder string) ([]revoke.Step, error) {
	return t.steps(ctx, `WHERE holder = $1 AND holder <> '' ORDER BY cut_id, step_rank, id`, holder)
}

func (t *Tx) steps(ctx context.Context, rest string, args ...any) ([]revoke.Step, error) {
	rows, err := t.tx.QueryContext(ctx, stepQuery+rest, args...)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []revoke.Step
	for rows.Next() {
		s, err := scanStep(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, s)
	}
	return all, wrap(rows.Err())
}

// DueSteps lists what has a step due that nobody has a live claim on, the
// longest due first.
func (t *Tx) DueSteps(ctx context.Context, now time.Time, limit int) ([]flow.StepGroup, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT cut_id, connector FROM steps
		WHERE due_at <= $1 AND (holder = '' OR claimed_until <= $2)
		GROUP BY cut_id, connector ORDER BY MIN(due_at), cut_id, connector LIMIT `+limitText(limit), micros(now), micros(now))
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []flow.StepGroup
	for rows.Next() {
		var g flow.StepGroup
		if err := rows.Scan(&g.CutID, &g.Connector); err != nil {
			return nil, wrap(err)
		}
		all = append(all, g)
	}
	return all, wrap(rows.Err())
}

// Lives is until when anything of a cut's items and steps may still work: what
// is not verified and has no known end has none.
func (t *Tx) Lives(ctx context.Context, cutID string) (revoke.Residual, error) {
	var until sql.NullInt64
	var unbounded int
	err := t.tx.QueryRowContext(ctx, `SELECT MAX(until), COALESCE(MAX(unbounded), 0) FROM (
		SELECT residual_until AS until, `+livesOn+` AS unbounded FROM items WHERE cut_id = $1
		UNION ALL
		SELECT residual_until AS until, `+livesOn+` AS unbounded FROM steps
		WHERE cut_id = $2 AND state <> 'withdrawn' AND undo_of = '') AS targets`, cutID, cutID).Scan(&until, &unbounded)
	return revoke.Residual{Until: timeOf(until), Unbounded: unbounded != 0}, wrap(err)
}

const livesOn = `CASE WHEN residual_unbounded = 1 OR (outcome <> 'verified' AND residual_until IS NULL)
	THEN 1 ELSE 0 END`
