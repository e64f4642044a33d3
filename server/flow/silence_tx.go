package flow

import (
	"context"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/order"
)

// SilenceTx is the part of a transaction that knows who is silent, and since
// when the server's own clock can be trusted to say so.
type SilenceTx interface {
	// SilentDevices are trusted ones without a cut whose seal is due at now, by
	// due time and id, after one. up is how long this server has run: a group
	// whose devices could not have been back since is left out.
	SilentDevices(ctx context.Context, now time.Time, up time.Duration, after SilenceCursor, limit int) ([]device.Device, error)
	// ExpiredDevices are those sealed for their silence whose purge is due and that
	// were not heard since, by id, after one.
	ExpiredDevices(ctx context.Context, now time.Time, after string, limit int) ([]device.Device, error)
	SetSilence(ctx context.Context, id string, s device.Silence) error
	// ForgetSaid forgets what the device said of its numbers and boots.
	ForgetSaid(ctx context.Context, id string) error
	// HeldFor lists the machine's held cases whose reason begins so.
	HeldFor(ctx context.Context, reason string) ([]string, error)
	// HeldSignal is the device's cut that waits for a person because of a fact.
	HeldSignal(ctx context.Context, deviceID string) (c cut.Cut, found bool, err error)
	// Removal is the device's newest order that permits to remove its agent.
	Removal(ctx context.Context, deviceID string) (o order.Order, found bool, err error)

	// Pulse is the zero one before the first beat.
	Pulse(ctx context.Context) (Pulse, error)
	PutPulse(ctx context.Context, p Pulse) error
}

// SilenceCursor is where a pass over silent devices stands.
type SilenceCursor struct {
	Due time.Time
	ID  string
}
