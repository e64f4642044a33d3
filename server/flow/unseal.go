package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"filippo.io/age"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// Bounds of one Unseal.
const (
	maxHeaders     = 5000
	maxHeaderBytes = 8 << 10
)

// Unseal opens the age headers of the device's own sealed items while their cut
// is being lifted: those that the cut's receipts list, and no other. Only file
// keys leave, and each release is evidence before it does.
func (f *Flow) Unseal(
	ctx context.Context, peer Peer, cutID string, headers []*cutoffv1.SealedHeader,
) ([]*cutoffv1.FileKey, error) {
	if len(headers) > maxHeaders {
		return nil, fault.New(fault.Invalid, "%d headers at once, at most %d", len(headers), maxHeaders)
	}
	var keys []*cutoffv1.FileKey
	err := f.store.Update(ctx, func(tx Tx) error {
		keys = nil
		c, err := tx.CutRow(ctx, cutID)
		if fault.Is(err, fault.NotFound) || err == nil && c.DeviceID != peer.DeviceID {
			return fault.New(fault.NotFound, "there is no such cut of this device")
		}
		if err != nil {
			return err
		}
		if c.State != cut.Lifting {
			return fault.New(fault.Conflict, "the cut is %s; keys are released while it is lifted", c.State)
		}
		identity, err := f.escrowIdentity(ctx, tx, c.Escrow)
		if errors.Is(err, ErrShredded) {
			return fault.Wrap(err, fault.Conflict, "the key of this cut was destroyed")
		}
		if err != nil {
			return err
		}
		keys, err = f.release(ctx, tx, &c, identity, headers)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("unseal for %s: %w", peer.DeviceID, err)
	}
	return keys, nil
}

func (f *Flow) release(
	ctx context.Context, tx Tx, c *cut.Cut, identity age.Identity, headers []*cutoffv1.SealedHeader,
) ([]*cutoffv1.FileKey, error) {
	keys := make([]*cutoffv1.FileKey, 0, len(headers))
	released := evidence.Event{
		Kind: "keys.released", Actor: "server", DeviceID: c.DeviceID, CutID: c.ID, CaseID: c.CaseID,
	}
	for _, h := range headers {
		key, refused, err := f.fileKey(ctx, tx, c, identity, h)
		if err != nil {
			return nil, err
		}
		keys = append(keys, &cutoffv1.FileKey{ItemId: h.GetItemId(), Key: key, Refused: refused})
		word := "released"
		if refused != "" {
			word = "refused: " + refused
		}
		released.Fields = append(released.Fields, evidence.Field{Name: clip(h.GetItemId(), 128), Value: word})
	}
	released.Fields = append(released.Fields, evidence.Field{Name: "asked", Value: strconv.Itoa(len(headers))})
	return keys, f.record(ctx, tx, released)
}

// fileKey opens one header. What goes wrong is told in words that say nothing
// of the key.
func (f *Flow) fileKey(
	ctx context.Context, tx Tx, c *cut.Cut, identity age.Identity, h *cutoffv1.SealedHeader,
) (key []byte, refused string, err error) {
	listed, err := tx.HasItem(ctx, c.ID, h.GetItemId())
	switch {
	case err != nil:
		return nil, "", err
	case !listed:
		return nil, "not in this cut's receipt", nil
	case len(h.GetHeader()) == 0 || len(h.GetHeader()) > maxHeaderBytes:
		return nil, "malformed header", nil
	}
	key, openErr := age.DecryptHeader(h.GetHeader(), identity)
	if openErr != nil {
		return nil, "not sealed to this cut's key", nil //nolint:nilerr // a bad header is the device's matter
	}
	return key, "", nil
}
