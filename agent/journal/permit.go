package journal

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// keyPermit is the number of the order that permits the agent's removal.
var keyPermit = []byte("permit")

// Permit records, in one commit, the order that permits the agent's removal and
// its receipt. There is no warrant for it: it removes no secret.
func (j *Journal) Permit(v order.Verified, receipt []byte) error {
	if v.Kind() != cutoffv1.OrderKind_ORDER_KIND_UNINSTALL || len(receipt) == 0 {
		return ErrUnverified
	}
	err := j.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if v.Number() <= getNumber(meta, keyOrder) {
			return ErrReplayed
		}
		if err := putNumber(meta, keyOrder, v.Number()); err != nil {
			return err
		}
		if err := putNumber(meta, keyPermit, v.Number()); err != nil {
			return err
		}
		return keep(tx, kept{CutID: v.CutID(), OrderID: v.OrderID(), Envelope: receipt})
	})
	if err != nil {
		return fmt.Errorf("journal %s: %w", v.OrderID(), err)
	}
	return nil
}

// Permitted is the number of the order that permits the agent's removal; 0:
// none. A cut takes the permission back.
func (j *Journal) Permitted() (number uint64, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		if raw := tx.Bucket(bucketMeta).Get(keyPermit); len(raw) == 8 {
			number = binary.BigEndian.Uint64(raw)
		}
		return nil
	})
	return number, err
}
