package declarative

import (
	"context"
	"errors"
	"slices"
	"time"

	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// errAlive says that the read-back still shows it.
var errAlive = errors.New("still-there")

// Confirm reads back. What is still there is acted on again.
func (c *Connector) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	st := c.find(s)
	at, err := time.Parse(time.RFC3339, s.Memo[doneAt])
	if st == nil || st.confirm == nil || !c.holds(st.confirm.cond, c.values(s)) {
		r := revoke.Result{Outcome: revoke.Accepted, Proof: revoke.L0, Detail: s.Detail, Residual: s.Residual, Done: true}
		if st != nil && err == nil {
			r.Residual = c.residualOf(st, s, at)
		}
		return r
	}
	if err != nil {
		at = c.now()
	}
	residual := c.residualOf(st, s, at)
	err = c.dead(ctx, st, s)
	switch {
	case err == nil, errors.Is(err, errNothing) && st.nothing != "blocked":
		return revoke.Result{Outcome: revoke.Verified, Proof: st.confirm.proof, Detail: s.Detail, Residual: residual, Done: true}
	case errors.Is(err, errNothing):
		err = statusError{verdict{outcome: actBlocked, detail: "not-found"}}
	case errors.Is(err, errAlive) && c.now().Before(at.Add(st.confirm.within)):
		// It may take its time; acting again would not make it faster.
		return revoke.Result{Outcome: revoke.Retrying, Detail: errAlive.Error(), Residual: s.Residual, Done: true, Again: st.confirm.again}
	case errors.Is(err, errAlive):
		return revoke.Result{Outcome: revoke.Retrying, Detail: errAlive.Error(), Residual: s.Residual}
	}
	r := c.failed(err, s)
	r.Residual, r.Done = residual, true
	if r.Outcome == revoke.Blocked || r.Outcome == revoke.Unsupported {
		// The act was accepted; only the proof is out of reach.
		r.Outcome, r.Proof, r.Detail = revoke.Accepted, revoke.L0, "not-confirmed: "+r.Detail
	}
	return r
}

// dead reads back for every row that the confirmation's own look-ups give. No
// row is errNothing.
func (c *Connector) dead(ctx context.Context, st *step, s revoke.Step) error {
	rows, err := c.subjects(ctx, st, c.values(s), s.ID)
	if err != nil {
		return err
	}
	if rows, err = c.rows(ctx, st.lookUps[:st.confirm.lookUps], rows, s.ID); err != nil {
		return err
	}
	if len(rows) == 0 {
		return errNothing
	}
	for _, row := range rows {
		if err := c.gone(ctx, st.confirm, row, s.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c *Connector) gone(ctx context.Context, f *confirm, v values, id string) error {
	return c.pages(ctx, f.call, f.page, v, id, func(res outgoing.Response) (chunk, error) {
		doc, err := decode(res.Body)
		if _, gone := f.gone.find(res.Status, doc, v); gone {
			return chunk{}, nil
		}
		if bad := c.bad(res, f.ok, v); bad != nil {
			return chunk{}, bad
		}
		if len(f.gone) > 0 && f.list == nil && len(f.expect) == 0 {
			return chunk{}, errAlive
		}
		if err != nil {
			return chunk{}, err
		}
		if !all(f.expect, doc, v) {
			return chunk{}, errAlive
		}
		if f.list == nil {
			return chunk{}, nil
		}
		items, err := f.list.items(doc)
		if err != nil {
			return chunk{}, err
		}
		if slices.ContainsFunc(items, func(item any) bool { return f.alive(item, v) }) {
			return chunk{}, errAlive
		}
		return chunk{count: len(items), doc: doc}, nil
	})
}

// alive reports whether an entry of the list shows that something still lives.
func (f *confirm) alive(item any, v values) bool {
	if f.all {
		return !all(f.every, item, v)
	}
	return all(f.none, item, v)
}
