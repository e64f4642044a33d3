package console

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"cutoff/server/fault"
	"cutoff/server/flow"
)

// kindOf reads the kind of an error of Admin or Auth, whichever way it carries
// it.
func kindOf(err error) fault.Kind {
	if kind := fault.Of(err); kind != fault.Internal {
		return kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable
	}
	s, ok := grpcstatus.FromError(err)
	if !ok {
		return fault.Internal
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.OutOfRange:
		return fault.Invalid
	case codes.NotFound:
		return fault.NotFound
	case codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted:
		return fault.Conflict
	case codes.PermissionDenied:
		return fault.Denied
	case codes.Unauthenticated:
		return fault.Unauthenticated
	case codes.ResourceExhausted:
		return fault.Limited
	case codes.Unavailable, codes.DeadlineExceeded, codes.Unimplemented:
		return fault.Unavailable
	default:
		return fault.Internal
	}
}

// sentence is what the operator may read of err.
func sentence(err error) string {
	var known *fault.Error
	if errors.As(err, &known) {
		return asSentence(known.Sentence)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "The server took too long to answer. Try again."
	}
	if s, ok := grpcstatus.FromError(err); ok && kindOf(err) != fault.Internal {
		return asSentence(s.Message())
	}
	return "Something went wrong inside the server. Its log has the details."
}

func status(err error) int {
	switch kindOf(err) {
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Denied:
		return http.StatusForbidden
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// note logs what the operator is not told.
func (c *Console) note(r *http.Request, err error) {
	switch kindOf(err) {
	case fault.Internal, fault.Unavailable:
		c.Log.Error("console request", "method", r.Method, "path", r.URL.Path, "err", err)
	default:
		c.Log.Debug("console request", "method", r.Method, "path", r.URL.Path, "err", err)
	}
}

type failurePage struct {
	Code     int
	Sentence string
	SignIn   bool
}

// fail answers with an error page, or with a short notice where only a part of
// a page was asked for.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, actor flow.Actor, err error) {
	c.note(r, err)
	code := status(err)
	data := failurePage{Code: code, Sentence: sentence(err), SignIn: code == http.StatusUnauthorized}
	if r.Header.Get("HX-Request") != "" {
		// htmx shows only successful answers; the notice says what it is.
		c.part(w, http.StatusOK, "device", "notice", data.Sentence)
		return
	}
	p := page{Title: failureTitle(code), Data: data}
	if actor.Name != "" {
		if cookie, err := r.Cookie(sessionCookie); err == nil {
			p.Actor, p.FormToken = &actor, formToken(cookie.Value)
		}
	}
	c.show(w, code, "failure", p)
}

func failureTitle(code int) string {
	switch code {
	case http.StatusNotFound:
		return "Not here"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusUnauthorized:
		return "Signed out"
	case http.StatusConflict:
		return "Not possible now"
	case http.StatusUnprocessableEntity:
		return "Not accepted"
	case http.StatusTooManyRequests:
		return "Too many attempts"
	case http.StatusServiceUnavailable:
		return "No answer"
	default:
		return "Something went wrong"
	}
}

func (c *Console) nowhere(w http.ResponseWriter, r *http.Request) {
	_, actor, _ := c.session(r.Context(), r)
	c.fail(w, r, actor, fault.New(fault.NotFound, "There is no page at this address."))
}
