package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
)

// challengeSize is how long an agent's challenge is, in bytes.
const challengeSize = 32

// againRefused is the wait after a second refusal in a row. The first one costs
// nothing (a laptop that slept over its challenge sends a fresh one at once),
// and none of them ends the order: a hostile relay must not be able to.
const againRefused = time.Minute

// PendingOrder is the envelope of the order the device has not answered yet,
// signed for this challenge; nil if nothing is due. It is signed anew at each
// contact until the receipt is stored. Its number, and that it was signed, are
// durable before the envelope leaves.
func (f *Flow) PendingOrder(ctx context.Context, peer Peer, challenge []byte) ([]byte, error) {
	if len(challenge) != challengeSize {
		return nil, fault.New(fault.Invalid, "a challenge has %d bytes", challengeSize)
	}
	var err error
	for range 3 {
		var envelope []byte
		if envelope, err = f.signPending(ctx, peer, challenge); !fault.Is(err, fault.Conflict) {
			return envelope, err
		}
	}
	return nil, err
}

// signPending is one attempt; a Conflict if the order, or the device's number,
// changed meanwhile.
func (f *Flow) signPending(ctx context.Context, peer Peer, challenge []byte) ([]byte, error) {
	var o order.Order
	var seen uint64
	var found bool
	err := f.store.View(ctx, func(tx Tx) (err error) {
		o, seen, found, err = tx.DueOrder(ctx, peer.DeviceID)
		return err
	})
	if err != nil || !found || f.now().Before(o.NotBefore) {
		return nil, err
	}
	number, err := order.NextNumber(o.Number, seen)
	if err != nil {
		return nil, err
	}
	o.Number, o.SentAt = number, f.now()
	envelope, err := o.Sign(f.signers.Order, challenge, number, f.now())
	if err != nil {
		return nil, fmt.Errorf("sign order %s: %w", o.ID, err)
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		if err := tx.RaiseOrderNumber(ctx, peer.DeviceID, number); err != nil {
			return err
		}
		if err := tx.SetOrder(ctx, o.State, o); err != nil {
			return err
		}
		return f.recordSigned(ctx, tx, &o, envelope)
	})
	if err != nil {
		return nil, fmt.Errorf("order for %s: %w", peer.DeviceID, err)
	}
	return envelope, nil
}

// orderOf is an order of this device; another's is as unknown as none.
func (f *Flow) orderOf(ctx context.Context, tx Tx, peer Peer, orderID string) (order.Order, error) {
	o, err := tx.OrderByID(ctx, orderID)
	if err == nil && o.DeviceID != peer.DeviceID {
		err = fault.New(fault.NotFound, "no such order")
	}
	return o, err
}

// OnRefusal keeps a device's signed word that it refused an order or a lease.
// The order stays due.
func (f *Flow) OnRefusal(ctx context.Context, peer Peer, envelope []byte) error {
	refusal := &cutoffv1.Refusal{}
	err := f.openByDevice(ctx, peer, envelope, signed.TypeRefusal, refusal)
	var refused *refusedReceipt
	if errors.As(err, &refused) {
		return fault.Wrap(err, fault.Denied, "the refusal cannot be taken: %s", refused.reason)
	}
	if err != nil {
		return fmt.Errorf("refusal of %s: %w", peer.DeviceID, err)
	}
	if refusal.GetDeviceId() != peer.DeviceID {
		return fault.New(fault.Denied, "the refusal is another device's")
	}
	err = f.act(ctx, func(tx Tx, e *effects) error {
		event := evidence.Event{
			Kind: "device.refused", Actor: peer.DeviceID, DeviceID: peer.DeviceID, CutID: refusal.GetCutId(),
			Fields: []evidence.Field{
				{Name: "what", Value: refusal.GetWhat()}, {Name: "reason", Value: refusal.GetReason()},
				{Name: "number", Value: strconv.FormatUint(refusal.GetNumber(), 10)},
			}, Signed: envelope,
		}
		o, _, found, err := tx.DueOrder(ctx, peer.DeviceID)
		if err != nil {
			return err
		}
		// A word on an earlier signature says nothing about the newest one.
		if refusal.GetWhat() == "order" && found && o.CutID == refusal.GetCutId() && o.Number == refusal.GetNumber() {
			if err := f.refuseOrder(ctx, tx, &o, refusal.GetReason()); err != nil {
				return err
			}
			e.cut(o.CutID)
			event.CaseID = o.CaseID
		} else {
			event.CutID = ""
			event.Fields = append(event.Fields, evidence.Field{Name: "cut", Value: refusal.GetCutId()})
		}
		return f.record(ctx, tx, event)
	})
	if err != nil {
		return fmt.Errorf("refusal of %s: %w", peer.DeviceID, err)
	}
	return nil
}

