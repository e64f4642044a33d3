package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/operator"
)

// errLogin is the one answer to a name nobody has, a wrong password and an
// empty one.
func errLogin() error { return fault.New(fault.Unauthenticated, "name or password is wrong") }

// LocalActor is who acts at the admin socket: evidence names the uid, brake and
// approvals count all of them as one person.
func LocalActor(uid int) Actor {
	return Actor{Name: fmt.Sprintf("%s:%d", operator.Local, uid), Person: operator.Local, Role: operator.Admin}
}

// Login starts a session and answers its token. Source is the caller's address.
func (f *Flow) Login(ctx context.Context, name, password, source string) (string, error) {
	now := f.now()
	if operator.CheckName(name) != nil {
		name = "" // no account's: not looked up, not kept
	}
	if ok, wait := f.attempts.Allow(name, source, now); !ok {
		return "", fault.New(fault.Limited, "too many attempts; try again in %s", wait.Round(time.Second))
	}
	account, hash, err := f.account(ctx, name)
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	if len(password) > operator.MaxPassword {
		hash, password = "", ""
	}
	right, err := f.hasher.Check(ctx, hash, password)
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	if !right {
		return "", f.loginFailed(ctx, account.Name, source)
	}
	f.attempts.Succeeded(name, source, now)
	token := operator.NewSecret()
	err = f.store.Update(ctx, func(tx Tx) error {
		if err := tx.DeleteSessionsBefore(ctx, now.Add(-operator.SessionTotal), now.Add(-operator.SessionIdle)); err != nil {
			return err
		}
		// The account may have gone, or its password changed, since it was read.
		if _, still, err := tx.Account(ctx, name); err != nil || still != hash {
			return errors.Join(err, errLogin())
		}
		s := operator.Session{Hash: operator.HashOf(token), Operator: name, CreatedAt: now, SeenAt: now}
		if err := tx.InsertSession(ctx, s); err != nil {
			return err
		}
		if err := tx.SetLogin(ctx, name, now); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "operator.login", Actor: name, Fields: []evidence.Field{
			{Name: "source", Value: source},
		}})
	})
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	return token, nil
}

// account reads an account; one that is not there is the zero one, without a
// hash, so that its password is checked (in vain) all the same.
func (f *Flow) account(ctx context.Context, name string) (a operator.Account, hash string, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		a, hash, err = tx.Account(ctx, name)
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return operator.Account{}, "", nil
	}
	return a, hash, err
}

// loginFailed records a failure at an account that exists; names that do not
// are not kept, for people type passwords there.
func (f *Flow) loginFailed(ctx context.Context, name, source string) error {
	if name == "" {
		f.log.InfoContext(ctx, "login refused", "source", source)
		return errLogin()
	}
	err := f.store.Update(ctx, func(tx Tx) error {
		return f.record(ctx, tx, evidence.Event{Kind: "operator.login-failed", Actor: name, Fields: []evidence.Field{
			{Name: "source", Value: source},
		}})
	})
	if err != nil {
		f.log.ErrorContext(ctx, "record failed login", "err", err)
	}
	return errLogin()
}

// Session answers whose session a token is.
func (f *Flow) Session(ctx context.Context, token string) (Actor, error) {
	over := fault.New(fault.Unauthenticated, "the session is over; sign in again")
	var s operator.Session
	var a operator.Account
	hash := operator.HashOf(token)
	err := f.store.View(ctx, func(tx Tx) (err error) {
		s, a, err = tx.Session(ctx, hash)
		return err
	})
	now := f.now()
	switch {
	case fault.Is(err, fault.NotFound):
		return Actor{}, over
	case err != nil:
		return Actor{}, fmt.Errorf("read session: %w", err)
	case !s.Live(now):
		return Actor{}, over
	}
	if s.Stale(now) {
		err := f.store.Update(ctx, func(tx Tx) error { return tx.TouchSession(ctx, hash, now) })
		if err != nil {
			return Actor{}, fmt.Errorf("touch session: %w", err)
		}
	}
	return Actor{Name: a.Name, Person: a.Name, Role: a.Role}, nil
}

