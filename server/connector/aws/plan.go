package aws

import (
	"regexp"
	"strings"

	"cutoff/server/revoke"
)

// Actions. A key is switched off before sessions are denied: a live key makes
// new ones.
const (
	actBlock        = "block-user"
	actKey          = "access-key"
	actKeys         = "access-keys"
	actLogin        = "delete-password"
	actUserSessions = "user-sessions"
	actRoleSession  = "role-session"

	undoBlock  = "unblock-user"
	undoKey    = "activate-key"
	undoKeys   = "activate-keys"
	undoDenial = "allow-sessions"
)

// Parameters of steps, and memos that an undo needs.
const (
	paramCredential = "credential_id"
	paramKey        = "key"
	paramUser       = "user"
	paramRole       = "role"
	paramSession    = "session"
	paramSid        = "sid"
	paramLine       = "line"
	paramKeys       = "keys"

	memoUser   = "user"
	memoLine   = "line"
	memoSid    = "sid"
	memoWas    = "was"
	memoKeys   = "keys"
	memoDoneAt = "done_at"
)

// Identifier kinds, as agents report them.
const (
	kindKey     = "aws-access-key-id"
	kindRole    = "aws-role-arn"
	kindSession = "aws-login-session"
)

// assumed is the ARN of a role's session.
// Role and session names are of these letters (AWS STS reference), so that no
// name can be a pattern for others.
var (
	assumed = regexp.MustCompile(`^arn:aws[a-z-]*:sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/([\w+=,.@-]{2,64})$`)
	ofUser  = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):user/(?:[!-~]*/)?([\w+=,.@-]{1,64})$`)
	name    = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
)

// managed are roles that only AWS itself may change.
func managed(role string) bool {
	return strings.HasPrefix(role, "AWSReservedSSO_") || strings.HasPrefix(role, "AWSServiceRoleFor")
}

// Plan is what lies on the device, by its names, and the person's users: their
// sessions end with a device; with a person they are blocked, and all their
// keys go.
func (c *Connector) Plan(s revoke.Subject) []revoke.Spec {
	p := plan{c: c, seen: map[string]bool{}}
	for i := range s.Credentials {
		p.credential(&s.Credentials[i])
	}
	for _, user := range s.Accounts {
		p.user(user, s)
	}
	return p.specs
}

type plan struct {
	c     *Connector
	seen  map[string]bool
	specs []revoke.Spec
}

func (p *plan) add(s revoke.Spec) {
	key := s.Action + "\x00" + s.Target + "\x00" + s.Params[paramCredential]
	if p.seen[key] {
		return
	}
	p.seen[key] = true
	s.Connector = p.c.name
	p.specs = append(p.specs, s)
}

func (p *plan) credential(k *revoke.Credential) {
	for _, n := range k.Names {
		switch n.Kind {
		case kindKey:
			if strings.HasPrefix(n.Value, "AKIA") && keyForm.MatchString(n.Value) {
				p.add(revoke.Spec{
					Action: actKey, Target: "access key " + n.Value, Scope: revoke.ScopeDevice, Undo: revoke.UndoFull, Rank: 15,
					Params: map[string]string{paramKey: n.Value, paramCredential: k.ID},
				})
			}
		case kindRole, kindSession:
			p.session(k, n.Value)
		}
	}
}

// session denies what an ARN names, if it is of this account: roles of one name
// are in many.
func (p *plan) session(k *revoke.Credential, arn string) {
	if m := assumed.FindStringSubmatch(arn); m != nil && m[1] == p.c.file.account {
		s := revoke.Spec{
			Action: actRoleSession, Target: "session " + m[3] + " of role " + m[2], Scope: revoke.ScopeDevice, Undo: revoke.UndoFull, Rank: 20,
			Params: map[string]string{paramRole: m[2], paramSession: m[3], paramCredential: k.ID},
		}
		if managed(m[2]) {
			// The deny for one person is a policy of the organization, which
			// this account's keys do not write.
			s.Unsupported, s.Detail, s.Undo = true, "role-managed-by-aws", revoke.UndoNone
			s.Residual = revoke.Residual{Until: k.Expires, Unbounded: k.Expires.IsZero()}
		}
		p.add(s)
	}
	if m := ofUser.FindStringSubmatch(arn); m != nil && m[1] == p.c.file.account {
		p.add(userSessions(m[2], k.ID))
	}
}

func userSessions(user, credential string) revoke.Spec {
	s := revoke.Spec{
		Action: actUserSessions, Target: "sessions of user " + user, Scope: revoke.ScopeSessions, Undo: revoke.UndoFull, Rank: 20,
		Params: map[string]string{paramUser: user},
	}
	if credential != "" {
		s.Params[paramCredential] = credential
	}
	return s
}

func (p *plan) user(user string, s revoke.Subject) {
	p.add(userSessions(user, ""))
	if !s.PersonScope {
		return
	}
	of := func(action, target string, rank int, undo revoke.Undo) {
		p.add(revoke.Spec{
			Action: action, Target: target + user, Scope: revoke.ScopePerson, Undo: undo, Rank: rank, Params: map[string]string{paramUser: user},
		})
	}
	of(actBlock, "everything user ", 10, revoke.UndoFull)
	of(actKeys, "all access keys of user ", 15, revoke.UndoFull)
	if s.Level == "purge" {
		of(actLogin, "console password of user ", 40, revoke.UndoNone)
	}
}

// UndoSpecs switches on the keys that the step switched off, and takes back the
// denial that it wrote; what was so before stays so.
func (c *Connector) UndoSpecs(s revoke.Step) []revoke.Spec {
	undo := revoke.Spec{Connector: c.name, Target: s.Target, Scope: s.Scope, Undo: revoke.UndoNone, Rank: s.Rank, Params: map[string]string{}}
	put := func(action string, params ...string) []revoke.Spec {
		undo.Action = action
		for i := 0; i < len(params); i += 2 {
			if params[i+1] != "" {
				undo.Params[params[i]] = params[i+1]
			}
		}
		return []revoke.Spec{undo}
	}
	switch s.Action {
	case actKey:
		if s.Memo[memoWas] == "Active" {
			return put(undoKey, paramUser, s.Memo[memoUser], paramKey, s.Params[paramKey])
		}
	case actKeys:
		if s.Memo[memoKeys] != "" {
			return put(undoKeys, paramUser, s.Params[paramUser], paramKeys, s.Memo[memoKeys])
		}
	case actBlock, actUserSessions, actRoleSession:
		action := undoDenial
		if s.Action == actBlock {
			action = undoBlock
		}
		if s.Memo[memoSid] != "" {
			return put(action, paramUser, s.Params[paramUser], paramRole, s.Params[paramRole], paramSid, s.Memo[memoSid], paramLine, s.Memo[memoLine])
		}
	}
	return nil
}