func (f *Flow) refuseOrder(ctx context.Context, tx Tx, o *order.Order, reason string) error {
	from := o.State
	to, err := order.Next(from, order.Refuse)
	if err != nil {
		return err
	}
	if from == order.Refused {
		o.NotBefore = f.now().Add(againRefused)
	}
	o.State, o.Detail = to, clip(reason, 64)
	return tx.SetOrder(ctx, from, *o)
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

// signingTime is how long one transaction may go on signing orders: others wait
// for it, and a key in a token or a service signs slowly. The rest is signed at
// contact, as for a device that is not here.
const signingTime = 20 * time.Millisecond

// draft adds an order to a cut and tells the device's stream. For a device that
// is connected here it is signed at once, so that nothing but the push is left
// when the cut is durable. That order may be lost on its way: it is due, and
// signed anew at the next contact, until its receipt is stored.
func (f *Flow) draft(ctx context.Context, tx Tx, e *effects, c *cut.Cut, o order.Order) error {
	o.ID, o.CutID, o.CaseID, o.DeviceID = newID("ord_"), c.ID, c.CaseID, c.DeviceID
	o.State, o.CreatedAt = order.Drafted, f.now()
	c.OrderID, c.OrderState, c.OrderKind = o.ID, o.State, o.Kind
	envelope, err := f.signNow(ctx, tx, e, &o)
	if err != nil {
		return err
	}
	if err := tx.InsertOrder(ctx, o); err != nil {
		return fmt.Errorf("draft order: %w", err)
	}
	if envelope != nil {
		return f.recordSigned(ctx, tx, &o, envelope)
	}
	e.device(c.DeviceID)
	return f.recordOrder(ctx, tx, "order.drafted", &o)
}

// signNow numbers and signs a new order for the stream its device has on this
// node, and leaves the push to the effects; nil if it is to be signed at
// contact. A key that cannot sign now must not keep a cut from being opened.
func (f *Flow) signNow(ctx context.Context, tx Tx, e *effects, o *order.Order) ([]byte, error) {
	if f.pusher == nil || e.signing > signingTime {
		return nil, nil
	}
	challenge := f.pusher.Challenge(o.DeviceID)
	if len(challenge) != challengeSize || e.pushes(o.DeviceID) {
		return nil, nil
	}
	number, err := tx.NextOrderNumber(ctx, o.DeviceID)
	if errors.Is(err, order.ErrExhausted) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("number order: %w", err)
	}
	now := f.now()
	envelope, err := o.Sign(f.signers.Order, challenge, number, now)
	e.signing += f.now().Sub(now)
	if err != nil {
		f.log.ErrorContext(ctx, "order not signed yet", "order_id", o.ID, "device_id", o.DeviceID, "err", err)
		return nil, nil
	}
	o.Number, o.SentAt = number, now
	e.push = append(e.push, pushed{o.DeviceID, challenge, envelope})
	return envelope, nil
}

func (f *Flow) recordSigned(ctx context.Context, tx Tx, o *order.Order, envelope []byte) error {
	return f.record(ctx, tx, evidence.Event{
		Kind: "order.signed", Actor: "server", DeviceID: o.DeviceID, CutID: o.CutID, CaseID: o.CaseID,
		Fields: []evidence.Field{{Name: "order", Value: o.ID}, {Name: "kind", Value: string(o.Kind)}}, Signed: envelope,
	})
}

// supersede takes back the orders of a cut that still have to reach the device,
// or that it still works on.
func (f *Flow) supersede(ctx context.Context, tx Tx, c *cut.Cut) error {
	if c.OrderState == order.None {
		return nil
	}
	orders, err := tx.OrdersOfCut(ctx, c.ID)
	if err != nil {
		return err
	}
	for i := range orders {
		o := &orders[i]
		if !o.State.Due() && o.State != order.Partial {
			continue
		}
		from := o.State
		if o.State, err = order.Next(from, order.Supersede); err != nil {
			return err
		}
		if err := tx.SetOrder(ctx, from, *o); err != nil {
			return err
		}
		if o.ID == c.OrderID {
			c.OrderState = o.State
		}
		if err := f.recordOrder(ctx, tx, "order.superseded", o); err != nil {
			return err
		}
	}
	return nil
}

func (f *Flow) recordOrder(ctx context.Context, tx Tx, kind string, o *order.Order, more ...evidence.Field) error {
	return f.record(ctx, tx, evidence.Event{
		Kind: kind, Actor: "server", DeviceID: o.DeviceID, CutID: o.CutID, CaseID: o.CaseID,
		Fields: append([]evidence.Field{{Name: "order", Value: o.ID}, {Name: "kind", Value: string(o.Kind)}}, more...),
	})
}