// Logout ends a session; one that is over already is no error.
func (f *Flow) Logout(ctx context.Context, token string) error {
	hash := operator.HashOf(token)
	return f.store.Update(ctx, func(tx Tx) error { return tx.DeleteSession(ctx, hash) })
}

// APIKey answers who shows an API key. A key's actions count as those of the
// person who made it, so that a second key is not a second person.
func (f *Flow) APIKey(ctx context.Context, key string) (Actor, error) {
	var k operator.APIKey
	orphan := false
	err := f.store.View(ctx, func(tx Tx) (err error) {
		if k, err = tx.APIKey(ctx, operator.HashOf(strings.TrimSpace(key))); err != nil {
			return err
		}
		orphan, err = makerGone(ctx, tx, k)
		return err
	})
	switch {
	case fault.Is(err, fault.NotFound):
		return Actor{}, fault.New(fault.Unauthenticated, "unknown API key")
	case err != nil:
		return Actor{}, fmt.Errorf("read API key: %w", err)
	case orphan:
		return Actor{}, fault.New(fault.Unauthenticated, "the API key %s is revoked: who made it is no operator any more", k.Name)
	case !f.now().Before(k.ExpiresAt):
		return Actor{}, fault.New(fault.Unauthenticated, "the API key %s has expired", k.Name)
	}
	return Actor{Name: "api:" + k.Name, Person: k.CreatedBy, Role: k.Role}, nil
}

// makerGone reports whether the account under which a key acts is not there any
// more, or is another of the same name, made after the key.
func makerGone(ctx context.Context, tx TrustTx, k operator.APIKey) (bool, error) {
	if k.CreatedBy == operator.Local {
		return false, nil
	}
	maker, _, err := tx.Account(ctx, k.CreatedBy)
	if fault.Is(err, fault.NotFound) {
		return true, nil
	}
	return err == nil && k.CreatedAt.Before(maker.CreatedAt), err
}

// APIKeys are all keys, by name, without their secrets.
func (f *Flow) APIKeys(ctx context.Context) (all []operator.APIKey, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		all, err = tx.APIKeys(ctx)
		return err
	})
	return all, err
}

// RevokeAPIKey ends a key at once.
func (f *Flow) RevokeAPIKey(ctx context.Context, actor Actor, nameOrID string) (operator.APIKey, error) {
	var k operator.APIKey
	err := f.store.Update(ctx, func(tx Tx) error {
		all, err := tx.APIKeys(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(k operator.APIKey) bool { return k.Name == nameOrID || k.ID() == nameOrID })
		if i < 0 {
			return fault.New(fault.NotFound, "there is no API key %.80q", nameOrID)
		}
		k = all[i]
		return f.revokeKey(ctx, tx, actor, k)
	})
	if err != nil {
		return operator.APIKey{}, fmt.Errorf("revoke API key: %w", err)
	}
	return k, nil
}

func (f *Flow) revokeKey(ctx context.Context, tx Tx, actor Actor, k operator.APIKey) error {
	if err := tx.DeleteAPIKey(ctx, k.Hash); err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{Kind: "api-key.revoked", Actor: actor.Name, Fields: []evidence.Field{
		{Name: "name", Value: k.Name}, {Name: "key_id", Value: k.ID()}, {Name: "role", Value: k.Role},
		{Name: "created_by", Value: k.CreatedBy},
	}})
}

// revokeKeysOf ends every key that acts for a person.
func (f *Flow) revokeKeysOf(ctx context.Context, tx Tx, actor Actor, person string) error {
	all, err := tx.APIKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.CreatedBy != person {
			continue
		}
		if err := f.revokeKey(ctx, tx, actor, k); err != nil {
			return err
		}
	}
	return nil
}

