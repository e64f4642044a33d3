package flow

import (
	"context"
	"time"

	"cutoff/server/device"
)

// CreateToken makes an enrolment token for group (empty: default) of so many
// uses and such a lifetime. The text is answered once and never stored.
func (f *Flow) CreateToken(ctx context.Context, actor Actor, group string, uses int, ttl time.Duration) (text string, token device.Token, err error) {
	return "", device.Token{}, errUnbuilt
}

// ListTokens are all tokens, newest first, without their secrets.
func (f *Flow) ListTokens(ctx context.Context, actor Actor) ([]device.Token, error) {
	return nil, errUnbuilt
}

// RevokeToken ends a token; devices enrolled with it stay.
func (f *Flow) RevokeToken(ctx context.Context, actor Actor, id string) error { return errUnbuilt }
