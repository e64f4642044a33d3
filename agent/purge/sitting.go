package purge

import (
	"context"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/home"
	"cutoff/agent/purge/wire"
	"cutoff/platform/session"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Bounds of what is asked of a session manager, which may hang.
const (
	lockTime  = 5 * time.Second
	closeTime = 15 * time.Second
)

// lock locks every screen, beside the removals, once a cut.
func (e *errand) lock(ctx context.Context, own map[uint32]users.User) *errgroup.Group {
	var group errgroup.Group
	if !e.mayStop() || e.sweep || os.Geteuid() != 0 {
		return &group
	}
	group.Go(func() error {
		ctx, cancel := context.WithTimeout(ctx, lockTime)
		defer cancel()
		sitting, err := session.Sessions(ctx)
		if err != nil {
			e.purger.config.Log.Warn("sessions not listed", "err", err)
			return nil
		}
		var each errgroup.Group
		for uid := range sitting {
			if u, ok := own[uid]; ok {
				each.Go(func() error { e.lockOne(ctx, u); return nil })
			}
		}
		return each.Wait()
	})
	return &group
}

func (e *errand) lockOne(ctx context.Context, u users.User) {
	l, err := session.Lock(ctx, u.UID)
	switch {
	case err != nil:
		e.log("screen not locked", u, err)
	case l.Asked == 0: // no screen
	case l.Sure == l.Asked:
		e.add(sessionItem(u, "lock", cutoffv1.Outcome_OUTCOME_VERIFIED, "locked"))
	default:
		e.add(sessionItem(u, "lock", cutoffv1.Outcome_OUTCOME_ACCEPTED, "lock-asked"))
	}
}

// closeSessions ends the login sessions of all people, once a purge. What runs
// in them was killed, not asked: shells write no history. A later login is left
// alone, so that the machine can be used again.
func (e *errand) closeSessions(ctx context.Context, own map[uint32]users.User) []users.User {
	if !e.mayStop() || e.sweep || e.mode != wire.Purge || os.Geteuid() != 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	sitting, err := session.Sessions(ctx)
	if err != nil {
		e.purger.config.Log.Warn("sessions not listed", "err", err)
		return nil
	}
	var closed []users.User
	var each errgroup.Group
	for uid := range sitting {
		u, ok := own[uid]
		if !ok || !person(uid) {
			continue
		}
		closed = append(closed, u)
		each.Go(func() error {
			item := sessionItem(u, string(catalogue.End), cutoffv1.Outcome_OUTCOME_VERIFIED, "ended")
			if err := session.Close(ctx, uid); err != nil {
				e.log("session not ended", u, err)
				item.Outcome, item.Detail = cutoffv1.Outcome_OUTCOME_BLOCKED, stillRunning
			}
			e.add(item)
			return nil
		})
	}
	_ = each.Wait() // each says what became of it in an item
	return closed
}

// sessionItem says of a user's sessions what was done to them.
func sessionItem(u users.User, action string, outcome cutoffv1.Outcome, detail string) *cutoffv1.Item {
	path := "session:" + action
	return &cutoffv1.Item{Id: home.ID("session", u.Name, path, 0), Product: "session", User: u.Name, Path: path, Action: action,
		Outcome: outcome, Detail: detail, Regain: string(catalogue.SignIn), Confidence: "confirmed"}
}
