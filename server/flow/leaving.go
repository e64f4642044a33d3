package flow

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
)

// leftFacts are what an agent's last word makes a fact.
var leftFacts = []string{device.LeftStopped, device.LeftDisabled, device.LeftRemoved}

// OnLeaving keeps an agent's last word before its process ends. What was not
// permitted is a fact, and the group's shorter deadline for silence counts; the
// machine's own shutdown is neither.
func (f *Flow) OnLeaving(ctx context.Context, peer Peer, envelope, binding []byte) (*cutoffv1.LeavingAck, error) {
	said := &cutoffv1.Leaving{}
	err := f.openByDevice(ctx, peer, envelope, signed.TypeLeaving, said)
	var refused *refusedReceipt
	switch {
	case errors.As(err, &refused):
		return nil, fault.Wrap(err, fault.Denied, "the last word cannot be taken: %s", refused.reason)
	case err != nil:
		return nil, fmt.Errorf("last word of %s: %w", peer.DeviceID, err)
	case said.GetDeviceId() != peer.DeviceID:
		return nil, fault.New(fault.Denied, "the last word is another device's")
	case len(binding) == 0 || subtle.ConstantTimeCompare(said.GetChannelBinding(), binding) != 1:
		return nil, fault.New(fault.Denied, "the last word is for another connection")
	}
	ack := &cutoffv1.LeavingAck{}
	err = f.store.Update(ctx, func(tx Tx) error {
		d, g, err := tx.DeviceAndGroup(ctx, peer.DeviceID)
		if err != nil {
			return err
		}
		ack.Fact, err = f.leave(ctx, tx, &d, &g, said, envelope)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("last word of %s: %w", peer.DeviceID, err)
	}
	return ack, nil
}

func (f *Flow) leave(
	ctx context.Context, tx Tx, d *device.Device, g *device.Group, said *cutoffv1.Leaving, envelope []byte,
) (fact string, err error) {
	if err := tx.SetContact(ctx, d.ID, f.now()); err != nil {
		return "", err
	}
	reason := leftReason(said.GetReason())
	if reason == device.LeftShutdown {
		return "", nil
	}
	if permitted, err := f.permitted(ctx, tx, d, reason, said.GetOrderNumber()); err != nil || permitted {
		return "", err
	}
	event := evidence.Event{
		Kind: "device.left", Actor: d.ID, DeviceID: d.ID, Signed: envelope,
		Fields: []evidence.Field{{Name: "reason", Value: reason}},
	}
	if err := f.record(ctx, tx, event); err != nil {
		return "", err
	}
	if slices.Contains(leftFacts, reason) {
		fact = reason
		if err := f.addFact(ctx, tx, d, fact); err != nil {
			return "", err
		}
	}
	return fact, tx.SetSilence(ctx, d.ID, d.Silence.Left(g, reason, f.now()))
}

// permitted reports whether a removal is the one that the server's order, of
// this number, permits; then the device is out of the fleet.
func (f *Flow) permitted(ctx context.Context, tx Tx, d *device.Device, reason string, number uint64) (bool, error) {
	if reason != device.LeftRemoved || number == 0 || d.CutID != "" {
		return false, nil
	}
	o, found, err := tx.Removal(ctx, d.ID)
	if err != nil || !found || o.Number < number || o.State != order.Done && o.State != order.Delivered {
		return false, err
	}
	return true, f.retire(ctx, tx, Actor{Name: d.ID}, d)
}

func leftReason(r cutoffv1.LeavingReason) string {
	switch r {
	case cutoffv1.LeavingReason_LEAVING_REASON_DISABLED:
		return device.LeftDisabled
	case cutoffv1.LeavingReason_LEAVING_REASON_REMOVED:
		return device.LeftRemoved
	case cutoffv1.LeavingReason_LEAVING_REASON_SHUTDOWN:
		return device.LeftShutdown
	case cutoffv1.LeavingReason_LEAVING_REASON_RESTART:
		return device.LeftRestart
	}
	return device.LeftStopped
}

// returned forgets that the agent had left, when it is back and nothing stands:
// with a cut the fact stays, for a person to see.
func (f *Flow) returned(ctx context.Context, tx Tx, d *device.Device) error {
	if d.Silence.LeftAt.IsZero() || d.CutID != "" {
		return nil
	}
	facts := slices.DeleteFunc(slices.Clone(d.Facts), func(s string) bool { return slices.Contains(leftFacts, s) })
	if len(facts) != len(d.Facts) {
		d.Facts = facts
		if err := tx.SetFacts(ctx, d.ID, facts); err != nil {
			return err
		}
	}
	return f.record(ctx, tx, evidence.Event{
		Kind: "device.returned", Actor: d.ID, DeviceID: d.ID,
		Fields: []evidence.Field{{Name: "was", Value: d.Silence.LeftReason}},
	})
}
