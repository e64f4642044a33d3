package flow

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// GrantLease answers a lease's envelope for nonce, or why there is none. The
// number it carries is durable first, so that no two leases ever share one.
//
// This is what an idle fleet does all day: two statements and the checkpoint;
// signing happens outside the transaction.
// held, if it is not nil, is the number of the lease the device says it holds.
func (f *Flow) GrantLease(ctx context.Context, peer Peer, nonce []byte, held *uint64) (envelope []byte, refused string, err error) {
	if len(nonce) != lease.NonceSize {
		return nil, "", fault.New(fault.Invalid, "a nonce has %d bytes", lease.NonceSize)
	}
	var granted *cutoffv1.Lease
	var reason lease.Reason
	err = f.act(ctx, func(tx Tx, e *effects) error {
		granted, reason, err = f.lease(ctx, tx, e, peer, nonce, held)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("grant lease to %s: %w", peer.DeviceID, err)
	}
	if reason != lease.Granted {
		return nil, string(reason), nil
	}
	granted.Codes = f.fillCodes(ctx, peer.DeviceID, granted.GetCodes())
	envelope, err = signed.Seal(signed.TypeLease, granted, f.signers.Lease)
	if err != nil {
		return nil, "", fmt.Errorf("sign lease: %w", err)
	}
	return envelope, "", nil
}

func (f *Flow) lease(
	ctx context.Context, tx Tx, e *effects, peer Peer, nonce []byte, held *uint64,
) (*cutoffv1.Lease, lease.Reason, error) {
	d, g, err := tx.DeviceAndGroup(ctx, peer.DeviceID)
	if err != nil {
		return nil, "", err
	}
	if held != nil {
		if err := f.saidLease(ctx, tx, e, &d, *held); err != nil {
			return nil, "", err
		}
	}
	if d.CutID != "" {
		if err := f.heardAgain(ctx, tx, e, &d); err != nil {
			return nil, "", err
		}
	}
	c, _, err := f.standing(ctx, tx, &d)
	if err != nil {
		return nil, "", err
	}
	now := f.now()
	if reason := lease.Withheld(&d, c.State, peer.Expired); reason != lease.Granted {
		return nil, reason, tx.SetContact(ctx, d.ID, now)
	}
	granted := lease.New(&d, &g, d.LeaseNumber+1, nonce)
	granted.RosterVersion = f.authority.RosterVersion()
	granted.IssuedAt = timestamppb.New(now)
	granted.Codes, granted.Servers, granted.Mirrors = codesOf(&d), f.addresses.Servers, f.addresses.Mirrors
	if granted.Checkpoint, err = f.checkpoint(ctx, tx); err != nil {
		return nil, "", err
	}
	d.Silence = d.Silence.Granted(&g, d.ExtendedUntil, now)
	return granted, lease.Granted, tx.SetLease(ctx, &d, granted.GetNumber(), now.Add(g.Seal), now)
}

// saidLease holds the number of the lease a device says it holds against what it
// was given and said before.
func (f *Flow) saidLease(ctx context.Context, tx Tx, e *effects, d *device.Device, held uint64) error {
	v := d.Said.HoldsLease(held, d.LeaseNumber)
	err := f.verdict(ctx, tx, e, d, v, number("lease", held), number("lease_said", d.Said.Lease), number("lease_granted", d.LeaseNumber))
	if d.Said.Known {
		d.Said.Lease = held
	}
	return err
}
