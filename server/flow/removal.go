package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
)

// PermitRemoval lets a device's agent be removed: a signed order that waits for
// the device, and is taken back by a cut. Asking again changes nothing.
func (f *Flow) PermitRemoval(ctx context.Context, actor Actor, idOrHostname, reason string) (DeviceView, error) {
	switch {
	case actor.Machine || actor.Name == "":
		return DeviceView{}, fault.New(fault.Denied, "only a person permits a removal")
	case len(reason) > maxReason:
		return DeviceView{}, fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(reason), maxReason)
	}
	var v DeviceView
	err := f.act(ctx, func(tx Tx, e *effects) error {
		d, err := f.resolveDevice(ctx, tx, idOrHostname)
		if err != nil {
			return err
		}
		if err := f.permitRemoval(ctx, tx, e, actor, &d, reason); err != nil {
			return err
		}
		v, err = f.fullView(ctx, tx, d)
		return err
	})
	if err != nil {
		return DeviceView{}, fmt.Errorf("permit removal: %w", err)
	}
	return v, nil
}

func (f *Flow) permitRemoval(ctx context.Context, tx Tx, e *effects, actor Actor, d *device.Device, reason string) error {
	switch {
	case d.CutID != "":
		return fault.New(fault.Conflict, "a cut stands or waits on the device; end it first")
	case d.State != device.Trusted && d.State != device.Warned:
		return fault.New(fault.Conflict, "the device is %s; only a trusted one is removed in order", d.State)
	}
	if _, found, err := tx.Removal(ctx, d.ID); err != nil || found {
		return err
	}
	// No cut: the order stands for itself.
	c := cut.Cut{ID: newID("rem_"), DeviceID: d.ID}
	err := f.record(ctx, tx, evidence.Event{
		Kind: "removal.permitted", Actor: actor.Name, DeviceID: d.ID, CutID: c.ID,
		Fields: []evidence.Field{{Name: "reason", Value: reason}},
	})
	if err != nil {
		return err
	}
	return f.draft(ctx, tx, e, &c, order.Order{Kind: order.Uninstall, Reason: reason})
}

// withdrawRemoval takes the permission back: the device is cut instead.
func (f *Flow) withdrawRemoval(ctx context.Context, tx Tx, deviceID string) error {
	o, found, err := tx.Removal(ctx, deviceID)
	if err != nil || !found || !o.State.Due() {
		return err
	}
	from := o.State
	if o.State, err = order.Next(from, order.Supersede); err != nil {
		return err
	}
	if err := tx.SetOrder(ctx, from, o); err != nil {
		return err
	}
	return f.recordOrder(ctx, tx, "order.superseded", &o)
}

// removalAnswered takes the device's word that it holds the permission.
func (f *Flow) removalAnswered(ctx context.Context, tx Tx, r *cutoffv1.Receipt, envelope []byte) error {
	o, err := tx.OrderByID(ctx, r.GetOrderId())
	switch {
	case fault.Is(err, fault.NotFound):
		return refuse("foreign: no such order")
	case err != nil:
		return err
	case o.DeviceID != r.GetDeviceId() || o.CutID != r.GetCutId() || o.Kind != order.Uninstall:
		return refuse("foreign: the order is another one")
	case !o.Sent():
		return refuse("forged: the order was never handed out")
	}
	from := o.State
	to, err := order.Next(from, order.Complete)
	if errors.Is(err, order.ErrTransition) || to == from {
		return nil
	}
	o.State, o.DoneAt, o.Detail, o.NotBefore = to, f.now(), "", time.Time{}
	if o.DeliveredAt.IsZero() {
		o.DeliveredAt = f.now()
	}
	if err := tx.SetOrder(ctx, from, o); err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{
		Kind: "removal.confirmed", Actor: o.DeviceID, DeviceID: o.DeviceID, CutID: o.CutID, Signed: envelope,
		Fields: []evidence.Field{{Name: "order", Value: o.ID}},
	})
}
