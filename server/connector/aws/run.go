package aws

import (
	"context"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"cutoff/server/revoke"
)

// Revoke does one step.
func (c *Connector) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	switch s.Action {
	case actKey:
		return c.switchOff(ctx, s)
	case actKeys:
		return c.switchAllOff(ctx, s)
	case actLogin:
		return c.deletePassword(ctx, s)
	case actBlock, actUserSessions, actRoleSession:
		return c.denial(ctx, s)
	case undoKey, undoKeys:
		return c.switchOn(ctx, s)
	case undoBlock, undoDenial:
		return c.takeBack(ctx, s)
	}
	return revoke.Result{Outcome: revoke.Blocked, Detail: "action-not-known", Residual: s.Residual}
}

// done is the answer once AWS said yes; memo is what an undo and the
// confirmation need.
func (c *Connector) done(s revoke.Step, detail string, memo map[string]string) revoke.Result {
	at := c.now().UTC()
	memo[memoDoneAt] = at.Format(time.RFC3339)
	return revoke.Result{Outcome: revoke.Retrying, Done: true, Detail: detail, Memo: memo, Residual: c.residual(s, at)}
}

// residual is until when something works after a step was done at: as long as
// IAM takes to tell its regions, and what the credential made before. Sessions
// of roles that a key or a user entered are denied only where they are found.
func (c *Connector) residual(s revoke.Step, at time.Time) revoke.Residual {
	switch s.Action {
	case actKey, actKeys:
		return revoke.Residual{Until: at.Add(max(userSession, c.file.session))}
	case actBlock, actUserSessions:
		return revoke.Residual{Until: at.Add(c.file.session)}
	default:
		return revoke.Residual{Until: at.Add(propagation)}
	}
}

// switchOff finds who has a key and makes it inactive.
func (c *Connector) switchOff(ctx context.Context, s revoke.Step) revoke.Result {
	key := s.Params[paramKey]
	if key == c.file.key {
		return revoke.Result{Outcome: revoke.Blocked, Detail: "own-key: the connector works with it; give it another and retry", Residual: s.Residual}
	}
	user := s.Memo[memoUser]
	if user == "" {
		used, err := c.iam.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &key})
		switch {
		case isMissing(err):
			return c.gone(s)
		case isDenied(err):
			return c.foreign(ctx, s, err)
		case err != nil:
			return failed(err, s)
		}
		user = awssdk.ToString(used.UserName)
	}
	if !name.MatchString(user) {
		return revoke.Result{Outcome: revoke.Blocked, Detail: "no-user: the key belongs to no user of this account (the root user's keys are deleted by the root user)", Residual: s.Residual}
	}
	was, found, err := c.status(ctx, user, key)
	switch {
	case err != nil:
		return failed(err, s)
	case !found:
		return c.gone(s)
	}
	memo := map[string]string{memoUser: user, memoWas: first(s.Memo[memoWas], string(was))}
	if was == types.StatusTypeInactive {
		return c.done(s, "already", memo)
	}
	_, err = c.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &key, Status: types.StatusTypeInactive})
	switch {
	case isMissing(err):
		return c.gone(s)
	case err != nil:
		r := failed(err, s)
		r.Memo = map[string]string{memoUser: user}
		return r
	}
	return c.done(s, "key of user "+user, memo)
}

// gone is a key that is no more: whatever it was, it works for nobody.
func (c *Connector) gone(s revoke.Step) revoke.Result {
	at := c.now().UTC()
	return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true, Detail: "already: no such key", Residual: c.residual(s, at)}
}

// foreign tells a key of another account, which IAM calls denied, from a right
// that is missing.
func (c *Connector) foreign(ctx context.Context, s revoke.Step, denied error) revoke.Result {
	account, err := c.accountOf(ctx, s.Params[paramKey])
	if err == nil && account != "" && account != c.file.account {
		return revoke.Result{Outcome: revoke.Unsupported, Detail: "key-of-another-account: " + account, Residual: revoke.Residual{Unbounded: true}}
	}
	return failed(denied, s)
}

// status is how a user's key stands; found is false if there is none such.
func (c *Connector) status(ctx context.Context, user, key string) (status types.StatusType, found bool, err error) {
	keys, err := c.keys(ctx, user)
	if isMissing(err) {
		return "", false, nil
	}
	for i := range keys {
		if awssdk.ToString(keys[i].AccessKeyId) == key {
			return keys[i].Status, true, nil
		}
	}
	return "", false, err
}

// maxPages bounds a list that is read in parts; a user has two keys.
const maxPages = 20

