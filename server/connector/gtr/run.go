package gtr

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"cutoff/server/connector/assertion"
	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// statementLife is how long a statement of ours is valid; the draft wants five
// minutes at most, and a call is made at once.
const statementLife = 2 * time.Minute

// Revoke asks the provider to end everything of the step's subject.
//
// The answers are those of the draft (section 3): 204 begun, 400 not
// understood, 401 and 403 not taken, 404 no such user, 422 cannot. Auth0 says
// 200 for 204.
func (c *Connector) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	body, err := c.body(s.Params["subject"])
	if err != nil {
		return revoke.Result{Outcome: revoke.Blocked, Detail: "unsafe-value", Residual: s.Residual}
	}
	res, err := c.post(ctx, body)
	if err != nil {
		return without(err, s)
	}
	if res.Status == http.StatusNoContent || res.Status == http.StatusOK {
		return c.begun(c.now())
	}
	return refused(res, s)
}

// Confirm has nothing to ask: a yes is all there is.
func (c *Connector) Confirm(context.Context, revoke.Step) revoke.Result { return c.begun(c.now()) }

// begun is a yes: it ends refresh tokens and sessions; access tokens may live
// on (the draft says SHOULD).
func (c *Connector) begun(at time.Time) revoke.Result {
	r := revoke.Result{Outcome: revoke.Accepted, Proof: revoke.L0, Done: true, Detail: "begun", Residual: revoke.Residual{Unbounded: true}}
	if !c.file.open {
		r.Residual = revoke.Residual{Until: at.Add(c.file.life)}
	}
	return r
}

// body names the subject as RFC 9493 does, under the member that this provider
// reads.
func (c *Connector) body(subject string) ([]byte, error) {
	if subject == "" {
		return nil, errors.New("no subject")
	}
	id := map[string]string{"format": c.file.format}
	switch c.file.format {
	case formatEmail:
		id["email"] = subject
	case formatIssSub:
		id["iss"], id["sub"] = c.file.issuer, subject
	default:
		id["id"] = subject
	}
	return json.Marshal(map[string]any{c.file.member: id})
}

// post sends a body. An access token that is refused is had anew, once.
func (c *Connector) post(ctx context.Context, body []byte) (outgoing.Response, error) {
	for again := range 2 {
		bearer, err := c.bearer(ctx)
		if err != nil {
			return outgoing.Response{}, err
		}
		res, err := c.client.Do(ctx, outgoing.Request{
			Method: http.MethodPost, URL: c.file.endpoint, Body: body,
			Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + bearer}},
		})
		if err == nil && res.Status == http.StatusUnauthorized && c.grant != nil && again == 0 {
			c.grant.drop(bearer)
			continue
		}
		return res, err
	}
	return outgoing.Response{}, errors.New("not reached")
}

// bearer is what shows who this server is.
func (c *Connector) bearer(ctx context.Context) (string, error) {
	switch {
	case c.signer != nil:
		return c.signer.Sign(assertion.Statement{
			Issuer: c.file.clientID, Subject: c.file.clientID, Audience: c.file.endpoint.String(), At: c.now(), Life: statementLife,
		})
	case c.grant != nil:
		return c.grant.token(ctx, c)
	default:
		return c.token, nil
	}
}

// grant is an access token by client credentials (RFC 6749 §4.4), kept until
// shortly before it ends.
type grant struct {
	secret string

	mu   sync.Mutex
	have string
	ends time.Time
}

// early is how long before its end a token is no more used; unsaid is how long
// one is kept that does not say when it ends.
const (
	early  = 30 * time.Second
	unsaid = 5 * time.Minute
)

// errGrant is an answer of the token endpoint that brings no token.
type errGrant struct{ status int }

// Error is a fixed word and the status.
func (e errGrant) Error() string { return "no-access-token (" + strconv.Itoa(e.status) + ")" }

func (g *grant) token(ctx context.Context, c *Connector) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.have != "" && c.now().Before(g.ends) {
		return g.have, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.file.clientID}, "client_secret": {g.secret}}
	if c.file.scope != "" {
		form.Set("scope", c.file.scope)
	}
	res, err := c.client.Do(ctx, outgoing.Request{
		Method: http.MethodPost, URL: c.file.tokenURL, Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return "", err
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Seconds float64 `json:"expires_in"`
	}
	if res.Status != http.StatusOK || json.Unmarshal(res.Body, &answer) != nil || answer.Token == "" {
		return "", errGrant{res.Status}
	}
	life := unsaid
	if answer.Seconds > 0 && answer.Seconds < 1e6 {
		life = time.Duration(answer.Seconds*float64(time.Second)) - early
	}
	g.have, g.ends = answer.Token, c.now().Add(life)
	return g.have, nil
}

// drop forgets a token that was refused.
func (g *grant) drop(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.have == token {
		g.have = ""
	}
}

// without is the result where there was no answer.
func without(err error, s revoke.Step) revoke.Result {
	r := revoke.Result{Outcome: revoke.Retrying, Detail: "failed", Residual: s.Residual}
	var (
		out *outgoing.Error
		no  errGrant
	)
	switch {
	case errors.As(err, &out):
		r.Detail, r.Again = out.Detail, out.Again
		if out.Kind == outgoing.Refused || out.Kind == outgoing.Untrusted {
			r.Outcome = revoke.Blocked
		}
	case errors.As(err, &no):
		r.Detail = no.Error()
		if no.status >= 300 && no.status < 500 {
			r.Outcome = revoke.Blocked
		}
	}
	return r
}

// refused is what a status other than yes means.
func refused(res outgoing.Response, s revoke.Step) revoke.Result {
	word := func(w string) string { return w + " (" + strconv.Itoa(res.Status) + ")" }
	r := revoke.Result{Outcome: revoke.Blocked, Residual: s.Residual}
	switch {
	case res.Status >= 500, res.Status == http.StatusRequestTimeout, res.Status == http.StatusConflict:
		r.Outcome, r.Detail = revoke.Retrying, word("provider-error")
	case res.Status == http.StatusUnprocessableEntity:
		r.Outcome, r.Detail = revoke.Unsupported, word("cannot-log-out")
	case res.Status == http.StatusNotFound:
		r.Detail = word("not-found")
	case res.Status == http.StatusUnauthorized, res.Status == http.StatusForbidden:
		r.Detail = word("denied")
	case res.Status >= 300 && res.Status < 400:
		r.Detail = word("redirected")
	case res.Status >= 200 && res.Status < 300:
		r.Outcome, r.Detail = revoke.Retrying, word("unexpected-status")
	default:
		r.Detail = word("refused")
	}
	return r
}
