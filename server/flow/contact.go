package flow

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// Welcome answers a hello.
type Welcome struct {
	ReportInterval time.Duration
	// Inventory asks for an upload.
	Inventory bool
	// Roster is set (an envelope) when the agent's is old.
	Roster []byte
}

// inventoryAge is after how long an inventory is asked for again.
const inventoryAge = 24 * time.Hour

// rollbackGap is how far above the stored one a reported number is no restored
// backup any more, but a device that was given numbers by somebody else.
const rollbackGap = 1 << 32

// OnHello verifies the hello envelope by the device key and the connection's
// channel binding, adopts its numbers and notes the contact.
func (f *Flow) OnHello(ctx context.Context, peer Peer, hello, binding []byte) (Welcome, error) {
	var answer Welcome
	err := f.act(ctx, func(tx Tx, e *effects) error {
		d, g, err := tx.DeviceAndGroup(ctx, peer.DeviceID)
		if err != nil {
			return err
		}
		said, err := verifyHello(&d, hello, binding)
		if err != nil {
			return err
		}
		answer = Welcome{
			ReportInterval: g.Report,
			Inventory:      d.InventoryAt.IsZero() || f.now().Sub(d.InventoryAt) >= inventoryAge,
		}
		if said.GetRosterVersion() < f.authority.RosterVersion() {
			answer.Roster = f.authority.Roster()
		}
		return f.heard(ctx, tx, e, &d, &g, said)
	})
	if err != nil {
		return Welcome{}, fmt.Errorf("hello of %s: %w", peer.DeviceID, err)
	}
	return answer, nil
}

// verifyHello opens the hello: signed by this device, for this connection.
func verifyHello(d *device.Device, envelope, binding []byte) (*cutoffv1.Hello, error) {
	keys, err := signed.NewKeys(d.PublicKey)
	if err != nil {
		return nil, err
	}
	hello := &cutoffv1.Hello{}
	if _, err := signed.Open(envelope, signed.TypeHello, keys, hello); err != nil {
		return nil, fault.Wrap(err, fault.Unauthenticated, "the hello is not signed by the device's key")
	}
	switch {
	case hello.GetDeviceId() != d.ID:
		return nil, fault.New(fault.Unauthenticated, "the hello is another device's")
	case len(binding) == 0 || subtle.ConstantTimeCompare(hello.GetChannelBinding(), binding) != 1:
		return nil, fault.New(fault.Unauthenticated, "the hello is for another connection")
	case len(hello.GetBootId()) > maxBoot || strings.ContainsFunc(hello.GetBootId(), unicode.IsSpace):
		return nil, fault.New(fault.Invalid, "the boot's id is not one")
	case len(hello.GetAgentVersion()) > maxWord || !plain(hello.GetAgentVersion()):
		return nil, fault.New(fault.Invalid, "the agent's version is not one")
	}
	return hello, nil
}

// maxBoot bounds the id of a boot, in bytes.
const maxBoot = 64

// heard adopts the hello's numbers, each on its own, and notes the contact: what
// the device says of itself, and that it is not silent any more.
func (f *Flow) heard(ctx context.Context, tx Tx, e *effects, d *device.Device, g *device.Group, hello *cutoffv1.Hello) error {
	order, orderAway := adopt(d.OrderNumber, hello.GetHighestOrder())
	granted, leaseAway := adopt(d.LeaseNumber, hello.GetHighestLease())
	if order != d.OrderNumber || granted != d.LeaseNumber {
		err := f.record(ctx, tx, evidence.Event{
			Kind: "numbers.adopted", Actor: "server", DeviceID: d.ID,
			Fields: []evidence.Field{
				number("order", d.OrderNumber), number("order_adopted", order),
				number("lease", d.LeaseNumber), number("lease_adopted", granted),
			},
		})
		if err != nil {
			return err
		}
	}
	if orderAway || leaseAway {
		err := f.suspect(ctx, tx, e, d, lease.FactRollback,
			number("order", hello.GetHighestOrder()), number("lease", hello.GetHighestLease()))
		if err != nil {
			return err
		}
	}
	// Before what it says is taken in: only a device nobody doubts is welcomed.
	if err := f.saidNumbers(ctx, tx, e, d, hello); err != nil {
		return err
	}
	if err := f.heardAgain(ctx, tx, e, d); err != nil {
		return err
	}
	if err := f.returned(ctx, tx, d); err != nil {
		return err
	}
	d.OrderNumber, d.LeaseNumber, d.AgentVersion = order, granted, hello.GetAgentVersion()
	d.Silence = d.Silence.Heard(g, f.now())
	return tx.SetHello(ctx, *d, f.now())
}

// saidNumbers holds what the device says of its numbers and its boot against
// what it said before, and remembers it.
func (f *Flow) saidNumbers(ctx context.Context, tx Tx, e *effects, d *device.Device, hello *cutoffv1.Hello) error {
	said, boots := d.Said.Booted(hello.GetBootId())
	about := []evidence.Field{
		number("lease", hello.GetHighestLease()), number("lease_said", said.Lease), number("lease_granted", d.LeaseNumber),
		number("order", hello.GetHighestOrder()), number("order_said", said.Order), {Name: "boot", Value: hello.GetBootId()},
	}
	for _, v := range []device.Verdict{
		boots, said.HoldsLease(hello.GetHighestLease(), d.LeaseNumber), said.HoldsOrder(hello.GetHighestOrder()),
	} {
		if err := f.verdict(ctx, tx, e, d, v, about...); err != nil {
			return err
		}
	}
	d.Said = said
	d.Said.Known, d.Said.Lease, d.Said.Order = true, hello.GetHighestLease(), hello.GetHighestOrder()
	return nil
}

// adopt is the number to go on from: the device's, if the server forgot some
// (a backup was restored). One too far away is not taken.
func adopt(stored, reported uint64) (number uint64, away bool) {
	switch {
	case reported <= stored:
		return stored, false
	case reported-stored >= rollbackGap:
		return stored, true
	default:
		return reported, false
	}
}

func number(name string, n uint64) evidence.Field {
	return evidence.Field{Name: name, Value: strconv.FormatUint(n, 10)}
}

// OnClosed notes that the device's stream ended.
func (f *Flow) OnClosed(ctx context.Context, peer Peer) {
	err := f.store.Update(ctx, func(tx Tx) error { return tx.SetContact(ctx, peer.DeviceID, f.now()) })
	if err != nil {
		f.log.DebugContext(ctx, "note end of stream", "device_id", peer.DeviceID, "err", err)
	}
}
