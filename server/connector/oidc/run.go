package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// Memo keys. seenAlive is set once the provider called the token active: only
// then does its later "not active" prove anything, for a provider says the
// same of a token that the asking client may not know of (RFC 7662 §2.2).
const (
	seenAlive = "seen_alive"
	doneAt    = "done_at"
)

// beforeTimeout bounds the look before the act: a slow introspection must not
// hold up the revocation.
const beforeTimeout = 3 * time.Second

// Revoke sends the token to the provider's revocation endpoint.
func (c *Connector) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	token, at, r := c.prepare(ctx, s)
	if r != nil {
		return *r
	}
	memo := map[string]string{}
	if s.Memo[seenAlive] != "" || c.aliveBefore(ctx, at, token) {
		memo[seenAlive] = "true"
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint(s)}}
	res, err := c.post(ctx, at.revoke, c.file.revoker, form)
	if err != nil {
		return without(err, s, memo)
	}
	switch {
	case res.Status >= 200 && res.Status < 300:
	case res.Status == http.StatusBadRequest && code(res.Body) == "invalid_token":
		// Not RFC 7009, but some say so of a token that is dead already.
	default:
		r := refused(res, s)
		r.Memo = memo
		return r
	}
	memo[doneAt] = c.now().UTC().Format(time.RFC3339)
	return revoke.Result{Outcome: revoke.Retrying, Done: true, Memo: memo, Residual: c.accepted(s, token)}
}

// Confirm asks whether the token is active, and where the file names a
// userinfo address, tries an access token there.
//
// Proof: an introspection is L2 for a refresh token and for an opaque access
// token, which nobody can take without asking the provider; for a JWT it is
// L1, because others take it on its signature alone. userinfo is L2.
func (c *Connector) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	token, at, r := c.prepare(ctx, s)
	if r != nil {
		r.Done = true
		return *r
	}
	if hint(s) == Access && at.userinfo != nil && s.Memo[seenAlive] != "" {
		if r, ok := c.probe(ctx, at, token, s); ok {
			return r
		}
	}
	if at.introspect == nil {
		return c.unproved(s, token, "no-introspection")
	}
	active, err := c.active(ctx, at, token)
	var answer *statusError
	switch {
	case errors.As(err, &answer):
		if answer.status >= 500 {
			r := without(err, s, nil)
			r.Done, r.Residual = true, c.accepted(s, token)
			return r
		}
		return c.unproved(s, token, answer.Error())
	case err != nil:
		r := without(err, s, nil)
		r.Done, r.Residual = true, c.accepted(s, token)
		return r
	case active:
		// Its yes was no revocation: again.
		return revoke.Result{Outcome: revoke.Retrying, Detail: "still-active", Residual: s.Residual, Memo: map[string]string{seenAlive: "true"}}
	case s.Memo[seenAlive] == "":
		return c.unproved(s, token, "already-inactive-or-unknown")
	}
	return revoke.Result{Outcome: revoke.Verified, Done: true, Proof: c.proof(s, token), Residual: c.afterwards(s, token)}
}

// probe uses an access token. 401 is the only no: 403 may mean anything.
func (c *Connector) probe(ctx context.Context, ends endpoints, token string, s revoke.Step) (revoke.Result, bool) {
	res, err := c.client.Do(ctx, outgoing.Request{
		Method: http.MethodGet, URL: ends.userinfo, Header: http.Header{"Authorization": {"Bearer " + token}},
	})
	switch {
	case err != nil:
		return revoke.Result{}, false
	case res.Status == http.StatusUnauthorized:
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L2, Done: true, Detail: "refused-by-userinfo"}, true
	case res.Status == http.StatusOK:
		return revoke.Result{Outcome: revoke.Retrying, Detail: "still-works", Residual: s.Residual}, true
	default:
		return revoke.Result{}, false
	}
}

// unproved is a provider's yes and nothing more.
func (c *Connector) unproved(s revoke.Step, token, why string) revoke.Result {
	return revoke.Result{Outcome: revoke.Accepted, Proof: revoke.L0, Done: true, Detail: why, Residual: c.accepted(s, token)}
}

func (c *Connector) proof(s revoke.Step, token string) revoke.Proof {
	if hint(s) == Access && isJWT(token) {
		return revoke.L1
	}
	return revoke.L2
}

// accepted is until when the token itself may work if the yes was empty, and
// no less than the access tokens that a refresh token handed out.
func (c *Connector) accepted(s revoke.Step, token string) revoke.Residual {
	own := ends(s, token)
	if hint(s) == Access {
		return own
	}
	return own.Later(c.minted(s))
}

// ends is when a token ends by itself: as was said when it was handed in, else
// as it says itself, else nobody knows.
func ends(s revoke.Step, token string) revoke.Residual {
	if t, err := time.Parse(time.RFC3339, s.Params["expires"]); err == nil {
		return revoke.Residual{Until: t}
	}
	if t, ok := expiry(token); ok {
		return revoke.Residual{Until: t}
	}
	return revoke.Residual{Unbounded: true}
}

// afterwards is what is left of a token that is proved dead.
func (c *Connector) afterwards(s revoke.Step, token string) revoke.Residual {
	switch {
	case hint(s) == Refresh:
		return c.minted(s)
	case !isJWT(token):
		return revoke.Residual{}
	default:
		return ends(s, token)
	}
}

