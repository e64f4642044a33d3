package aws

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"cutoff/server/revoke"
)

// switchOn makes the keys active again that the step had switched off.
func (c *Connector) switchOn(ctx context.Context, s revoke.Step) revoke.Result {
	user := s.Params[paramUser]
	keys := strings.Fields(s.Params[paramKeys])
	if s.Action == undoKey {
		keys = []string{s.Params[paramKey]}
	}
	missing := 0
	for _, key := range keys {
		_, err := c.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &key, Status: types.StatusTypeActive})
		switch {
		case isMissing(err):
			missing++
		case err != nil:
			return failed(err, s)
		}
	}
	if missing > 0 {
		return revoke.Result{Outcome: revoke.Unsupported, Detail: "key-was-deleted: make the user a new one"}
	}
	return c.done(s, "", map[string]string{})
}

// takeBack removes the statement that a step wrote, if it is still that one: a
// later line is another cut's, which stands.
func (c *Connector) takeBack(ctx context.Context, s revoke.Step) revoke.Result {
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
	sid := s.Params[paramSid]
	have, ok := find(list, sid)
	switch {
	case !ok:
		return c.done(s, "already", map[string]string{})
	case stamp(have) != s.Params[paramLine]:
		return revoke.Result{Outcome: revoke.Accepted, Proof: revoke.L1, Done: true, Detail: "kept: a later cut stands on it"}
	}
	if err := c.write(ctx, of, without(list, sid)); err != nil {
		return failed(err, s)
	}
	c.entities.note(of, sid, written{statement: have, gone: true, at: now})
	return c.done(s, "", map[string]string{})
}
