package journal

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Warrant is the leave to carry out one journalled cut or lift. Only Begin and
// Resume make one; the zero value allows nothing.
type Warrant struct {
	journal *Journal
	entry   entry
}

// Valid reports whether w came from a journal.
func (w *Warrant) Valid() bool { return w != nil && w.journal != nil }

// CutID is the cut it belongs to.
func (w *Warrant) CutID() string { return w.entry.CutID }

// CaseID is the case of the decision; empty for an expiry.
func (w *Warrant) CaseID() string { return w.entry.CaseID }

// Kind says what to do: seal, purge or lift.
func (w *Warrant) Kind() cutoffv1.OrderKind { return w.entry.kind() }

// Cause says what moved the agent.
func (w *Warrant) Cause() cutoffv1.Cause { return cutoffv1.Cause(w.entry.Cause) }

// Recipient is the age recipient a seal encrypts to.
func (w *Warrant) Recipient() string { return w.entry.Recipient }

// OrderID is the newest order's; empty for an expiry.
func (w *Warrant) OrderID() string { return w.entry.OrderID }

// OrderNumber is the newest order's; 0 for an expiry.
func (w *Warrant) OrderNumber() uint64 { return w.entry.OrderNumber }

// LeaseNumber is that of the lease that ran out; 0 for an order.
func (w *Warrant) LeaseNumber() uint64 { return w.entry.LeaseNumber }

// Part is the number of the receipt to be written next.
func (w *Warrant) Part() uint32 { return w.entry.Part }

// Finished reports whether it has been carried out; what is left is sweeping.
func (w *Warrant) Finished() bool { return w.entry.Finished }

// NextGrant is, in a lift, the new standing grant's envelope, or nil.
func (w *Warrant) NextGrant() []byte { return bytes.Clone(w.entry.NextGrant) }

// DropRegainable is set when what a sign-in regains is removed outright and
// only the rest sealed.
func (w *Warrant) DropRegainable() bool { return w.entry.DropRegainable }

// Tampered reports whether the device sealed itself because of a hand in its
// clocks.
func (w *Warrant) Tampered() bool { return w.entry.Reason == order.ReasonTampered }

// StandingGrant is set when the standing grant spoke for an unreadable lease.
func (w *Warrant) StandingGrant() bool { return w.entry.StandingGrant }

// Begun is when the order or the expiry was checked.
func (w *Warrant) Begun() order.Moment {
	return order.Moment{Wall: w.entry.BegunAt, Boot: w.entry.BegunBoot, BootID: w.entry.BootID}
}

// Note records items as they are now, durably, before it returns; a later note
// of the same id replaces the earlier one. Several at once cost one commit.
func (w *Warrant) Note(items ...*cutoffv1.Item) error {
	if !w.Valid() {
		return ErrUnverified
	}
	if len(items) == 0 {
		return nil
	}
	err := w.journal.db.Update(func(tx *bbolt.Tx) error {
		notes, err := tx.Bucket(bucketNotes).CreateBucketIfNotExists([]byte(w.entry.CutID))
		if err != nil {
			return err
		}
		for _, item := range items {
			if item.GetId() == "" {
				return errors.New("item without an id")
			}
			raw, err := proto.Marshal(item)
			if err != nil {
				return err
			}
			if err := notes.Put([]byte(item.GetId()), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note progress of %s: %w", w.entry.CutID, err)
	}
	return nil
}

// Noted returns what was noted for this cut, by item id, whatever the order: a
// lift finds here what its seal did. It is empty, not nil, without notes.
func (w *Warrant) Noted() map[string]*cutoffv1.Item {
	items := map[string]*cutoffv1.Item{}
	if !w.Valid() {
		return items
	}
	_ = w.journal.db.View(func(tx *bbolt.Tx) error {
		notes := tx.Bucket(bucketNotes).Bucket([]byte(w.entry.CutID))
		if notes == nil {
			return nil
		}
		return notes.ForEach(func(id, raw []byte) error {
			item := &cutoffv1.Item{}
			if err := proto.Unmarshal(raw, item); err == nil {
				items[string(id)] = item
			}
			return nil
		})
	})
	return items
}