// minted is until when the access tokens live that a refresh token brought
// before it died: providers need not end them, and many do not.
func (c *Connector) minted(s revoke.Step) revoke.Residual {
	at, err := time.Parse(time.RFC3339, s.Memo[doneAt])
	if err != nil {
		at = c.now()
	}
	return revoke.Residual{Until: at.Add(c.file.accessLife)}
}

func hint(s revoke.Step) string {
	if s.Params["token_type"] == Access {
		return Access
	}
	return Refresh
}

// prepare fetches the token and the endpoints; a result says why it cannot.
func (c *Connector) prepare(ctx context.Context, s revoke.Step) (string, endpoints, *revoke.Result) {
	ends, err := c.endpoints(ctx)
	if err != nil {
		r := without(err, s, nil)
		return "", endpoints{}, &r
	}
	if ends.revoke == nil {
		return "", endpoints{}, &revoke.Result{Outcome: revoke.Unsupported, Detail: "no-revocation-endpoint", Residual: s.Residual}
	}
	token, err := c.held(ctx, s.Params["credential_id"])
	if err != nil {
		if ctx.Err() != nil {
			return "", endpoints{}, &revoke.Result{Outcome: revoke.Retrying, Detail: "timeout", Residual: s.Residual}
		}
		return "", endpoints{}, &revoke.Result{Outcome: revoke.Blocked, Detail: "token-not-held", Residual: s.Residual}
	}
	return token, ends, nil
}

func (c *Connector) aliveBefore(ctx context.Context, ends endpoints, token string) bool {
	if ends.introspect == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, beforeTimeout)
	defer cancel()
	active, err := c.active(ctx, ends, token)
	return err == nil && active
}

// active introspects the token.
func (c *Connector) active(ctx context.Context, ends endpoints, token string) (bool, error) {
	res, err := c.post(ctx, ends.introspect, c.file.introspect, url.Values{"token": {token}})
	if err != nil {
		return false, err
	}
	if res.Status != http.StatusOK {
		return false, &statusError{res.Status, "introspection-refused"}
	}
	var answer struct {
		Active *bool `json:"active"`
	}
	if json.Unmarshal(res.Body, &answer) != nil || answer.Active == nil {
		return false, &statusError{http.StatusBadGateway, "answer-malformed"}
	}
	return *answer.Active, nil
}

func (c *Connector) post(ctx context.Context, to *url.URL, k client, form url.Values) (outgoing.Response, error) {
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	switch k.auth {
	case "basic":
		// RFC 6749 §2.3.1: both are form-encoded before they are joined.
		both := url.QueryEscape(k.id) + ":" + url.QueryEscape(c.secrets[k.secret])
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(both)))
	case "post":
		form.Set("client_id", k.id)
		form.Set("client_secret", c.secrets[k.secret])
	default:
		form.Set("client_id", k.id)
	}
	return c.client.Do(ctx, outgoing.Request{Method: http.MethodPost, URL: to, Header: h, Body: []byte(form.Encode())})
}

// statusError is an answer that is no answer.
type statusError struct {
	status int
	word   string
}

// Error is the word and the status.
func (e *statusError) Error() string { return e.word + " (" + strconv.Itoa(e.status) + ")" }

// without is the result where there was no answer.
func without(err error, s revoke.Step, memo map[string]string) revoke.Result {
	r := revoke.Result{Outcome: revoke.Retrying, Detail: "failed", Residual: s.Residual, Memo: memo}
	var (
		out    *outgoing.Error
		answer *statusError
	)
	switch {
	case errors.As(err, &out):
		r.Detail, r.Again = out.Detail, out.Again
		if out.Kind == outgoing.Refused || out.Kind == outgoing.Untrusted {
			r.Outcome = revoke.Blocked
		}
	case errors.As(err, &answer):
		r.Detail = answer.Error()
	}
	return r
}

// code is the error code of an OAuth answer.
func code(body []byte) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Error
}

// refused is what a status other than yes means at the revocation endpoint.
func refused(res outgoing.Response, s revoke.Step) revoke.Result {
	word := func(w string) string { return w + " (" + strconv.Itoa(res.Status) + ")" }
	r := revoke.Result{Outcome: revoke.Blocked, Residual: s.Residual}
	switch {
	case res.Status >= 500 || res.Status == http.StatusRequestTimeout:
		r.Outcome, r.Detail = revoke.Retrying, word("provider-error")
	case code(res.Body) == "unsupported_token_type":
		r.Outcome, r.Detail = revoke.Unsupported, "unsupported-token-type"
	case res.Status == http.StatusUnauthorized, res.Status == http.StatusForbidden, code(res.Body) == "invalid_client":
		r.Detail = word("denied")
	case res.Status == http.StatusNotFound:
		r.Detail = word("not-found")
	case res.Status >= 300 && res.Status < 400:
		r.Detail = word("redirected")
	default:
		r.Detail = word("refused")
	}
	return r
}

// isJWT reports whether others could check the token by themselves.
func isJWT(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	return err == nil && json.Valid(head)
}

// expiry reads a JWT's own end. It is not verified: it only makes the exposure
// shown longer or shorter, and the token is ours.
func expiry(token string) (time.Time, bool) {
	if !isJWT(token) {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Exp), 0).UTC(), true
}
