package aws

import (
	"context"
	"encoding/json"
	"net/url"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// entity is who has the inline policy: a user or a role.
type entity struct{ user, role string }

// entities keeps changes of one policy apart, and remembers what was written
// lately: IAM may answer a read with what was there before, and a list that is
// written back without a denial would undo it.
type entities struct {
	mu      sync.Mutex
	locks   map[entity]*sync.Mutex
	written map[entity]map[string]written
}

// written is a statement that was put at a moment; gone is one taken away.
type written struct {
	statement statement
	gone      bool
	at        time.Time
}

// lock holds an entity until the returned function is called.
func (e *entities) lock(of entity) func() {
	e.mu.Lock()
	l := e.locks[of]
	if l == nil {
		l = &sync.Mutex{}
		e.locks[of] = l
	}
	e.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// note remembers a change, and forgets those that IAM has told everywhere.
func (e *entities) note(of entity, sid string, w written) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.written[of] == nil {
		e.written[of] = map[string]written{}
	}
	e.written[of][sid] = w
	for who, all := range e.written {
		for sid, old := range all {
			if w.at.Sub(old.at) > 2*propagation {
				delete(all, sid)
			}
		}
		if len(all) == 0 {
			delete(e.written, who)
		}
	}
}

// recent lays what was written lately over what was read: the later line
// holds.
func (e *entities) recent(of entity, list []json.RawMessage, now time.Time) ([]json.RawMessage, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for sid, w := range e.written[of] {
		if now.Sub(w.at) > 2*propagation {
			continue
		}
		have, ok := find(list, sid)
		switch {
		case w.gone && ok && !have.line().After(w.statement.line()):
			list = without(list, sid)
		case w.gone, ok && !have.line().Before(w.statement.line()):
		default:
			var err error
			if list, err = with(list, w.statement); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// policy reads the statements of the entity's policy; found is false where
// there is no such policy. The entity itself may be missing as well.
func (c *Connector) policy(ctx context.Context, of entity) (list []json.RawMessage, found bool, err error) {
	var document *string
	if of.role != "" {
		var out *iam.GetRolePolicyOutput
		if out, err = c.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &of.role, PolicyName: &c.file.policy}); err == nil {
			document = out.PolicyDocument
		}
	} else {
		var out *iam.GetUserPolicyOutput
		if out, err = c.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &of.user, PolicyName: &c.file.policy}); err == nil {
			document = out.PolicyDocument
		}
	}
	switch {
	case isMissing(err):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	// Policies are answered URL-encoded (RFC 3986).
	text, err := url.PathUnescape(awssdk.ToString(document))
	if err != nil || text == "" {
		return nil, false, errPolicy
	}
	list, err = statements(text)
	return list, true, err
}

// write puts the entity's policy, or deletes one that would be empty.
func (c *Connector) write(ctx context.Context, of entity, list []json.RawMessage) error {
	if len(list) == 0 {
		return c.remove(ctx, of)
	}
	text, err := documentOf(list)
	if err != nil {
		return err
	}
	if of.role != "" {
		_, err = c.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &of.role, PolicyName: &c.file.policy, PolicyDocument: &text})
	} else {
		_, err = c.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &of.user, PolicyName: &c.file.policy, PolicyDocument: &text})
	}
	return err
}

func (c *Connector) remove(ctx context.Context, of entity) error {
	var err error
	if of.role != "" {
		_, err = c.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &of.role, PolicyName: &c.file.policy})
	} else {
		_, err = c.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &of.user, PolicyName: &c.file.policy})
	}
	if isMissing(err) {
		return nil
	}
	return err
}
