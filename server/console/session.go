package console

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/operator"
)

// The __Host- prefix makes browsers refuse the cookie unless it is Secure, of
// this very host and of the whole site.
const (
	sessionCookie = "__Host-cutoff-session"
	// formCookie guards the forms of somebody who has no session yet.
	formCookie = "__Host-cutoff-form"
)

// session answers the request's session token and its actor.
func (c *Console) session(ctx context.Context, r *http.Request) (string, flow.Actor, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" {
		return "", flow.Actor{}, fault.New(fault.Unauthenticated, "Sign in to go on.")
	}
	actor, err := c.Auth.Session(ctx, cookie.Value)
	if err != nil {
		return "", flow.Actor{}, err
	}
	return cookie.Value, actor, nil
}

// toLogin sends a page's reader to the login page and back; anything else only
// learns that it is not signed in.
func (c *Console) toLogin(w http.ResponseWriter, r *http.Request, err error) {
	if kindOf(err) != fault.Unauthenticated {
		c.fail(w, r, flow.Actor{}, err)
		return
	}
	if r.Method != http.MethodGet || r.Header.Get("HX-Request") != "" {
		c.fail(w, r, flow.Actor{}, fault.New(fault.Unauthenticated,
			"Your session has ended, so nothing was done. Sign in and repeat."))
		return
	}
	target := "/login"
	if here := r.URL.RequestURI(); here != "/" {
		target += "?next=" + url.QueryEscape(here)
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// inside returns next if it is a path of this console, else the first page.
func inside(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/devices"
	}
	return next
}

type signInPage struct {
	Name    string
	Next    string
	Pending bool
	Problem string
	// MinLength is what the setup page asks of a password.
	MinLength int
}

func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	if _, _, err := c.session(r.Context(), r); err == nil {
		http.Redirect(w, r, "/devices", http.StatusSeeOther)
		return
	}
	c.showSignIn(w, r, "login", http.StatusOK, signInPage{Next: inside(r.URL.Query().Get("next"))})
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := c.checkFirstForm(r); err != nil {
		c.showSignIn(w, r, "login", http.StatusForbidden, signInPage{Problem: sentence(err)})
		return
	}
	name := strings.TrimSpace(r.PostFormValue("name"))
	next := inside(r.PostFormValue("next"))
	token, err := c.Auth.Login(r.Context(), name, r.PostFormValue("password"), source(r))
	if err != nil {
		c.note(r, err)
		c.showSignIn(w, r, "login", status(err), signInPage{Name: name, Next: next, Problem: sentence(err)})
		return
	}
	setCookie(w, sessionCookie, token)
	dropCookie(w, formCookie)
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // next is a path of this console, see inside
}

func (c *Console) setupPage(w http.ResponseWriter, r *http.Request) {
	c.showSignIn(w, r, "setup", http.StatusOK, signInPage{})
}

func (c *Console) setup(w http.ResponseWriter, r *http.Request) {
	if err := c.checkFirstForm(r); err != nil {
		c.showSignIn(w, r, "setup", http.StatusForbidden, signInPage{Problem: sentence(err)})
		return
	}
	name, password := strings.TrimSpace(r.PostFormValue("name")), r.PostFormValue("password")
	again := func(code int, problem string) {
		c.showSignIn(w, r, "setup", code, signInPage{Name: name, Problem: problem})
	}
	switch {
	case name == "":
		again(http.StatusUnprocessableEntity, "Choose a name.")
		return
	case utf8.RuneCountInString(password) < operator.MinPassword:
		again(http.StatusUnprocessableEntity,
			fmt.Sprintf("Choose a password of at least %d characters.", operator.MinPassword))
		return
	case password != r.PostFormValue("password_again"):
		again(http.StatusUnprocessableEntity, "The two passwords differ.")
		return
	}
	code := strings.TrimSpace(r.PostFormValue("code"))
	if err := c.Auth.Setup(r.Context(), code, name, password); err != nil {
		c.note(r, err)
		again(status(err), sentence(err))
		return
	}
	token, err := c.Auth.Login(r.Context(), name, password, source(r))
	if err != nil {
		c.note(r, err)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	setCookie(w, sessionCookie, token)
	dropCookie(w, formCookie)
	http.Redirect(w, r, "/devices", http.StatusSeeOther)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	token, actor, err := c.session(r.Context(), r)
	if err == nil {
		if err := checkForm(r, token); err != nil {
			c.fail(w, r, actor, err)
			return
		}
		if err := c.Auth.Logout(r.Context(), token); err != nil {
			c.fail(w, r, actor, err)
			return
		}
	}
	dropCookie(w, sessionCookie)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// showSignIn shows the login or setup page, with a cookie that its form's token
// is derived from (double submit).
func (c *Console) showSignIn(w http.ResponseWriter, r *http.Request, name string, code int, data signInPage) {
	var secret string
	if cookie, err := r.Cookie(formCookie); err == nil && len(cookie.Value) >= 20 {
		secret = cookie.Value
	} else {
		secret = rand.Text()
		setCookie(w, formCookie, secret)
	}
	if data.Next == "" {
		data.Next = "/devices"
	}
	data.MinLength = operator.MinPassword
	if asker, ok := c.Auth.(SetupPending); ok {
		pending, err := asker.SetupPending(r.Context())
		if err != nil {
			c.note(r, err)
		}
		data.Pending = pending
	}
	title := "Sign in"
	if name == "setup" {
		title = "First admin"
	}
	c.show(w, code, name, page{Title: title, FormToken: formToken(secret), Data: data})
}

func (c *Console) checkFirstForm(r *http.Request) error {
	cookie, err := r.Cookie(formCookie)
	if err != nil {
		return fault.New(fault.Denied,
			"The browser did not send this page's cookie. Allow cookies for this site and try again.")
	}
	return checkForm(r, cookie.Value)
}

func setCookie(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func dropCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// source is the caller's address, without its port.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
