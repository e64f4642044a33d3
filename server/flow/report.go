package flow

import (
	"context"
	"fmt"
	"unicode/utf8"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/decision"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/policy"
	"cutoff/server/posture"
)

// policyActor is the machine part that acts on decisions.
var policyActor = Actor{Name: "policy", Person: "policy", Machine: true}

// OnReport keeps the posture a device reported, holds it against the policy and
// acts on the decision, all in one transaction: it warns the device, or opens a
// cut that seals it.
func (f *Flow) OnReport(ctx context.Context, peer Peer, report *cutoffv1.Report) error {
	facts, err := posture.Parse(report)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the report cannot be read")
	}
	cutID := ""
	err = f.act(ctx, func(tx Tx, e *effects) error {
		d, err := tx.Device(ctx, peer.DeviceID)
		if err != nil {
			return err
		}
		cutID = d.CutID
		if err := tx.PutPosture(ctx, d.ID, facts, f.now()); err != nil {
			return err
		}
		if err := tx.SetContact(ctx, d.ID, f.now()); err != nil {
			return err
		}
		reached, err := f.evaluate(ctx, tx, d, facts)
		if err != nil {
			return err
		}
		if err := f.warn(ctx, tx, &d, reached.Consequence); err != nil {
			return err
		}
		return f.sealDevice(ctx, tx, e, &d, reached)
	})
	if err == nil && cutID != "" {
		err = f.comeBack(ctx, peer.DeviceID)
	}
	if err != nil {
		return fmt.Errorf("report of %s: %w", peer.DeviceID, err)
	}
	return nil
}

// warn moves the device between trusted and warned as the decision says. A
// decision to seal warns too: the cut may be held for long.
func (f *Flow) warn(ctx context.Context, tx Tx, d *device.Device, consequence policy.Consequence) error {
	to := device.Warned
	if consequence == policy.None {
		to = device.Trusted
	}
	if d.State != device.Trusted && d.State != device.Warned || d.State == to {
		return nil
	}
	if err := tx.MoveDevice(ctx, d.ID, d.State, to); err != nil {
		return err
	}
	event := evidence.Event{Kind: "device." + string(to), Actor: policyActor.Name, DeviceID: d.ID}
	d.State = to
	return f.record(ctx, tx, event)
}

// sealDevice opens the cut that seals the device, if the decision says so and
// none stands or waits already.
func (f *Flow) sealDevice(ctx context.Context, tx Tx, e *effects, d *device.Device, reached decision.Decision) error {
	if reached.Consequence != policy.Seal || d.State != device.Trusted && d.State != device.Warned {
		return nil
	}
	c, found, err := f.standing(ctx, tx, d)
	if err != nil || found && (c.Active() || c.State == cut.Held) {
		return err
	}
	return f.openInTx(ctx, tx, e, &OpenRequest{
		Device: d.ID, Level: cut.Seal, Cause: cut.Policy, Reason: bounded(reached.Reason(), maxReason), Actor: policyActor,
	}, &opening{})
}

// bounded cuts a text at a rune.
func bounded(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
