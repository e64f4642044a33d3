// Package iamtest is an AWS account for tests: IAM and STS by the Query
// protocol, each request and each answer held against AWS's own models, with
// users, roles, keys, sessions and policies that it really evaluates. It must
// not be used but by tests.
package iamtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Account is what the fake is.
const Account = "123456789012"

// Server is one account. Its fields are set before it is used, or under Lock.
type Server struct {
	sync.Mutex
	Users map[string]*User
	Roles map[string]*Role
	// Foreign are keys of other accounts, by id.
	Foreign map[string]string
	// Caller is who the connector's key belongs to, and Denied what it may not do.
	Caller string
	Denied []string
	// Fail answers an action with an error's code.
	Fail map[string]string
	// Stale answers that many reads of policies with what was there before the
	// last write, as IAM may.
	Stale int
	// Faults are requests that AWS's model does not allow.
	Faults []string
	// Calls are the actions that were asked for.
	Calls []string

	iam, sts model
	before   map[string]map[string]string
}

// User is an IAM user.
type User struct {
	Keys     map[string]string // id → Active, Inactive
	Password bool
	Policies map[string]string
}

// Role is an IAM role. Managed ones cannot be changed.
type Role struct {
	Policies map[string]string
	Managed  bool
}

// New is an account with nobody in it but the connector's user, cutoff.
func New() *Server {
	return &Server{
		Users: map[string]*User{}, Roles: map[string]*Role{}, Foreign: map[string]string{}, Fail: map[string]string{}, Caller: "arn:aws:iam::" + Account + ":user/cutoff",
		iam: load("iam-2010-05-08.json"), sts: load("sts-2011-06-15.json"), before: map[string]map[string]string{},
	}
}

// Session is what a request is made with: a key of a user, or what was made of
// one, or a role's session. Issued is zero for a key.
type Session struct {
	User, Key, Role, Name string
	Issued                time.Time
}

// Works reports whether AWS would let a session do anything: the key is active
// and no policy of its user or role denies it.
func (s *Server) Works(of Session) bool {
	s.Lock()
	defer s.Unlock()
	policies := map[string]string{}
	if of.Role != "" {
		policies = s.Roles[of.Role].Policies
	} else if u := s.Users[of.User]; u != nil {
		policies = u.Policies
		if of.Key != "" && u.Keys[of.Key] != "Active" {
			return false
		}
	}
	for _, text := range policies {
		if denies(text, of) {
			return false
		}
	}
	return true
}

// denies evaluates a policy's denials as IAM documents them.
func denies(text string, of Session) bool {
	var doc struct {
		Statement any
	}
	if json.Unmarshal([]byte(text), &doc) != nil {
		return false
	}
	list, ok := doc.Statement.([]any)
	if !ok {
		list = []any{doc.Statement}
	}
	for _, one := range list {
		m, ok := one.(map[string]any)
		if !ok || m["Effect"] != "Deny" || !all(m["Action"]) || !all(m["Resource"]) {
			continue
		}
		conditions, _ := m["Condition"].(map[string]any)
		if holds(conditions, of) {
			return true
		}
	}
	return false
}

func all(v any) bool {
	list, ok := v.([]any)
	return v == "*" || ok && slices.Contains(list, any("*"))
}

// holds reports whether all conditions are met; a key that the request does not
// have meets none.
func holds(conditions map[string]any, of Session) bool {
	for operator, keys := range conditions {
		for key, value := range keys.(map[string]any) { //nolint:forcetypeassert // policies of the tests
			text, _ := value.(string)
			switch operator + " " + key {
			case "DateLessThan aws:TokenIssueTime":
				line, err := time.Parse(time.RFC3339, text)
				if err != nil || of.Issued.IsZero() || !of.Issued.Before(line) {
					return false
				}
			case "StringLike aws:userid":
				id := "AROAEXAMPLE:" + of.Name
				if of.Role == "" {
					id = "AIDAEXAMPLE"
				}
				if ok, err := path.Match(text, id); err != nil || !ok {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

// ServeHTTP answers as IAM and STS do, on one address.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	form, err := url.ParseQuery(string(body))
	s.Lock()
	defer s.Unlock()
	action := form.Get("Action")
	s.Calls = append(s.Calls, action)
	m, service := s.iam, "iam"
	if _, ok := s.sts.Operations[action]; ok {
		m, service = s.sts, "sts"
	}
	if err == nil {
		err = m.request(form)
	}
	if err == nil && (r.Method != http.MethodPost || r.URL.Path != "/" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") ||
		!strings.Contains(r.Header.Get("Authorization"), "/us-east-1/"+service+"/aws4_request")) {
		err = fmt.Errorf("%s %s is no signed call of %s", r.Method, r.URL, service)
	}
	if err != nil {
		s.Faults = append(s.Faults, action+": "+err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	value, code := map[string]any(nil), s.Fail[action]
	if slices.Contains(s.Denied, service+":"+action) {
		code = "AccessDenied"
	}
	if code == "" {
		value, code = s.act(action, form)
	}
	w.Header().Set("Content-Type", "text/xml")
	if code != "" {
		status, text := m.failure(action, code)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		return
	}
	_, _ = io.WriteString(w, m.answer(action, value))
}
