package flow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
)

// refusedReceipt is why a receipt will never be taken.
type refusedReceipt struct{ reason string }

func (r *refusedReceipt) Error() string { return "receipt refused: " + r.reason }

func refuse(format string, args ...any) error { return &refusedReceipt{fmt.Sprintf(format, args...)} }

// OnReceipt keeps a device's signed answer. The acknowledgement says that it is
// durable, or why it never will be; an error means that the device has to send
// it again. The same receipt again changes nothing.
func (f *Flow) OnReceipt(ctx context.Context, peer Peer, envelope []byte) (*cutoffv1.ReceiptAck, error) {
	receipt, back := &cutoffv1.Receipt{}, false
	err := f.openByDevice(ctx, peer, envelope, signed.TypeReceipt, receipt)
	if err == nil {
		err = checkReceipt(receipt, peer)
	}
	if err == nil {
		err = f.act(ctx, func(tx Tx, e *effects) error {
			err := f.receive(ctx, tx, e, receipt, envelope)
			back = e.back
			return err
		})
	}
	ack := &cutoffv1.ReceiptAck{CutId: receipt.GetCutId(), OrderId: receipt.GetOrderId(), Part: receipt.GetPart()}
	var refused *refusedReceipt
	if errors.As(err, &refused) {
		if len(refused.reason) > 0 && receipt.GetCutId() == "" {
			// What was not opened still names what it is about, for the ack.
			said := &cutoffv1.Receipt{}
			if signed.Peek(envelope, signed.TypeReceipt, said) == nil {
				ack.CutId, ack.OrderId, ack.Part = said.GetCutId(), said.GetOrderId(), said.GetPart()
			}
		}
		ack.Refused = refused.reason
		return ack, f.noteRefused(ctx, peer, ack)
	}
	if err != nil {
		return nil, fmt.Errorf("receipt of %s: %w", peer.DeviceID, err)
	}
	f.arrivals.drop(peer.DeviceID, receipt.GetOrderId())
	if !back {
		return ack, nil
	}
	if err := f.comeBack(ctx, peer.DeviceID); err != nil {
		// The receipt is stored; the next report asks again.
		f.log.ErrorContext(ctx, "device is back, its cut stays", "device_id", peer.DeviceID, "err", err)
	}
	return ack, nil
}

func (f *Flow) noteRefused(ctx context.Context, peer Peer, ack *cutoffv1.ReceiptAck) error {
	return f.store.Update(ctx, func(tx Tx) error {
		return f.record(ctx, tx, evidence.Event{
			Kind: "receipt.refused", Actor: "server", DeviceID: peer.DeviceID, Fields: []evidence.Field{
				{Name: "reason", Value: ack.GetRefused()}, {Name: "cut", Value: clip(ack.GetCutId(), 128)},
				{Name: "order", Value: clip(ack.GetOrderId(), 128)}, {Name: "part", Value: strconv.FormatUint(uint64(ack.GetPart()), 10)},
			},
		})
	})
}

