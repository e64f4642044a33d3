package aws

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// errTooMany is a list that does not end, errMalformed one that makes no sense.
var (
	errTooMany   = errors.New("too-many-found")
	errMalformed = errors.New("answer-malformed")
)

// meaning is what an error code of IAM or STS says of a step. Only codes that
// stand here get into a result: what a provider writes else may be anything.
var meaning = map[string]revoke.Outcome{
	"AccessDenied": revoke.Blocked, "AccessDeniedException": revoke.Blocked, "UnauthorizedOperation": revoke.Blocked,
	"InvalidClientTokenId": revoke.Blocked, "UnrecognizedClientException": revoke.Blocked, "SignatureDoesNotMatch": revoke.Blocked,
	"IncompleteSignature": revoke.Blocked, "MissingAuthenticationToken": revoke.Blocked, "OptInRequired": revoke.Blocked,
	"ExpiredToken": revoke.Blocked, "NoSuchEntity": revoke.Blocked, "LimitExceeded": revoke.Blocked, "MalformedPolicyDocument": revoke.Blocked,
	"InvalidInput": revoke.Blocked, "ValidationError": revoke.Blocked,
	"UnmodifiableEntity": revoke.Unsupported,
	// These pass by themselves. IAM throttles by status 400.
	"Throttling": revoke.Retrying, "ThrottlingException": revoke.Retrying, "RequestLimitExceeded": revoke.Retrying,
	"TooManyRequestsException": revoke.Retrying, "ConcurrentModification": revoke.Retrying, "EntityTemporarilyUnmodifiable": revoke.Retrying,
	"ServiceFailure": revoke.Retrying, "InternalFailure": revoke.Retrying, "ServiceUnavailable": revoke.Retrying, "RequestExpired": revoke.Retrying,
}

func codeOf(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	switch code := api.ErrorCode(); code {
	case "NoSuchEntityException":
		return "NoSuchEntity"
	default:
		return code
	}
}

// isMissing reports whether err says that what was asked about is not there.
func isMissing(err error) bool { return err != nil && codeOf(err) == "NoSuchEntity" }

func isDenied(err error) bool {
	code := codeOf(err)
	return err != nil && (code == "AccessDenied" || code == "AccessDeniedException")
}

// failed is the result of a call that did not do what it should.
func failed(err error, s revoke.Step) revoke.Result {
	r := revoke.Result{Outcome: revoke.Retrying, Detail: "failed", Residual: s.Residual}
	var out *outgoing.Error
	switch outcome, known := meaning[codeOf(err)]; {
	case errors.As(err, &out):
		r.Detail, r.Again = out.Detail, out.Again
		if out.Kind == outgoing.Refused || out.Kind == outgoing.Untrusted {
			r.Outcome = revoke.Blocked
		}
	case errors.Is(err, errPolicy):
		r.Outcome, r.Detail = revoke.Blocked, "policy-not-understood: look at the inline policy of our name, or say another as policy"
	case errors.Is(err, errTooMany):
		r.Outcome, r.Detail = revoke.Blocked, errTooMany.Error()
	case errors.Is(err, errMalformed):
		r.Detail = errMalformed.Error()
	case known:
		r.Outcome, r.Detail = outcome, word(codeOf(err))
	default:
		r.Outcome, r.Detail = byStatus(statusOf(err))
	}
	return r
}

// word is a code in the words that all connectors have, with the code.
func word(code string) string {
	switch code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
		return "denied (" + code + "): connector test says which permission is missing"
	case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "ExpiredToken":
		return "denied (" + code + "): the connector's own key is not taken"
	case "NoSuchEntity":
		return "not-found (" + code + ")"
	case "LimitExceeded":
		return "limit-exceeded: the inline policies of this user or role have no room left"
	case "UnmodifiableEntity":
		return "role-managed-by-aws"
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException":
		return "rate-limited (" + code + ")"
	}
	return code
}

func statusOf(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// byStatus is what an answer means whose code says nothing.
func byStatus(status int) (revoke.Outcome, string) {
	with := func(w string) string { return w + " (" + strconv.Itoa(status) + ")" }
	switch {
	case status == 0:
		return revoke.Retrying, "failed"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return revoke.Blocked, with("denied")
	case status >= 500 || status == http.StatusRequestTimeout:
		return revoke.Retrying, with("provider-error")
	case status >= 200 && status < 300:
		return revoke.Retrying, with("answer-malformed")
	case status >= 300 && status < 400:
		return revoke.Blocked, with("redirected")
	default:
		return revoke.Blocked, with("refused")
	}
}