func (c *Connector) keys(ctx context.Context, user string) ([]types.AccessKeyMetadata, error) {
	var all []types.AccessKeyMetadata
	in := &iam.ListAccessKeysInput{UserName: &user}
	for range maxPages {
		out, err := c.iam.ListAccessKeys(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range out.AccessKeyMetadata {
			if awssdk.ToString(out.AccessKeyMetadata[i].AccessKeyId) == "" {
				return nil, errMalformed // whose state it is nobody knows
			}
		}
		all = append(all, out.AccessKeyMetadata...)
		if !out.IsTruncated || out.Marker == nil {
			return all, nil
		}
		in.Marker = out.Marker
	}
	return nil, errTooMany
}

// switchAllOff makes every key of a user inactive; what one key refuses stops
// none of the others.
func (c *Connector) switchAllOff(ctx context.Context, s revoke.Step) revoke.Result {
	user := s.Params[paramUser]
	keys, err := c.keys(ctx, user)
	if isMissing(err) {
		return revoke.Result{Outcome: revoke.Blocked, Detail: "not-found: no such user", Residual: s.Residual}
	}
	if err != nil {
		return failed(err, s)
	}
	ended, now := strings.Fields(s.Memo[memoKeys]), 0
	var worst error
	own := false
	for i := range keys {
		id := awssdk.ToString(keys[i].AccessKeyId)
		switch {
		case id == c.file.key:
			own = true
			continue
		case keys[i].Status == types.StatusTypeInactive:
			continue
		}
		_, err := c.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &id, Status: types.StatusTypeInactive})
		switch {
		case isMissing(err):
		case err != nil:
			worst = err
		default:
			ended = append(ended, id)
			now++
		}
	}
	memo := map[string]string{memoKeys: strings.Join(ended, " ")}
	switch {
	case worst != nil:
		r := failed(worst, s)
		r.Memo = memo
		return r
	case own:
		return revoke.Result{Outcome: revoke.Blocked, Detail: "own-key: the connector works with one of them; give it another and retry", Residual: s.Residual, Memo: memo}
	case now == 0:
		return c.done(s, "already", memo)
	}
	return c.done(s, "", memo)
}

// deletePassword ends console sign-in for good; it does not touch keys.
func (c *Connector) deletePassword(ctx context.Context, s revoke.Step) revoke.Result {
	user := s.Params[paramUser]
	_, err := c.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &user})
	switch {
	case isMissing(err):
		return c.done(s, "already", map[string]string{})
	case err != nil:
		return failed(err, s)
	}
	return c.done(s, "", map[string]string{})
}

// denial writes one statement: it reads first, keeps all others, and moves a
// line only forward. Each line is written once, so that an undo tells its own
// from a later cut's.
func (c *Connector) denial(ctx context.Context, s revoke.Step) revoke.Result {
	of := entity{user: s.Params[paramUser], role: s.Params[paramRole]}
	defer c.entities.lock(of)()
	now := c.now().UTC().Truncate(time.Second)
	list, _, err := c.policy(ctx, of)
	if err == nil {
		list, err = c.entities.recent(of, list, now)
	}
	if err != nil {
		return failed(err, s)
	}
	sid := c.sid(s)
	have, ok := find(list, sid)
	if ok && s.Memo[memoSid] == sid && s.Memo[memoLine] == stamp(have) || ok && s.Action == actBlock {
		return c.done(s, "already", map[string]string{memoSid: sid, memoLine: stamp(have)})
	}
	want := block(sid)
	if s.Action != actBlock {
		line := now
		if ok && !have.line().Before(line) {
			line = have.line().Add(time.Second)
		}
		want = deny(sid, s.Params[paramSession], line)
	}
	if list, err = with(current(list, now), want); err == nil {
		err = c.write(ctx, of, list)
	}
	if isMissing(err) {
		return revoke.Result{Outcome: revoke.Blocked, Detail: "not-found: no such " + kindOf(of), Residual: s.Residual}
	}
	if err != nil {
		return failed(err, s)
	}
	c.entities.note(of, sid, written{statement: want, at: now})
	return c.done(s, "", map[string]string{memoSid: sid, memoLine: stamp(want)})
}

func kindOf(of entity) string {
	if of.role != "" {
		return "role"
	}
	return "user"
}

// sid is the name of a step's statement.
func (c *Connector) sid(s revoke.Step) string {
	switch s.Action {
	case actBlock:
		return sidFor(sidBlock, s.CutID)
	case actRoleSession:
		return sidFor(sidSession, s.Params[paramSession])
	default:
		return sidSessions
	}
}

// stamp is a statement's line as text; empty for one without.
func stamp(s statement) string {
	if s.line().IsZero() {
		return ""
	}
	return s.line().Format(lineForm)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
