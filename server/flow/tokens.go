package flow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// Limits of enrolment tokens.
const (
	maxTokenUses = 1_000_000
	maxTokenLife = 366 * 24 * time.Hour
	secretSize   = 32
)

// Refusals of an enrolment token. Only who holds the true secret is told more
// than the first.
var (
	errNoToken      = fault.New(fault.Unauthenticated, "the enrolment token is not valid")
	errTokenExpired = fault.New(fault.Denied, "the enrolment token has expired; ask for a new one")
	errTokenUsedUp  = fault.New(fault.Denied, "the enrolment token is used up; ask for a new one")
	errTokenRevoked = fault.New(fault.Denied, "the enrolment token was revoked; ask for a new one")
)

// CreateToken makes an enrolment token for group (empty: default) of so many
// uses and such a lifetime. The text is answered once and never stored.
func (f *Flow) CreateToken(
	ctx context.Context, actor Actor, group string, uses int, ttl time.Duration,
) (text string, token device.Token, err error) {
	if group == "" {
		group = device.DefaultGroup
	}
	if uses < 1 || uses > maxTokenUses {
		return "", device.Token{}, fault.New(fault.Invalid, "uses must be from 1 to %d", maxTokenUses)
	}
	if ttl < time.Second || ttl > maxTokenLife {
		return "", device.Token{}, fault.New(fault.Invalid, "a token lives from 1s to %s", maxTokenLife)
	}
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // crypto/rand.Read never fails
	hash := sha256.Sum256(secret)
	now := f.now()
	token = device.Token{
		ID: newID("tok_"), Group: group, Uses: uses, CreatedBy: actor.Name, CreatedAt: now, ExpiresAt: now.Add(ttl),
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		if _, err := tx.Group(ctx, group); err != nil {
			return noSuchGroup(err, group)
		}
		if err := tx.InsertToken(ctx, token, hash[:]); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "token.created", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "token_id", Value: token.ID}, {Name: "group", Value: group}, {Name: "uses", Value: strconv.Itoa(uses)},
			{Name: "expires_at", Value: token.ExpiresAt.UTC().Format(time.RFC3339)},
		}})
	})
	if err != nil {
		return "", device.Token{}, fmt.Errorf("create token: %w", err)
	}
	return f.tokenText(secret), token, nil
}

// tokenText is what people hand around: version, trust domain, pin of the root
// key, secret.
func (f *Flow) tokenText(secret []byte) string {
	pin := sha256.Sum256(f.authority.RootKey())
	parts := []string{"cutoff1"}
	for _, part := range [][]byte{[]byte(f.authority.TrustDomain()), pin[:], secret} {
		parts = append(parts, base64.RawURLEncoding.EncodeToString(part))
	}
	return strings.Join(parts, ".")
}

// ListTokens are all tokens, newest first, without their secrets.
func (f *Flow) ListTokens(ctx context.Context, _ Actor) (all []device.Token, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		all, err = tx.Tokens(ctx)
		return err
	})
	return all, err
}

// RevokeToken ends a token; devices enrolled with it stay.
func (f *Flow) RevokeToken(ctx context.Context, actor Actor, id string) error {
	err := f.store.Update(ctx, func(tx Tx) error {
		if err := tx.RevokeToken(ctx, id, f.now()); err != nil {
			if fault.Is(err, fault.Conflict) {
				return fault.New(fault.NotFound, "there is no token %.40q that is not revoked", id)
			}
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "token.revoked", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "token_id", Value: id},
		}})
	})
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// tokenOf finds the token of a secret, whatever its state. Any secret that is
// not one, of whatever length, costs the same look-up and answers the same.
func tokenOf(ctx context.Context, tx DeviceTx, secret []byte) (device.Token, error) {
	hash := sha256.Sum256(secret)
	token, stored, err := tx.TokenByHash(ctx, hash[:])
	if err != nil && !fault.Is(err, fault.NotFound) {
		return device.Token{}, err
	}
	// With no row stored is empty and the comparison fails.
	if subtle.ConstantTimeCompare(stored, hash[:]) != 1 || len(secret) != secretSize {
		return device.Token{}, errNoToken
	}
	return token, nil
}

// usable is nil for a token that may enrol one more device now.
func usable(token device.Token, now time.Time) error {
	switch token.StateAt(now) {
	case device.TokenLive:
		return nil
	case device.TokenExpired:
		return errTokenExpired
	case device.TokenUsedUp:
		return errTokenUsedUp
	default:
		return errTokenRevoked
	}
}
