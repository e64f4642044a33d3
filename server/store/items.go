package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"cutoff/server/cut"
	"cutoff/server/flow"
)

// PutItem adds an item, or replaces the one with its id if replace is set.
func (t *Tx) PutItem(ctx context.Context, cutID string, i cut.Item, replace bool) error {
	identifiers := "[]"
	if len(i.Identifiers) > 0 {
		text, err := json.Marshal(i.Identifiers)
		if err != nil {
			return fmt.Errorf("encode identifiers: %w", err)
		}
		identifiers = string(text)
	}
	query := insertItem + `DO NOTHING`
	if replace {
		query = replaceItem
	}
	_, err := t.tx.ExecContext(ctx, query, cutID, i.ID, i.Product, i.User, i.Path, i.Action, i.Outcome, i.Detail,
		micros(i.Residual.Until), integer(i.Residual.Unbounded), identifiers, integer(i.Sealed), i.Regain, i.Confidence)
	return wrap(err)
}

const insertItem = `INSERT INTO items (cut_id, id, product, user_name, path, action, outcome, detail, residual_until,
	residual_unbounded, identifiers, sealed, regain, confidence)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (cut_id, id) `

const replaceItem = insertItem + `DO UPDATE SET product = excluded.product, user_name = excluded.user_name,
	path = excluded.path, action = excluded.action, outcome = excluded.outcome, detail = excluded.detail,
	residual_until = excluded.residual_until, residual_unbounded = excluded.residual_unbounded,
	identifiers = excluded.identifiers, sealed = excluded.sealed, regain = excluded.regain,
	confidence = excluded.confidence`

// Items lists a cut's items.
func (t *Tx) Items(ctx context.Context, cutID string) ([]cut.Item, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT id, product, user_name, path, action, outcome, detail, residual_until,
		residual_unbounded, identifiers, sealed, regain, confidence FROM items WHERE cut_id = $1
		ORDER BY user_name, product, path, id`, cutID)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []cut.Item
	for rows.Next() {
		var i cut.Item
		var until sql.NullInt64
		var unbounded, sealed int
		var identifiers []byte
		if err := rows.Scan(&i.ID, &i.Product, &i.User, &i.Path, &i.Action, &i.Outcome, &i.Detail, &until,
			&unbounded, &identifiers, &sealed, &i.Regain, &i.Confidence); err != nil {
			return nil, wrap(err)
		}
		i.Residual.Until, i.Residual.Unbounded, i.Sealed = timeOf(until), unbounded != 0, sealed != 0
		if err := json.Unmarshal(identifiers, &i.Identifiers); err != nil {
			return nil, fmt.Errorf("identifiers of item %s: %w", i.ID, err)
		}
		all = append(all, i)
	}
	return all, wrap(rows.Err())
}

// HasItem reports whether the cut's receipts list the item.
func (t *Tx) HasItem(ctx context.Context, cutID, itemID string) (bool, error) {
	var n int
	err := t.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM items WHERE cut_id = $1 AND id = $2`,
		cutID, itemID).Scan(&n)
	return n > 0, wrap(err)
}

// InsertReceipt notes a receipt by its digest; known is that of the one stored
// before in its place, if there is one.
func (t *Tx) InsertReceipt(ctx context.Context, r flow.Receipt) (known []byte, err error) {
	res, err := t.tx.ExecContext(ctx, `INSERT INTO receipts (cut_id, order_id, part, digest, at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (cut_id, order_id, part) DO NOTHING`,
		r.CutID, r.OrderID, r.Part, r.Digest, micros(r.At))
	if err != nil {
		return nil, wrap(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return nil, wrap(err)
	}
	err = t.tx.QueryRowContext(ctx, `SELECT digest FROM receipts WHERE cut_id = $1 AND order_id = $2 AND part = $3`,
		r.CutID, r.OrderID, r.Part).Scan(&known)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errors.New("receipt is neither new nor there")
	}
	return known, wrap(err)
}
