package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
)

// LiftByFile lifts a cut as Lift does, and answers the request file of its
// device, which has no network: a signed file with the lift's order for the
// request's challenge and the keys of the items it asks for, which only this
// device can read. A cutID that is empty is the request's.
//
// What the device sealed without a network is known by the receipts it brings,
// as if they had come over the wire.
func (f *Flow) LiftByFile(ctx context.Context, actor Actor, cutID, reason string, file []byte) (cut.Cut, []byte, error) {
	r, peer, recipient, err := f.openLiftRequest(ctx, file)
	if err != nil {
		return cut.Cut{}, nil, fmt.Errorf("lift by file: %w", err)
	}
	if cutID != "" && r.GetCutId() != cutID {
		return cut.Cut{}, nil, fault.New(fault.Conflict, "the request is about another cut, %s", clip(r.GetCutId(), 128))
	}
	for _, receipt := range r.GetReceipts() {
		ack, err := f.OnReceipt(ctx, peer, receipt)
		if err != nil {
			return cut.Cut{}, nil, fmt.Errorf("lift by file: %w", err)
		}
		if ack.GetRefused() != "" {
			f.log.WarnContext(ctx, "receipt in a lift request refused", "device_id", peer.DeviceID, "reason", ack.GetRefused())
		}
	}
	err = f.store.View(ctx, func(tx Tx) error {
		c, err := tx.CutRow(ctx, r.GetCutId())
		if fault.Is(err, fault.NotFound) || err == nil && c.DeviceID != peer.DeviceID {
			return fault.New(fault.NotFound, "there is no such cut of this device")
		}
		return err
	})
	if err != nil {
		return cut.Cut{}, nil, fmt.Errorf("lift by file: %w", err)
	}
	c, err := f.Lift(ctx, actor, r.GetCutId(), reason)
	if err != nil {
		return cut.Cut{}, nil, err
	}
	answer, err := f.answerLift(ctx, actor, peer, r, recipient)
	if err != nil {
		return cut.Cut{}, nil, fmt.Errorf("lift by file: %w", err)
	}
	return c, answer, nil
}

// openLiftRequest verifies the file by the key of the device it names.
func (f *Flow) openLiftRequest(ctx context.Context, file []byte) (*cutoffv1.LiftRequest, Peer, age.Recipient, error) {
	said, r := &cutoffv1.LiftRequest{}, &cutoffv1.LiftRequest{}
	if err := signed.Peek(file, signed.TypeLiftAsk, said); err != nil {
		return nil, Peer{}, nil, fault.Wrap(err, fault.Invalid, "this is no request for a lift: cutoff-agent status --challenge -o FILE makes one")
	}
	var d device.Device
	err := f.store.View(ctx, func(tx Tx) (err error) {
		d, err = tx.Device(ctx, said.GetDeviceId())
		return err
	})
	if err != nil {
		return nil, Peer{}, nil, err
	}
	peer := Peer{DeviceID: d.ID, Key: [32]byte(d.PublicKey)}
	var refused *refusedReceipt
	if err := f.openByDevice(ctx, peer, file, signed.TypeLiftAsk, r); errors.As(err, &refused) {
		return nil, Peer{}, nil, fault.Wrap(err, fault.Denied, "the request is not signed by the device it names")
	} else if err != nil {
		return nil, Peer{}, nil, err
	}
	recipient, err := age.ParseX25519Recipient(r.GetRecipient())
	if err != nil || len(r.GetChallenge()) != challengeSize || len(r.GetHeaders()) > maxHeaders {
		return nil, Peer{}, nil, fault.New(fault.Invalid, "the request is not whole")
	}
	return r, peer, recipient, nil
}

