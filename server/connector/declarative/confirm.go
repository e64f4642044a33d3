package declarative

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// errAlive says that the read-back still shows it.
var errAlive = errors.New("still-there")

// Confirm reads back. What is still there is acted on again.
func (c *Connector) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	st := c.find(s)
	at, err := time.Parse(time.RFC3339, s.Memo[doneAt])
	if st == nil || st.confirm == nil || !c.spec.has(st.confirm.unless) {
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
	err = c.gone(ctx, st.confirm, c.values(s), s.ID)
	switch {
	case err == nil:
		return revoke.Result{Outcome: revoke.Verified, Proof: st.confirm.proof, Detail: s.Detail, Residual: residual, Done: true}
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

func (c *Connector) gone(ctx context.Context, f *confirm, v values, id string) error {
	return c.pages(ctx, f.call, f.page, f.list, v, id, func(res outgoing.Response) (int, error) {
		if slices.Contains(f.gone, res.Status) {
			return 0, nil
		}
		if !slices.Contains(f.ok, res.Status) {
			return 0, statusError{common(res.Status)}
		}
		if len(f.gone) > 0 && f.list == nil && len(f.expect) == 0 {
			return 0, errAlive
		}
		doc, err := decode(res.Body)
		if err != nil {
			return 0, err
		}
		if !all(f.expect, doc, v) {
			return 0, errAlive
		}
		if f.list == nil {
			return 0, nil
		}
		items, err := f.list.items(doc)
		if err != nil {
			return 0, err
		}
		if slices.ContainsFunc(items, func(item any) bool { return f.alive(item, v) }) {
			return 0, errAlive
		}
		return len(items), nil
	})
}

// alive reports whether an entry of the list shows that something still lives.
func (f *confirm) alive(item any, v values) bool {
	if f.all {
		return !all(f.every, item, v)
	}
	return all(f.none, item, v)
}

// Check tries what changes nothing: the name resolves, the provider answers,
// the credentials let us in, the file's own harmless requests succeed.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	var all []config.Finding
	if c.spec.auth.kind == "login" {
		_, err := c.login(ctx, c.authValues())
		f := config.Finding{Name: "sign in", OK: err == nil, Detail: "signed in"}
		if err != nil {
			f.Detail = verdictOf(err).detail
		}
		all = append(all, f)
		if err != nil {
			return all
		}
	}
	v := c.values(revoke.Step{})
	for _, k := range c.spec.check {
		if !c.spec.has(k.call.address.base.variables()[0]) {
			continue
		}
		f := config.Finding{Name: k.name}
		res, err := c.do(ctx, k.call, v, nil, "check")
		switch {
		case err != nil:
			f.Detail = verdictOf(err).detail
		case !slices.Contains(k.ok, res.Status):
			f.Detail = common(res.Status).detail
		default:
			f.OK, f.Detail = true, "answered "+strconv.Itoa(res.Status)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		all = append(all, config.Finding{Name: "file", OK: true, Detail: "read; it has no request that changes nothing, so none was sent"})
	}
	return all
}