// CreateAPIKey draws a key. It is answered once and kept as a hash only.
func (f *Flow) CreateAPIKey(ctx context.Context, actor Actor, name, role string, life time.Duration) (string, error) {
	if life == 0 {
		life = operator.DefaultKeyLife
	}
	switch {
	case life < time.Minute || life > operator.MaxKeyLife:
		return "", fault.New(fault.Invalid, "an API key lives from a minute to %d days", int(operator.MaxKeyLife.Hours()/24))
	case operator.CheckName(name) != nil:
		return "", operator.CheckName(name)
	case operator.CheckRole(role) != nil:
		return "", operator.CheckRole(role)
	}
	key, now := operator.NewKey(), f.now()
	k := operator.APIKey{
		Hash: operator.HashOf(key), Name: name, Role: role, CreatedBy: actor.Person, CreatedAt: now, ExpiresAt: now.Add(life),
	}
	err := f.store.Update(ctx, func(tx Tx) error {
		if err := tx.DeleteAPIKeysBefore(ctx, now); err != nil {
			return err
		}
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "api-key.created", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "name", Value: name}, {Name: "key_id", Value: k.ID()}, {Name: "role", Value: role},
			{Name: "expires_at", Value: k.ExpiresAt.UTC().Format(time.RFC3339)},
		}})
	})
	if err != nil {
		return "", fmt.Errorf("create API key: %w", err)
	}
	return key, nil
}

// CreateUser makes an account.
func (f *Flow) CreateUser(ctx context.Context, actor Actor, name, password, role string) (operator.Account, error) {
	a, hash, err := f.newAccount(ctx, name, password, role)
	if err != nil {
		return operator.Account{}, err
	}
	err = f.store.Update(ctx, func(tx Tx) error { return f.insertAccount(ctx, tx, actor.Name, a, hash) })
	if err != nil {
		return operator.Account{}, fmt.Errorf("create account: %w", err)
	}
	if f.setUp != nil {
		f.setUp()
	}
	return a, nil
}

func (f *Flow) newAccount(ctx context.Context, name, password, role string) (operator.Account, string, error) {
	if err := errors.Join(operator.CheckName(name), operator.CheckRole(role)); err != nil {
		return operator.Account{}, "", err
	}
	if err := operator.CheckPassword(name, password); err != nil {
		return operator.Account{}, "", err
	}
	hash, err := f.hasher.Hash(ctx, password)
	if err != nil {
		return operator.Account{}, "", fmt.Errorf("hash password: %w", err)
	}
	return operator.Account{Name: name, Role: role, CreatedAt: f.now()}, hash, nil
}

func (f *Flow) insertAccount(ctx context.Context, tx Tx, by string, a operator.Account, hash string) error {
	if err := tx.InsertAccount(ctx, a, hash); err != nil {
		return err
	}
	// Whoever made an account needs no setup code any more.
	if err := tx.DeleteSetupCode(ctx); err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{Kind: "operator.created", Actor: by, Fields: []evidence.Field{
		{Name: "name", Value: a.Name}, {Name: "role", Value: a.Role},
	}})
}

// Users are all accounts, by name.
func (f *Flow) Users(ctx context.Context) (all []operator.Account, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		all, err = tx.Accounts(ctx)
		return err
	})
	return all, err
}

// RemoveUser removes an account and ends its sessions and the API keys that act
// for it, at once: a key must not outlive its maker's rights. The last admin
// stays, except for whoever is at the admin socket.
func (f *Flow) RemoveUser(ctx context.Context, actor Actor, name string) error {
	err := f.store.Update(ctx, func(tx Tx) error {
		account, _, err := tx.Account(ctx, name)
		if err != nil {
			return err
		}
		accounts, err := tx.Accounts(ctx)
		if err != nil {
			return err
		}
		admins := 0
		for _, a := range accounts {
			if a.Role == operator.Admin {
				admins++
			}
		}
		if account.Role == operator.Admin && admins == 1 && actor.Person != operator.Local {
			return fault.New(fault.Conflict, "%s is the last admin; make another first", name)
		}
		if err := tx.DeleteAccount(ctx, name); err != nil {
			return err
		}
		if err := f.revokeKeysOf(ctx, tx, actor, name); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "operator.removed", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "name", Value: name}, {Name: "role", Value: account.Role},
		}})
	})
	if err != nil {
		return fmt.Errorf("remove account: %w", err)
	}
	return nil
}
