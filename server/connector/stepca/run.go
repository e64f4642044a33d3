package stepca

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cutoff/server/connector/outgoing"
	"cutoff/server/device"
	"cutoff/server/revoke"
)

const thumbprint = crypto.SHA256

func encode(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum) }

// Memo keys.
const (
	memoDone = "done_at"
	// memoAlready is set when the CA had it revoked before.
	memoAlready = "already"
	// memoSerials are those a following has revoked, kind:serial with spaces between.
	memoSerials = "serials"
)

// reasonUnspecified and the others are RFC 5280 §5.3.1's; a device that is cut
// may be in wrong hands.
const reasonKeyCompromise = 1

// Revoke revokes a serial, or all that a following knows by now.
func (c *Connector) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	if s.Action == actionFollow {
		return c.follow(ctx, s)
	}
	already, err := c.revoke(ctx, certificateOf(s))
	if err != nil {
		return failed(err, s)
	}
	memo := map[string]string{memoDone: c.now().UTC().Format(time.RFC3339)}
	if already {
		memo[memoAlready] = "true"
	}
	return revoke.Result{Outcome: revoke.Retrying, Done: true, Memo: memo, Residual: c.ends(certificateOf(s), c.now())}
}

// revoke revokes one certificate; already is set if it was revoked before.
func (c *Connector) revoke(ctx context.Context, cert device.Certificate) (already bool, err error) {
	serial, ok := decimal(cert)
	if !ok {
		return false, &keyError{"no-serial"}
	}
	call := "revoke"
	if cert.Kind == device.SSH {
		call = "ssh/revoke"
	}
	token, err := c.token(ctx, call, serial)
	if err != nil {
		return false, err
	}
	res, err := c.post(ctx, call, map[string]any{
		"serial": serial, "ott": token, "passive": true, "reasonCode": reasonKeyCompromise, "reason": "the device was cut off",
	})
	if err != nil {
		return false, err
	}
	switch {
	case res.Status >= 200 && res.Status < 300:
		return false, nil
	case res.Status == http.StatusBadRequest && strings.Contains(message(res.Body), "is already revoked"):
		return true, nil
	default:
		return false, &answerError{res.Status, "refused"}
	}
}

func (c *Connector) post(ctx context.Context, call string, body map[string]any) (outgoing.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return outgoing.Response{}, &keyError{"bad-request"}
	}
	return c.client.Do(ctx, outgoing.Request{
		Method: http.MethodPost, URL: c.at(call), Body: text,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
	})
}

// message is the sentence of step-ca's error.
func message(body []byte) string {
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Message
}

// answerError is an answer that is no yes.
type answerError struct {
	status int
	word   string
}

// Error is the word and the status.
func (e *answerError) Error() string { return e.word + " (" + strconv.Itoa(e.status) + ")" }

// keyError is what a person has to mend at the connector itself.
type keyError struct{ word string }

// Error is the word.
func (e *keyError) Error() string { return e.word }

// failed is the result where there was no yes.
func failed(err error, s revoke.Step) revoke.Result {
	r := revoke.Result{Outcome: revoke.Retrying, Detail: "failed", Residual: s.Residual, Memo: s.Memo}
	var (
		out    *outgoing.Error
		answer *answerError
		key    *keyError
	)
	switch {
	case errors.As(err, &out):
		r.Detail, r.Again = out.Detail, out.Again
		if out.Kind == outgoing.Refused || out.Kind == outgoing.Untrusted {
			r.Outcome = revoke.Blocked
		}
	case errors.As(err, &key):
		r.Outcome, r.Detail = revoke.Blocked, key.Error()
	case errors.As(err, &answer):
		r.Detail = answer.Error()
		status := strconv.Itoa(answer.status)
		switch {
		case answer.status == http.StatusUnauthorized || answer.status == http.StatusForbidden:
			r.Outcome, r.Detail = revoke.Blocked, "denied ("+status+")"
		case answer.status == http.StatusNotFound:
			r.Outcome, r.Detail = revoke.Blocked, "not-found ("+status+")"
		case answer.status == http.StatusNotImplemented:
			// Without a database it can remember nothing.
			r.Outcome, r.Detail = revoke.Blocked, "ca-without-database (501)"
		case answer.status >= 300 && answer.status < 400:
			r.Outcome, r.Detail = revoke.Blocked, "redirected ("+status+")"
		case answer.status >= 400 && answer.status < 500 && answer.status != http.StatusRequestTimeout:
			r.Outcome = revoke.Blocked
		}
	}
	return r
}
