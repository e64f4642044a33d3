package aws

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"cutoff/server/revoke"
)

// Confirm reads back what a step left. Reading shows what IAM has stored (L1);
// until when something works is not shortened by it.
func (c *Connector) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	var (
		stands bool
		err    error
	)
	switch s.Action {
	case actKey:
		stands, err = c.inactive(ctx, s.Memo[memoUser], s.Params[paramKey])
	case actKeys:
		stands, err = c.inactive(ctx, s.Params[paramUser], "")
	case actLogin:
		stands, err = c.noPassword(ctx, s.Params[paramUser])
	case actBlock, actUserSessions, actRoleSession:
		stands, err = c.denies(ctx, s, s.Memo[memoSid], s.Memo[memoLine])
	case undoKey, undoKeys:
		stands, err = c.active(ctx, s)
	case undoBlock, undoDenial:
		stands, err = c.denies(ctx, s, s.Params[paramSid], s.Params[paramLine])
		stands = !stands
	default:
		return revoke.Result{Outcome: revoke.Blocked, Done: true, Detail: "action-not-known", Residual: s.Residual}
	}
	if err != nil {
		r := failed(err, s)
		r.Done = true
		return r
	}
	if !stands {
		// What was written is not there, or not yet: writing it again is harmless.
		return revoke.Result{Outcome: revoke.Retrying, Detail: "not-as-written", Residual: s.Residual}
	}
	r := revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true, Detail: s.Detail}
	if s.UndoOf == "" {
		r.Residual = c.residual(s, c.doneAt(s))
	}
	return r
}

func (c *Connector) doneAt(s revoke.Step) time.Time {
	at, err := time.Parse(time.RFC3339, s.Memo[memoDoneAt])
	if err != nil {
		return c.now().UTC()
	}
	return at
}

// inactive reports whether the key, or with none named every key but the
// connector's own, is off. A user or a key that is no more has none.
func (c *Connector) inactive(ctx context.Context, user, key string) (bool, error) {
	keys, err := c.keys(ctx, user)
	if isMissing(err) {
		return true, nil
	}
	for i := range keys {
		if id := *keys[i].AccessKeyId; (key == "" || key == id) && id != c.file.key && keys[i].Status != types.StatusTypeInactive {
			return false, nil
		}
	}
	return true, err
}

// active reports whether each key is on that an undo switched on.
func (c *Connector) active(ctx context.Context, s revoke.Step) (bool, error) {
	keys, err := c.keys(ctx, s.Params[paramUser])
	if err != nil {
		return false, err
	}
	want := " " + s.Params[paramKeys] + " " + s.Params[paramKey] + " "
	for i := range keys {
		if strings.Contains(want, " "+*keys[i].AccessKeyId+" ") && keys[i].Status != types.StatusTypeActive {
			return false, nil
		}
	}
	return true, nil
}

func (c *Connector) noPassword(ctx context.Context, user string) (bool, error) {
	_, err := c.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &user})
	if isMissing(err) {
		return true, nil
	}
	return false, err
}

// denies reports whether the statement is there as it was written, or with a
// later line.
func (c *Connector) denies(ctx context.Context, s revoke.Step, sid, line string) (bool, error) {
	list, _, err := c.policy(ctx, entity{user: s.Params[paramUser], role: s.Params[paramRole]})
	if err != nil {
		return false, err
	}
	have, ok := find(list, sid)
	if !ok {
		return false, nil
	}
	want, err := time.Parse(lineForm, line)
	if err != nil { // a block has no line
		return line == "" && len(have.Condition) == 0, nil
	}
	if s.UndoOf != "" {
		return have.line().Equal(want), nil
	}
	only := have.Condition["StringLike"]["aws:userid"]
	return !have.line().Before(want) && (only == "" && s.Params[paramSession] == "" || only == "*:"+s.Params[paramSession]), nil
}