// openByDevice opens an envelope that the device's own key must have signed.
func (f *Flow) openByDevice(ctx context.Context, peer Peer, envelope []byte, payloadType string, m proto.Message) error {
	key := ed25519.PublicKey(peer.Key[:])
	if peer.Key == [32]byte{} {
		err := f.store.View(ctx, func(tx Tx) error {
			d, err := tx.Device(ctx, peer.DeviceID)
			key = d.PublicKey
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("key of %s has %d bytes", peer.DeviceID, len(key))
	}
	_, err := signed.Open(envelope, payloadType, signed.Keys{signed.KeyID(key): key}, m)
	switch {
	case errors.Is(err, signed.ErrUntrusted):
		return refuse("forged: not signed by this device")
	case err != nil:
		return refuse("malformed: %v", err)
	}
	return nil
}

// receive takes a verified receipt in: all of it, or nothing.
func (f *Flow) receive(ctx context.Context, tx Tx, e *effects, r *cutoffv1.Receipt, envelope []byte) error {
	if r.GetKind() == cutoffv1.OrderKind_ORDER_KIND_UNINSTALL {
		return f.removalAnswered(ctx, tx, r, envelope)
	}
	d, err := tx.Device(ctx, r.GetDeviceId())
	if err != nil {
		return err
	}
	if err := f.noteTampering(ctx, tx, &d, r.GetFacts()); err != nil {
		return err
	}
	c, o, err := f.subjectOf(ctx, tx, r, &d)
	if err != nil {
		return err
	}
	digest := signed.Digest(envelope)
	known, err := tx.InsertReceipt(ctx, Receipt{
		CutID: c.ID, OrderID: r.GetOrderId(), Part: r.GetPart(), Digest: digest[:], At: f.now(),
	})
	switch {
	case err != nil:
		return err
	case known != nil && bytes.Equal(known, digest[:]):
		return nil
	case known != nil:
		return refuse("replayed: another receipt is stored in its place")
	}
	if err := f.putItems(ctx, tx, &c, r); err != nil {
		return err
	}
	if err := f.answer(ctx, tx, &c, o, r); err != nil {
		return err
	}
	e.back = c.Cause == cut.Expiry
	return f.conclude(ctx, tx, e, &c, &d, r, envelope)
}

// subjectOf finds the cut, and the order, that a receipt is about. An agent's
// own seal, or an answer to an order that a restored server does not know, may
// name the device's reserved cut: then the cut is made now.
func (f *Flow) subjectOf(ctx context.Context, tx Tx, r *cutoffv1.Receipt, d *device.Device) (cut.Cut, *order.Order, error) {
	c, err := tx.CutRow(ctx, r.GetCutId())
	if fault.Is(err, fault.NotFound) && r.GetCutId() == d.ReservedCut && r.GetKind() != cutoffv1.OrderKind_ORDER_KIND_LIFT {
		c, err = f.selfMade(ctx, tx, r, d)
		return c, nil, err
	}
	if fault.Is(err, fault.NotFound) || err == nil && c.DeviceID != d.ID {
		return c, nil, refuse("foreign: no such cut of this device")
	}
	if err != nil || r.GetCause() == cutoffv1.Cause_CAUSE_EXPIRY {
		return c, nil, err
	}
	o, err := tx.OrderByID(ctx, r.GetOrderId())
	kind, _ := order.KindOf(r.GetKind())
	switch {
	case fault.Is(err, fault.NotFound):
		return c, nil, refuse("foreign: no such order")
	case err != nil:
		return c, nil, err
	case o.DeviceID != d.ID || o.CutID != c.ID || o.Kind != kind:
		return c, nil, refuse("foreign: the order is another one")
	case !o.Sent() && d.OrderNumber < r.GetOrderNumber():
		return c, nil, refuse("forged: the order was never handed out")
	}
	return c, &o, nil
}

// selfMade is the cut of a seal that no row asked for: the local items only,
// cloud steps wait until a decision lets them through.
func (f *Flow) selfMade(ctx context.Context, tx Tx, r *cutoffv1.Receipt, d *device.Device) (cut.Cut, error) {
	k := cut.Case{
		ID: newID("case_"), DeviceID: d.ID, Level: cut.Seal, Cause: cut.Expiry, Reason: "the device sealed itself",
		Actor: "agent", Person: "agent", Machine: true, State: cut.CaseOpen, AskedAt: f.now(),
	}
	if r.GetKind() == cutoffv1.OrderKind_ORDER_KIND_PURGE {
		k.Level = cut.Purge
	}
	if r.GetCause() == cutoffv1.Cause_CAUSE_ORDER {
		// Somebody's order, though a restored server knows not whose: it does not end
		// by itself.
		k.Cause, k.Reason = cut.Operator, "the device answered an order this server has no row of"
	}
	if err := f.insertCase(ctx, tx, &k, 1); err != nil {
		return cut.Cut{}, err
	}
	c := cut.Cut{
		ID: d.ReservedCut, CaseID: k.ID, DeviceID: d.ID, PersonID: d.PersonID, Level: k.Level, State: cut.Open,
		Cause: k.Cause, Reason: k.Reason, Actor: k.Actor, Escrow: d.Escrow, OpenedAt: f.now(), OrderState: order.None,
		HeldReason: "cloud steps wait until the cut is asked for",
	}
	if standing, found, err := tx.CutOfDevice(ctx, d.ID); err != nil {
		return c, err
	} else if found && standing.State != cut.Lifting {
		return c, refuse("foreign: another cut of this device stands")
	}
	if err := tx.InsertCut(ctx, c); err != nil {
		return c, err
	}
	if err := tx.SetStandingCut(ctx, d.ID, c.ID); err != nil {
		return c, err
	}
	d.CutID = c.ID
	return c, f.recordCut(ctx, tx, "cut.opened", "agent", &c, evidence.Field{Name: "reason", Value: c.Reason})
}

// answer moves the order a receipt answers.
func (f *Flow) answer(ctx context.Context, tx Tx, c *cut.Cut, o *order.Order, r *cutoffv1.Receipt) error {
	if o == nil {
		return nil
	}
	event := order.Answer
	if r.GetComplete() {
		event = order.Complete
	}
	from := o.State
	if r.GetPart() < c.ReceiptPart && r.GetOrderNumber() == c.ReceiptNumber {
		return nil // an earlier part that comes late says nothing new
	}
	to, err := order.Next(from, event)
	if err != nil {
		return err
	}
	o.State, o.Detail, o.NotBefore = to, "", time.Time{}
	if o.DeliveredAt.IsZero() {
		if o.DeliveredAt = f.arrivals.at(o.DeviceID, o.ID); o.DeliveredAt.IsZero() {
			o.DeliveredAt = f.now()
		}
	}
	if o.DoneAt.IsZero() {
		o.DoneAt = f.now()
	}
	if o.ID == c.OrderID {
		c.OrderState, c.DeliveredAt = to, o.DeliveredAt
	}
	return tx.SetOrder(ctx, from, *o)
}

// older reports whether a receipt says less than what the cut already knows.
func older(c *cut.Cut, r *cutoffv1.Receipt) bool {
	if c.ReceiptAt.IsZero() {
		return false
	}
	return r.GetOrderNumber() < c.ReceiptNumber ||
		r.GetOrderNumber() == c.ReceiptNumber && r.GetPart() < c.ReceiptPart
}

// conclude moves the cut and the device to what the receipt says. All of it is
// one record of the evidence, with the receipt's bytes.
func (f *Flow) conclude(
	ctx context.Context, tx Tx, e *effects, c *cut.Cut, d *device.Device, r *cutoffv1.Receipt, envelope []byte,
) error {
	from, was, late := c.State, d.State, older(c, r)
	sealed, err := f.hear(c, r, late)
	if err != nil {
		return err
	}
	if sealed && c.State == cut.Lifting {
		if err := f.draftLift(ctx, tx, e, c, d, nil); err != nil {
			return err
		}
	}
	if err := f.due(ctx, tx, e, c); err != nil {
		return err
	}
	set := tx.SetCutReceipt
	if sealed { // which says why it is held as well
		set = tx.SetCut
	}
	if err := set(ctx, from, *c); err != nil {
		return err
	}
	if sealed || d.CutID == "" && c.Active() {
		if err := tx.SetStandingCut(ctx, d.ID, c.ID); err != nil {
			return err
		}
		d.CutID = c.ID
	}
	if to := stateAfter(r); !late && to != d.State {
		if _, err := device.Move(d.State, to); err == nil {
			if err := tx.MoveDevice(ctx, d.ID, d.State, to); err != nil {
				return err
			}
			d.State = to
		}
	}
	fields := append(receiptFields(r),
		evidence.Field{Name: "cut_was", Value: string(from)}, evidence.Field{Name: "cut", Value: string(c.State)},
		evidence.Field{Name: "device_was", Value: string(was)}, evidence.Field{Name: "device", Value: string(d.State)})
	if at := f.arrivals.at(d.ID, r.GetOrderId()); !at.IsZero() {
		fields = append(fields, receivedAt(at))
	}
	err = f.record(ctx, tx, evidence.Event{
		Kind: "receipt.stored", Actor: d.ID, DeviceID: d.ID, CutID: c.ID, CaseID: c.CaseID, Signed: envelope,
		Fields: fields,
	})
	if err != nil || c.State != cut.Lifted || from == cut.Lifted {
		return err
	}
	return f.lifted(ctx, tx, c)
}

// hear takes a receipt's word into the cut; sealed is set when the device
// sealed itself under a cut that does not stand.
func (f *Flow) hear(c *cut.Cut, r *cutoffv1.Receipt, late bool) (sealed bool, err error) {
	c.ReceiptAt = f.now()
	if c.FirstRemoved == 0 {
		c.FirstRemoved = firstRemoved(r)
	}
	if late {
		return false, nil
	}
	c.ReceiptNumber, c.ReceiptPart = r.GetOrderNumber(), r.GetPart()
	c.Unfinished = !r.GetComplete()
	if r.GetKind() == cutoffv1.OrderKind_ORDER_KIND_LIFT || c.Active() {
		return false, nil
	}
	to, err := cut.Next(c.State, cut.SelfSealed)
	if err != nil {
		return false, refuse("stale: the cut is %s", c.State)
	}
	if c.State == cut.Held {
		c.PendingCase, c.HeldReason = c.CaseID, "cloud steps wait: "+c.HeldReason
	}
	c.State = to
	return true, nil
}

// firstRemoved is how long after the order came the first item was gone.
func firstRemoved(r *cutoffv1.Receipt) time.Duration {
	took := r.GetFirstRemovedBootMs() - r.GetReceivedBootMs()
	if r.GetReceivedBootMs() <= 0 || took <= 0 || took > int64(24*time.Hour/time.Millisecond) {
		return 0
	}
	return time.Duration(took) * time.Millisecond
}

// stateAfter is where a receipt leaves its device.
func stateAfter(r *cutoffv1.Receipt) device.State {
	switch r.GetKind() {
	case cutoffv1.OrderKind_ORDER_KIND_SEAL:
		return device.Sealed
	case cutoffv1.OrderKind_ORDER_KIND_PURGE:
		return device.Purged
	}
	return "" // a lift ends with the cut, an uninstall changes nothing
}

func (f *Flow) putItems(ctx context.Context, tx Tx, c *cut.Cut, r *cutoffv1.Receipt) error {
	items := make([]cut.Item, 0, len(r.GetItems()))
	for _, i := range r.GetItems() {
		items = append(items, itemOf(i))
	}
	if err := tx.PutItems(ctx, c.ID, items, !older(c, r)); err != nil {
		return fmt.Errorf("keep items: %w", err)
	}
	if err := tx.NoteCertificates(ctx, r.GetDeviceId(), certificatesIn(r.GetItems()), f.now()); err != nil {
		return fmt.Errorf("keep certificates: %w", err)
	}
	return nil
}
