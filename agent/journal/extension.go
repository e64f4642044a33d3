package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"cutoff/agent/order"
)

// bucketExtensions holds one JSON value under keyExtensions.
var (
	bucketExtensions = []byte("extensions")
	keyExtensions    = []byte("state")
)

// Extensions is what the agent remembers of extensions of its lease, and of the
// lift it asked for by file.
type Extensions struct {
	// Number is the highest of any file that was taken.
	Number uint64 `json:"number,omitempty"`
	// Extra says by how much the newest leases run longer than their terms.
	Extra []Extra `json:"extra,omitempty"`
	// Used are the hashes of codes that were taken.
	Used [][]byte `json:"used,omitempty"`
	// Tries are those of codes for the lease named.
	Tries Tries `json:"tries"`
	// Refusals wait to be reported.
	Refusals []Refusal `json:"refusals,omitempty"`
	// Ask is the lift asked for by file; its zero value is none.
	Ask Ask `json:"ask"`
}

// Extra is by how much a lease runs longer.
type Extra struct {
	Lease uint64        `json:"lease"`
	By    time.Duration `json:"by"`
}

// Tries counts codes that were tried.
type Tries struct {
	Lease  uint64        `json:"lease,omitempty"`
	Count  int           `json:"count,omitempty"`
	Boot   time.Duration `json:"boot,omitempty"`
	BootID string        `json:"boot_id,omitempty"`
}

// Refusal is something signed that was refused without a connection.
type Refusal struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
	Number uint64 `json:"number,omitempty"`
	CutID  string `json:"cut_id,omitempty"`
	// Digest tells the same thing, refused again.
	Digest []byte `json:"digest"`
}

// Ask is a lift asked for by file.
type Ask struct {
	CutID     string `json:"cut_id,omitempty"`
	Challenge []byte `json:"challenge,omitempty"`
	// Identity opens the answer's keys; it is drawn for this request.
	Identity string        `json:"identity,omitempty"`
	Boot     time.Duration `json:"boot,omitempty"`
	BootID   string        `json:"boot_id,omitempty"`
}

// Bounds of what is remembered.
const (
	mostUsed     = 64
	mostRefusals = 16
)

// ExtraOf is by how much the lease with this number runs longer.
func (e *Extensions) ExtraOf(lease uint64) time.Duration {
	for _, x := range e.Extra {
		if x.Lease == lease {
			return x.By
		}
	}
	return 0
}

// SetExtra says by how much a lease runs longer. The one before it is kept: a
// crash may leave that one in force.
func (e *Extensions) SetExtra(lease uint64, by time.Duration) {
	e.Extra = slices.DeleteFunc(e.Extra, func(x Extra) bool { return x.Lease == lease || x.Lease+1 < lease })
	if by > 0 {
		e.Extra = append(e.Extra, Extra{Lease: lease, By: by})
	}
}

// Use remembers that a code was taken.
func (e *Extensions) Use(hash []byte) {
	e.Used = append(e.Used, hash)
	e.Used = e.Used[max(0, len(e.Used)-mostUsed):]
}

// IsUsed reports whether the code was taken before.
func (e *Extensions) IsUsed(hash []byte) bool {
	return slices.ContainsFunc(e.Used, func(u []byte) bool { return bytes.Equal(u, hash) })
}

// Refuse remembers a refusal to be reported, once.
func (e *Extensions) Refuse(r Refusal) {
	same := func(old Refusal) bool { return bytes.Equal(old.Digest, r.Digest) && old.Reason == r.Reason }
	if slices.ContainsFunc(e.Refusals, same) || len(e.Refusals) >= mostRefusals {
		return
	}
	e.Refusals = append(e.Refusals, r)
}

// Answered reports whether the challenge of the request may still be answered.
func (a *Ask) Answered(now order.Moment) bool {
	const valid = 24 * time.Hour
	age := now.Boot - a.Boot
	return len(a.Challenge) > 0 && a.BootID == now.BootID && age >= 0 && age <= valid
}

// Extensions are what is remembered.
func (j *Journal) Extensions() (Extensions, error) {
	var e Extensions
	err := j.db.View(func(tx *bbolt.Tx) error { return readExtensions(tx, &e) })
	if err != nil {
		return Extensions{}, fmt.Errorf("read extensions: %w", err)
	}
	return e, nil
}

// ChangeExtensions changes what is remembered, durably and all at once.
func (j *Journal) ChangeExtensions(change func(*Extensions)) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		var e Extensions
		if err := readExtensions(tx, &e); err != nil {
			return err
		}
		change(&e)
		return putJSON(tx.Bucket(bucketExtensions), keyExtensions, e)
	})
	if err != nil {
		return fmt.Errorf("keep extensions: %w", err)
	}
	return nil
}

func readExtensions(tx *bbolt.Tx, e *Extensions) error {
	b := tx.Bucket(bucketExtensions)
	if b == nil {
		return nil
	}
	raw := b.Get(keyExtensions)
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, e)
}
