package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cutoff/server/cut"
	"cutoff/server/flow"
)

// itemRows is how many items one statement writes: beyond that the values cost
// what the statement saves.
const itemRows = 16

// PutItems adds items of different ids, or replaces those with their ids if
// replace is set.
func (t *Tx) PutItems(ctx context.Context, cutID string, items []cut.Item, replace bool) error {
	for some := range slices.Chunk(items, itemRows) {
		args := make([]any, 0, 1+itemValues*len(some))
		args = append(args, cutID)
		for n := range some {
			i := &some[n]
			identifiers := "[]"
			if len(i.Identifiers) > 0 {
				text, err := json.Marshal(i.Identifiers)
				if err != nil {
					return fmt.Errorf("encode identifiers of item %s: %w", i.ID, err)
				}
				identifiers = string(text)
			}
			args = append(args, i.ID, i.Product, i.User, i.Path, i.Action, string(i.Outcome), i.Detail,
				micros(i.Residual.Until), integer(i.Residual.Unbounded), identifiers, integer(i.Sealed), i.Regain, i.Confidence)
		}
		if _, err := t.tx.ExecContext(ctx, putItems[len(some)-1][integer(replace)], args...); err != nil {
			return wrap(err)
		}
	}
	return nil
}

// itemValues is how many values an item has beside its cut's id.
const itemValues = 13

// putItems are the statements for each number of items: keeping what is there,
// or replacing it.
var putItems = func() (all [itemRows][2]string) {
	for n := range all {
		var values strings.Builder
		for row := range n + 1 {
			if row > 0 {
				values.WriteString(", ")
			}
			values.WriteString("($1")
			for v := range itemValues {
				fmt.Fprintf(&values, ", $%d", 2+itemValues*row+v)
			}
			values.WriteString(")")
		}
		insert := `INSERT INTO items (cut_id, id, product, user_name, path, action, outcome, detail, residual_until,
			residual_unbounded, identifiers, sealed, regain, confidence)
			VALUES ` + values.String() + ` ON CONFLICT (cut_id, id) `
		all[n] = [2]string{insert + `DO NOTHING`, insert + replaceItem}
	}
	return all
}()

const replaceItem = `DO UPDATE SET product = excluded.product, user_name = excluded.user_name,
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