// answerLift signs what the device needs: nothing but the order of a lift goes
// this way.
func (f *Flow) answerLift(
	ctx context.Context, actor Actor, peer Peer, r *cutoffv1.LiftRequest, recipient age.Recipient,
) (answer []byte, err error) {
	err = f.store.Update(ctx, func(tx Tx) error {
		c, err := tx.CutRow(ctx, r.GetCutId())
		if err != nil {
			return err
		}
		if c.State != cut.Lifting {
			return fault.New(fault.Conflict, "the cut is %s; nothing waits for the device", c.State)
		}
		signedOrder, err := f.signLift(ctx, tx, peer, &c, r)
		if err != nil {
			return err
		}
		keys, err := f.liftKeys(ctx, tx, &c, r, recipient)
		if err != nil {
			return err
		}
		answer, err = signed.Seal(signed.TypeLiftAnswer, &cutoffv1.LiftAnswer{
			DeviceId: peer.DeviceID, CutId: c.ID, Challenge: r.GetChallenge(), Order: signedOrder, Keys: keys,
		}, f.signers.Order)
		if err != nil {
			return fmt.Errorf("sign answer: %w", err)
		}
		return f.recordCut(ctx, tx, "lift.answered-by-file", actor.Name, &c,
			evidence.Field{Name: "sha256", Value: evidence.Digest(answer)})
	})
	return answer, err
}

// signLift signs the order that is due for the request's challenge.
func (f *Flow) signLift(ctx context.Context, tx Tx, peer Peer, c *cut.Cut, r *cutoffv1.LiftRequest) ([]byte, error) {
	o, seen, found, err := tx.DueOrder(ctx, peer.DeviceID)
	if err != nil {
		return nil, err
	}
	if !found || o.Kind != order.Lift || o.CutID != c.ID {
		return nil, fault.New(fault.Conflict, "no lift is due for the device: it may have been carried out")
	}
	reported, away := adopt(seen, r.GetHighestOrder())
	if away {
		return nil, fault.New(fault.Conflict, "the device reports an order number far above any it was given")
	}
	number, err := order.NextNumber(o.Number, reported)
	if err != nil {
		return nil, err
	}
	o.Number, o.SentAt = number, f.now()
	envelope, err := o.Sign(f.signers.Order, r.GetChallenge(), number, f.now())
	if err != nil {
		return nil, fmt.Errorf("sign order %s: %w", o.ID, err)
	}
	if err := tx.RaiseOrderNumber(ctx, peer.DeviceID, number); err != nil {
		return nil, err
	}
	if err := tx.SetOrder(ctx, o.State, o); err != nil {
		return nil, err
	}
	return envelope, f.recordSigned(ctx, tx, &o, envelope)
}

// liftKeys opens the request's headers and encrypts what comes out for the
// device alone: the file is carried by people.
func (f *Flow) liftKeys(ctx context.Context, tx Tx, c *cut.Cut, r *cutoffv1.LiftRequest, to age.Recipient) ([]byte, error) {
	identity, err := f.escrowIdentity(ctx, tx, c.Escrow)
	if errors.Is(err, ErrShredded) {
		return nil, fault.Wrap(err, fault.Conflict, "the key of this cut was destroyed")
	}
	if err != nil {
		return nil, err
	}
	headers := make([]*cutoffv1.SealedHeader, 0, len(r.GetHeaders()))
	for _, h := range r.GetHeaders() {
		headers = append(headers, &cutoffv1.SealedHeader{ItemId: h.GetItemId(), Header: h.GetHeader()})
	}
	released, err := f.release(ctx, tx, c, identity, headers)
	if err != nil {
		return nil, err
	}
	keys := &cutoffv1.LiftKeys{}
	for _, k := range released {
		keys.Keys = append(keys.Keys, &cutoffv1.LiftKey{ItemId: k.GetItemId(), Key: k.GetKey(), Refused: k.GetRefused()})
	}
	plain, err := proto.Marshal(keys)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("encrypt keys: %w", err)
	}
	_, err = w.Write(plain)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("encrypt keys: %w", err)
	}
	return out.Bytes(), nil
}
