package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"cutoff/server/fault"
	"cutoff/server/flow"
)

const (
	// maxForm bounds what a form may send; the largest field is a reason.
	maxForm = 64 << 10
	// patience bounds what one page may take; a preview asks the device itself.
	patience = 25 * time.Second
)

// contentPolicy lets a page load only our own files: no inline script or style,
// no frames, no other origin, nothing to submit to but ourselves.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard is around every route: headers, size limits, and no request that another
// site's page made. A browser too old to say where a request comes from is
// still stopped by the form's token.
func (c *Console) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, flow.Actor{}, fault.New(fault.Denied,
			"This request came from another site, so it was not carried out."))
	}))
	inner := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		inner.ServeHTTP(w, r)
	})
}

// request is one request of somebody signed in.
type request struct {
	*http.Request
	ctx   context.Context
	actor flow.Actor
	// token is the session's; forms carry its derivative.
	token string
}

// handler answers somebody signed in; an error becomes an error page.
type handler func(w http.ResponseWriter, r request) error

// signedIn finds out who asks, checks the form's token on anything that is not
// a GET, and turns an error into a page.
func (c *Console) signedIn(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		token, actor, err := c.session(ctx, r)
		if err != nil {
			c.toLogin(w, r, err)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if err := checkForm(r, token); err != nil {
				c.fail(w, r, actor, err)
				return
			}
		}
		req := request{Request: r, ctx: c.WithActor(ctx, actor), actor: actor, token: token}
		if err := handle(w, req); err != nil {
			c.fail(w, r, actor, err)
		}
	}
}

// need refuses what the actor's role may not do.
func (c *Console) need(r request, method string) error {
	if c.May(r.actor.Role, method) {
		return nil
	}
	return fault.New(fault.Denied, "Your role, %s, may not do this.", roleWord(r.actor.Role))
}

func roleWord(role string) string {
	if role == "" {
		return "none"
	}
	return role
}

// formToken is what a form carries so that only a page of this session can send
// it. It is derived, so that the session's own token never stands in a page.
func formToken(secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("cutoff console form v1"))
	return hex.EncodeToString(mac.Sum(nil))
}

// checkForm reads the form and refuses one without the token.
func checkForm(r *http.Request, secret string) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read; nothing was done.")
	}
	if secret == "" || !hmac.Equal([]byte(r.PostFormValue("form_token")), []byte(formToken(secret))) {
		return fault.New(fault.Denied,
			"This form is out of date, so it was not carried out. Open the page again and repeat.")
	}
	return nil
}
