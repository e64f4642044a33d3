package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/order"
)

// rides is how long the word that an order arrived waits for the receipt, which
// comes within that time from most devices and says the same: one update less.
// A crash loses the word and nothing else: the order is still due.
const rides = 250 * time.Millisecond

// arrivals are the words that wait, one a device.
type arrivals struct {
	mu   sync.Mutex
	said map[string]arrival
}

// arrival is a device's word that it verified and journalled an order.
type arrival struct {
	peer    Peer
	orderID string
	at      time.Time
}

// at is when the device said so of this order; zero if no such word waits.
func (a *arrivals) at(deviceID, orderID string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if said := a.said[deviceID]; said.orderID == orderID {
		return said.at
	}
	return time.Time{}
}

// drop forgets a word that is in rows.
func (a *arrivals) drop(deviceID, orderID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said[deviceID].orderID == orderID {
		delete(a.said, deviceID)
	}
}

// due are the words that have waited since before a time.
func (a *arrivals) due(before time.Time) (due []arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for said := range maps.Values(a.said) {
		if !said.at.After(before) {
			due = append(due, said)
		}
	}
	return due
}

// OnOrderReceived takes the device's word that it verified and journalled an
// order. It is kept with the receipt, or by KeepReceived.
func (f *Flow) OnOrderReceived(peer Peer, orderID string) {
	f.arrivals.mu.Lock()
	defer f.arrivals.mu.Unlock()
	if f.arrivals.said == nil {
		f.arrivals.said = map[string]arrival{}
	}
	f.arrivals.said[peer.DeviceID] = arrival{peer, orderID, f.now()}
}

// KeepReceived writes the words whose receipt does not come at once. The daemon
// calls it a few times a second, and with all set when it stops.
func (f *Flow) KeepReceived(ctx context.Context, all bool) error {
	before := f.now()
	if !all {
		before = before.Add(-rides)
	}
	for some := range slices.Chunk(f.arrivals.due(before), caseBatch) {
		err := f.act(ctx, func(tx Tx, e *effects) error {
			for i := range some {
				err := f.keepReceived(ctx, tx, e, &some[i])
				if fault.Is(err, fault.NotFound) || errors.Is(err, order.ErrTransition) {
					f.log.WarnContext(ctx, "device says it received an order it has not", "device_id", some[i].peer.DeviceID)
					err = nil
				}
				if err != nil {
					return fmt.Errorf("order received by %s: %w", some[i].peer.DeviceID, err)
				}
			}
			return nil
		})
		for i := range some { // also if it failed: the order is due all the same
			f.arrivals.drop(some[i].peer.DeviceID, some[i].orderID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *Flow) keepReceived(ctx context.Context, tx Tx, e *effects, said *arrival) error {
	o, err := f.orderOf(ctx, tx, said.peer, said.orderID)
	if err != nil {
		return err
	}
	to, err := order.Next(o.State, order.Deliver)
	if err != nil || to == o.State {
		return err
	}
	from := o.State
	o.State, o.DeliveredAt, o.Detail, o.NotBefore = to, said.at, "", time.Time{}
	if err := tx.SetOrder(ctx, from, o); err != nil {
		return err
	}
	e.cut(o.CutID)
	return f.recordOrder(ctx, tx, "order.delivered", &o, receivedAt(said.at))
}

// receivedAt is when the device said that it received an order.
func receivedAt(at time.Time) evidence.Field {
	return evidence.Field{Name: "received", Value: at.UTC().Format(time.RFC3339Nano)}
}
