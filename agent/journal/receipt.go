package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// kept is a receipt that waits for its acknowledgement.
type kept struct {
	CutID    string `json:"cut_id"`
	OrderID  string `json:"order_id,omitempty"`
	Part     uint32 `json:"part"`
	Envelope []byte `json:"envelope"`
}

// ErrSuperseded says that a newer order took the place of the warrant's.
var ErrSuperseded = errors.New("warrant was superseded by a newer order")

// Finish records, in one commit, that w's part has been carried out, and its
// receipt, which is kept until it is acknowledged. For a finished warrant it
// adds a sweep's receipt. A lift is over with it.
func (j *Journal) Finish(w *Warrant, receipt []byte) error { return j.finish(w, receipt, false) }

// Answer is Finish for a lift that left something to be tried again: it stands,
// across restarts, until Finish or until a newer order takes its place.
func (j *Journal) Answer(w *Warrant, receipt []byte) error {
	return j.finish(w, receipt, w.Valid() && w.Kind() == cutoffv1.OrderKind_ORDER_KIND_LIFT)
}

func (j *Journal) finish(w *Warrant, receipt []byte, due bool) error {
	if !w.Valid() || len(receipt) == 0 {
		return ErrUnverified
	}
	next := w.entry
	err := j.db.Update(func(tx *bbolt.Tx) error {
		now, found, err := loadEntry(tx, w.entry.CutID)
		if err != nil {
			return err
		}
		if !found || now.OrderID != w.entry.OrderID || now.Kind != w.entry.Kind || now.Part != w.entry.Part {
			return ErrSuperseded
		}
		if err := keep(tx, kept{CutID: now.CutID, OrderID: now.OrderID, Part: now.Part, Envelope: receipt}); err != nil {
			return err
		}
		first := !now.Finished
		next = now
		next.Finished, next.Due = true, due
		next.Part++
		if err := putJSON(tx.Bucket(bucketCases), []byte(next.CutID), next); err != nil {
			return err
		}
		if first && next.kind() == cutoffv1.OrderKind_ORDER_KIND_LIFT {
			// The reserved cut is spent and so is the lease that names it.
			return putNumber(tx.Bucket(bucketMeta), keyHolds, uint64(Grant))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finish %s: %w", w.entry.CutID, err)
	}
	w.entry = next
	return nil
}

func keep(tx *bbolt.Tx, k kept) error {
	receipts := tx.Bucket(bucketReceipts)
	seq, err := receipts.NextSequence()
	if err != nil {
		return err
	}
	return putJSON(receipts, binary.BigEndian.AppendUint64(nil, seq), k)
}

// Unacknowledged returns the receipts' envelopes, oldest first.
func (j *Journal) Unacknowledged() ([][]byte, error) {
	var all [][]byte
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketReceipts).ForEach(func(_, raw []byte) error {
			var k kept
			if err := json.Unmarshal(raw, &k); err != nil {
				return fmt.Errorf("read kept receipt: %w", err)
			}
			all = append(all, k.Envelope)
			return nil
		})
	})
	return all, err
}

// Acknowledge drops the receipt the server has stored. One that is not there
// is fine: an acknowledgement may come twice.
func (j *Journal) Acknowledge(cutID, orderID string, part uint32) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketReceipts).Cursor()
		for key, raw := cursor.First(); key != nil; key, raw = cursor.Next() {
			var k kept
			if err := json.Unmarshal(raw, &k); err != nil {
				return fmt.Errorf("read kept receipt: %w", err)
			}
			if k.CutID == cutID && k.OrderID == orderID && k.Part == part {
				return cursor.Delete()
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("acknowledge receipt of %s: %w", cutID, err)
	}
	return nil
}
