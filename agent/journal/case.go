package journal

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// entry is one cut as the journal keeps it: its newest order or expiry.
type entry struct {
	CutID          string `json:"cut_id"`
	CaseID         string `json:"case_id,omitempty"`
	OrderID        string `json:"order_id,omitempty"`
	OrderNumber    uint64 `json:"order_number,omitempty"`
	LeaseNumber    uint64 `json:"lease_number,omitempty"`
	Kind           int32  `json:"kind"`
	Cause          int32  `json:"cause"`
	Recipient      string `json:"recipient,omitempty"`
	Reason         string `json:"reason,omitempty"`
	NextGrant      []byte `json:"next_grant,omitempty"`
	DropRegainable bool   `json:"drop_regainable,omitempty"`
	StandingGrant  bool   `json:"standing_grant,omitempty"`
	// Part is the number of the next receipt of this order or expiry.
	Part uint32 `json:"part"`
	// Finished is set once the act has been done and its receipt stored.
	Finished bool `json:"finished"`
	// Due is set while a lift that was carried out has left something.
	Due     bool      `json:"due,omitempty"`
	BegunAt time.Time `json:"begun_at"`
	// BegunBoot is the boot clock then, of the boot named BootID.
	BegunBoot time.Duration `json:"begun_boot"`
	BootID    string        `json:"boot_id"`
}

func (e *entry) kind() cutoffv1.OrderKind { return cutoffv1.OrderKind(e.Kind) }

// answers reports whether what e has done already is what v asks for: the same
// cut again, or a seal of what has been purged.
func (e *entry) answers(v order.Verified) bool {
	if e.kind() == v.Kind() {
		return true
	}
	return e.kind() == cutoffv1.OrderKind_ORDER_KIND_PURGE && v.Kind() == cutoffv1.OrderKind_ORDER_KIND_SEAL
}

// Begin records the intent, durably, and returns the warrant to carry it out.
// The same cut again is answered by the warrant of what stands: Finished, if it
// has been done. A later order of the same cut (purge after seal, lift, cut
// again during a lift) takes the place of the earlier one; its progress stays.
func (j *Journal) Begin(v order.Verified) (*Warrant, error) {
	if !v.Valid() || v.CutID() == "" || v.Kind() == cutoffv1.OrderKind_ORDER_KIND_UNINSTALL {
		return nil, ErrUnverified
	}
	var w *Warrant
	err := j.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if v.Cause() == cutoffv1.Cause_CAUSE_ORDER {
			if v.Number() <= getNumber(meta, keyOrder) {
				return ErrReplayed
			}
			if err := putNumber(meta, keyOrder, v.Number()); err != nil {
				return err
			}
		}
		e, found, err := loadEntry(tx, v.CutID())
		if err != nil {
			return err
		}
		if err := putNumber(meta, keyPermit, 0); err != nil {
			return err
		}
		e = succeed(e, found, v)
		if err := putJSON(tx.Bucket(bucketCases), []byte(e.CutID), e); err != nil {
			return err
		}
		w = &Warrant{journal: j, entry: e}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", v.CutID(), err)
	}
	return w, nil
}

// succeed returns the entry after v, given the one that stands, if any.
func succeed(old entry, found bool, v order.Verified) entry {
	if found && v.Cause() == cutoffv1.Cause_CAUSE_EXPIRY && old.kind() != cutoffv1.OrderKind_ORDER_KIND_LIFT {
		return old // the cut stands; an expiry adds nothing to it
	}
	e := entry{
		CutID: v.CutID(), CaseID: v.CaseID(), OrderID: v.OrderID(), OrderNumber: v.Number(),
		LeaseNumber: v.LeaseNumber(), Kind: int32(v.Kind()), Cause: int32(v.Cause()),
		Recipient: v.Recipient(), Reason: v.Reason(), NextGrant: v.NextGrant(),
		DropRegainable: v.DropRegainable(), StandingGrant: v.StandingGrant(), BegunAt: v.At().Wall.UTC(),
		BegunBoot: v.At().Boot, BootID: v.At().BootID,
	}
	if found && old.answers(v) {
		// A lift asked for again looks again: it may have left something.
		e.Kind, e.Finished = old.Kind, old.Finished && v.Kind() != cutoffv1.OrderKind_ORDER_KIND_LIFT
		if e.Recipient == "" {
			e.Recipient = old.Recipient
		}
	}
	return e
}

func loadEntry(tx *bbolt.Tx, cutID string) (entry, bool, error) {
	raw := tx.Bucket(bucketCases).Get([]byte(cutID))
	if raw == nil {
		return entry{}, false, nil
	}
	e, err := parseEntry(raw)
	return e, err == nil, err
}

func parseEntry(raw []byte) (entry, error) {
	var e entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return entry{}, fmt.Errorf("read journal entry: %w", err)
	}
	return e, nil
}

// Resume returns a warrant for each cut that stands: the unfinished ones, which
// must be carried on, and those that are Finished and not lifted, or whose lift
// left something, which are swept again.
func (j *Journal) Resume() ([]*Warrant, error) {
	var all []*Warrant
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketCases).ForEach(func(_, raw []byte) error {
			e, err := parseEntry(raw)
			if err != nil {
				return err
			}
			if lifted := e.Finished && !e.Due && e.kind() == cutoffv1.OrderKind_ORDER_KIND_LIFT; !lifted {
				all = append(all, &Warrant{journal: j, entry: e})
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("resume journal: %w", err)
	}
	return all, nil
}
