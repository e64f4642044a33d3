package declarative

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// Bounds of one step: how many things a look-up may find, and in how many parts.
const (
	maxRows  = 2000
	maxPages = 100
)

// doneAt is the memo of when the act was done: residuals count from there.
const doneAt = "done_at"

// Revoke looks up and acts. All that is found is acted on, even if one of them
// fails; what is done already is found dead and passed over next time.
func (c *Connector) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	st := c.find(s)
	if st == nil {
		return revoke.Result{Outcome: revoke.Blocked, Detail: "action-not-in-file", Residual: s.Residual}
	}
	rows, err := c.targets(ctx, st, s)
	if err != nil {
		return c.failed(err, s)
	}
	if len(rows) == 0 {
		if st.nothing == "blocked" {
			return revoke.Result{Outcome: revoke.Blocked, Detail: "not-found", Residual: s.Residual}
		}
		return c.acted(st, s, "already")
	}
	var worst *verdict
	done, already := 0, 0
	for _, row := range rows {
		one := c.actOn(ctx, st, row, s.ID)
		switch one.outcome {
		case actDone:
			done++
		case actAlready:
			already++
		default:
			if worst == nil || one.outcome > worst.outcome {
				worst = &one
			}
		}
		if one.stop {
			break
		}
	}
	if worst != nil {
		return worst.result(s, done+already, len(rows))
	}
	detail := ""
	switch {
	case done == 0:
		detail = "already"
	case len(st.lookUps) > 0 && len(rows) > 1:
		detail = strconv.Itoa(done) + " ended"
	}
	return c.acted(st, s, detail)
}

// acted is the answer once the provider said yes to all of it.
func (c *Connector) acted(st *step, s revoke.Step, detail string) revoke.Result {
	at := c.now()
	r := revoke.Result{
		Outcome: revoke.Accepted, Proof: revoke.L0, Detail: detail, Done: true,
		Residual: c.residualOf(st, s, at),
		Memo:     map[string]string{doneAt: at.UTC().Format(time.RFC3339)},
	}
	if st.confirm != nil && c.holds(st.confirm.cond, c.values(s)) {
		r.Outcome, r.Proof, r.Again = revoke.Retrying, "", st.confirm.after
	}
	return r
}

// residualOf is until when something works although the act was done at.
func (c *Connector) residualOf(st *step, s revoke.Step, at time.Time) revoke.Residual {
	switch {
	case st.residual.none:
		return revoke.Residual{}
	case st.residual.expiry:
		if t, err := time.Parse(time.RFC3339, s.Params["expires"]); err == nil {
			return revoke.Residual{Until: t}
		}
		return revoke.Residual{Unbounded: true}
	case st.residual.unbounded:
		return revoke.Residual{Unbounded: true}
	default:
		return revoke.Residual{Until: at.Add(st.residual.after)}
	}
}

// actOutcome is how one act went, the worst last.
type actOutcome int

const (
	actDone actOutcome = iota
	actAlready
	actUnsupported
	actBlocked
	actRetry
)

// verdict is the answer to one act.
type verdict struct {
	outcome actOutcome
	detail  string
	again   time.Duration
	// stop says that the provider takes no more now.
	stop bool
}

func (v verdict) result(s revoke.Step, done, of int) revoke.Result {
	r := revoke.Result{Detail: v.detail, Again: v.again, Residual: s.Residual}
	switch v.outcome {
	case actUnsupported:
		r.Outcome = revoke.Unsupported
	case actBlocked:
		r.Outcome = revoke.Blocked
	default:
		r.Outcome = revoke.Retrying
	}
	if of > 1 {
		r.Detail = fmt.Sprintf("%s; %d of %d done", v.detail, done, of)
	}
	return r
}

// actOn does a row's acts in order, and stops at the first that does not
// succeed. None that applies means that nothing is left to do.
func (c *Connector) actOn(ctx context.Context, st *step, v values, id string) verdict {
	whole := verdict{outcome: actAlready}
	for _, a := range st.acts {
		if !c.holds(a.cond, v) {
			continue
		}
		res, err := c.do(ctx, a.call, v, nil, nil, id)
		if err != nil {
			return verdictOf(err)
		}
		one := c.judge(a, res, v)
		switch one.outcome {
		case actDone:
			whole.outcome = actDone
		case actAlready:
		default:
			return one
		}
	}
	return whole
}

// verdictOf is what it means that there is no answer.
func verdictOf(err error) verdict {
	var (
		out    *outgoing.Error
		unsafe errUnsafe
		login  errLogin
	)
	var status statusError
	switch {
	case errors.As(err, &status):
		return status.verdict
	case errors.As(err, &unsafe):
		return verdict{outcome: actBlocked, detail: unsafe.Error()}
	case errors.As(err, &login):
		v := common(login.status)
		if login.status < 300 || login.status == http.StatusNotFound {
			v = verdict{outcome: actBlocked}
		}
		v.detail, v.stop = login.Error(), true
		return v
	case errors.As(err, &out):
		v := verdict{outcome: actRetry, detail: out.Detail, again: out.Again, stop: true}
		if out.Kind == outgoing.Refused || out.Kind == outgoing.Untrusted {
			v.outcome = actBlocked
		}
		return v
	case errors.Is(err, errAnswer):
		return verdict{outcome: actRetry, detail: "answer-malformed", stop: true}
	default:
		return verdict{outcome: actRetry, detail: "failed", stop: true}
	}
}

// statusError is a look-up's or a confirmation's answer that is no answer.
type statusError struct{ verdict verdict }

// Error is the verdict's word.
func (e statusError) Error() string { return e.verdict.detail }

func (c *Connector) failed(err error, s revoke.Step) revoke.Result {
	return verdictOf(err).result(s, 0, 1)
}

// do sends one call. A proof that died (a cookie, a token) is renewed once.
func (c *Connector) do(ctx context.Context, call call, v values, more url.Values, at *nextAddress, id string) (outgoing.Response, error) {
	for again := range 2 {
		r, err := call.request(c.spec, v, more, at)
		if err != nil {
			return outgoing.Response{}, err
		}
		used, err := c.authorise(ctx, &r, id)
		if err != nil {
			return outgoing.Response{}, err
		}
		res, err := c.client.Do(ctx, r)
		if err != nil {
			return outgoing.Response{}, err
		}
		died := res.Status == http.StatusUnauthorized || c.auth.kind == "login" && res.Status == http.StatusForbidden
		if again == 0 && c.auth.kept() && died {
			c.session.drop(used)
			continue
		}
		return res, nil
	}
	return outgoing.Response{}, errAnswer
}
