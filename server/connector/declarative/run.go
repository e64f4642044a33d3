package declarative

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	v := c.values(s)
	rows, err := c.rows(ctx, st, v, s.ID)
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
	if st.confirm != nil && c.spec.has(st.confirm.unless) {
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

func (c *Connector) actOn(ctx context.Context, st *step, v values, id string) verdict {
	res, err := c.do(ctx, st.act.call, v, nil, id)
	if err != nil {
		return verdictOf(err)
	}
	return st.act.judge(res, v)
}

// judge says what the answer's status, and where the file asks what its body
// says, mean.
func (a act) judge(res outgoing.Response, v values) verdict {
	word := func(s string) string { return s + " (" + strconv.Itoa(res.Status) + ")" }
	switch {
	case slices.Contains(a.already, res.Status):
		return verdict{outcome: actAlready}
	case slices.Contains(a.ok, res.Status):
		if len(a.says) == 0 {
			return verdict{outcome: actDone}
		}
		doc, err := decode(res.Body)
		if err != nil {
			return verdict{outcome: actRetry, detail: word("answer-malformed")}
		}
		if !all(a.says, doc, v) {
			return verdict{outcome: actRetry, detail: word("answer-says-no")}
		}
		return verdict{outcome: actDone}
	case slices.Contains(a.retry, res.Status):
		return verdict{outcome: actRetry, detail: word("provider-error")}
	case slices.Contains(a.unsupported, res.Status):
		return verdict{outcome: actUnsupported, detail: word("unsupported")}
	case slices.Contains(a.blocked, res.Status):
		return verdict{outcome: actBlocked, detail: word("blocked")}
	}
	return common(res.Status)
}

// common is what a status means where the file does not say.
func common(status int) verdict {
	word := func(s string) string { return s + " (" + strconv.Itoa(status) + ")" }
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return verdict{outcome: actBlocked, detail: word("denied")}
	case status == http.StatusNotFound, status == http.StatusGone:
		return verdict{outcome: actBlocked, detail: word("not-found")}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusConflict,
		status == http.StatusPreconditionFailed, status == http.StatusLocked:
		return verdict{outcome: actRetry, detail: word("provider-busy")}
	case status == http.StatusNotImplemented:
		return verdict{outcome: actUnsupported, detail: word("unsupported")}
	case status >= 500:
		return verdict{outcome: actRetry, detail: word("provider-error")}
	case status >= 300 && status < 400:
		return verdict{outcome: actBlocked, detail: word("redirected")}
	case status >= 200 && status < 300:
		return verdict{outcome: actRetry, detail: word("unexpected-status")}
	default:
		return verdict{outcome: actBlocked, detail: word("refused")}
	}
}

// verdictOf is what it means that there is no answer.
func verdictOf(err error) verdict {
	var (
		out    *outgoing.Error
		unsafe errUnsafe
		login  errLogin
	)
	switch {
	case errors.As(err, &unsafe):
		return verdict{outcome: actBlocked, detail: unsafe.Error()}
	case errors.As(err, &login):
		v := common(login.status)
		if login.status < 300 {
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
	var status statusError
	if errors.As(err, &status) {
		return status.verdict.result(s, 0, 1)
	}
	return verdictOf(err).result(s, 0, 1)
}

// do sends one call. A login whose cookie died is renewed once.
func (c *Connector) do(ctx context.Context, call call, v values, more url.Values, id string) (outgoing.Response, error) {
	for again := range 2 {
		r, err := call.request(c.spec.bases, v, more)
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
		if c.spec.auth.kind == "login" && again == 0 && (res.Status == http.StatusUnauthorized || res.Status == http.StatusForbidden) {
			c.session.drop(used)
			continue
		}
		return res, nil
	}
	return outgoing.Response{}, errAnswer
}

// rows runs the look-ups, each for every row found so far, and returns the
// values of each thing to act on.
func (c *Connector) rows(ctx context.Context, st *step, v values, id string) ([]values, error) {
	rows := []values{v}
	for _, l := range st.lookUps {
		var next []values
		for _, row := range rows {
			found, err := c.lookUp(ctx, l, row, id)
			if err != nil {
				return nil, err
			}
			if next = append(next, found...); len(next) > maxRows {
				return nil, statusError{verdict{outcome: actBlocked, detail: "too-many-found"}}
			}
		}
		rows = next
	}
	return rows, nil
}

func (c *Connector) lookUp(ctx context.Context, l lookUp, v values, id string) ([]values, error) {
	var rows []values
	err := c.pages(ctx, l.call, l.page, l.list, v, id, func(res outgoing.Response) (int, error) {
		if slices.Contains(l.nothing, res.Status) {
			return 0, nil
		}
		if !slices.Contains(l.ok, res.Status) {
			return 0, statusError{common(res.Status)}
		}
		doc, err := decode(res.Body)
		if err != nil {
			return 0, err
		}
		items := []any{doc}
		if l.list != nil {
			if items, err = l.list.items(doc); err != nil {
				return 0, err
			}
		}
		for _, item := range items {
			if !all(l.match, item, v) {
				continue
			}
			row, err := l.row(item, v)
			if err != nil {
				return 0, err
			}
			if rows = append(rows, row); len(rows) > maxRows {
				return 0, statusError{verdict{outcome: actBlocked, detail: "too-many-found"}}
			}
		}
		return len(items), nil
	})
	return rows, err
}

// row is v and what the look-up takes from item. Something that was found but
// has no name to act on is an answer we do not understand.
func (l lookUp) row(item any, v values) (values, error) {
	row := make(values, len(v)+len(l.take))
	for k, s := range v {
		row[k] = s
	}
	for _, t := range l.take {
		got, ok := t.path.find(item)
		if !ok {
			return nil, errAnswer
		}
		text, ok := scalar(got)
		if !ok || text == "" {
			return nil, errAnswer
		}
		row[t.variable] = text
	}
	return row, nil
}

// pages calls once, or as often as the list has parts. each returns how many
// entries its part had.
func (c *Connector) pages(
	ctx context.Context, call call, p *page, list *jsonPath, v values, id string, each func(outgoing.Response) (int, error),
) error {
	for n := range maxPages {
		var more url.Values
		if p != nil && list != nil {
			more = url.Values{p.from: {strconv.Itoa(p.first + n*p.of)}, p.size: {strconv.Itoa(p.of)}}
		}
		res, err := c.do(ctx, call, v, more, id)
		if err != nil {
			return err
		}
		count, err := each(res)
		if err != nil || more == nil || count < p.of {
			return err
		}
	}
	return statusError{verdict{outcome: actBlocked, detail: "too-many-found"}}
}
