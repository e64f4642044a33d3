package flow

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"time"

	"cutoff/server/evidence"
)

// headChanged is the kind of the record that the log's end was moved by somebody
// else than the server.
const headChanged = "evidence.head-changed"

// record appends event to the evidence log, in the transaction of what it
// records: both are there, or neither.
func (f *Flow) record(ctx context.Context, tx EvidenceTx, event evidence.Event) error {
	head, seal, err := tx.EvidenceHead(ctx)
	if err != nil {
		return fmt.Errorf("record %s: %w", event.Kind, err)
	}
	if !f.holds(head, seal) {
		// Whoever moved the head did it outside the server. The work goes on
		// (a cut must not wait for this), and the log itself says so.
		f.log.ErrorContext(ctx, "evidence head was changed outside the server", "seq", head.Seq)
		if head, err = f.append(ctx, tx, head, evidence.Event{Kind: headChanged, Actor: "server"}); err != nil {
			return err
		}
	}
	_, err = f.append(ctx, tx, head, event)
	return err
}

func (f *Flow) append(ctx context.Context, tx EvidenceTx, head evidence.Head, event evidence.Event) (evidence.Head, error) {
	r, err := evidence.Append(head, event, f.now())
	if err != nil {
		return head, err
	}
	if err := tx.AppendEvidence(ctx, head, r, f.seal(r.Head())); err != nil {
		return head, fmt.Errorf("record %s: %w", event.Kind, err)
	}
	return r.Head(), nil
}

// seal is a keyed word on where the log stands, so that records cut from its
// end are missed even before a checkpoint covers them.
func (f *Flow) seal(head evidence.Head) []byte {
	if last := f.sealed.Load(); last != nil && last.head == head {
		return last.seal
	}
	s := &sealedHead{head: head, seal: f.macHead(head)}
	f.sealed.Store(s)
	return s.seal
}

// sealedHead remembers the last seal made: each record begins where the one
// before it ended.
type sealedHead struct {
	head evidence.Head
	seal []byte
}

func (f *Flow) macHead(head evidence.Head) []byte {
	text := binary.BigEndian.AppendUint64(nil, head.Seq)
	return f.dataKey.MAC("evidence head", append(text, head.Chain[:]...))
}

func (f *Flow) holds(head evidence.Head, seal []byte) bool {
	if head == (evidence.Head{}) && len(seal) == 0 {
		return true
	}
	return hmac.Equal(seal, f.seal(head))
}

// checkpoint returns the newest signed checkpoint's envelope, for a lease; it
// signs a new one when the last is a few seconds old and does not cover the
// log's end. It is empty while the log is. What it signs in this transaction
// must leave the server only after the transaction is durable.
func (f *Flow) checkpoint(ctx context.Context, tx EvidenceTx) ([]byte, error) {
	last, err := tx.NewestCheckpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	head, _, err := tx.EvidenceHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read evidence head: %w", err)
	}
	if !last.Due(head, f.now()) {
		return last.Envelope, nil
	}
	next, err := f.signCheckpoint(ctx, tx, head)
	if err != nil {
		return nil, err
	}
	if !next.At.Truncate(keepOne).Equal(last.At.Truncate(keepOne)) {
		if err := tx.ThinCheckpoints(ctx, next.At.Add(-keepAll), keepOne); err != nil {
			return nil, fmt.Errorf("thin checkpoints: %w", err)
		}
	}
	return next.Envelope, nil
}

// All checkpoints are kept for a day, then the last of each hour: devices hold
// the others, and a later one fixes the same records.
const (
	keepAll = 24 * time.Hour
	keepOne = time.Hour
)

func (f *Flow) signCheckpoint(ctx context.Context, tx EvidenceTx, head evidence.Head) (evidence.Checkpoint, error) {
	next, err := evidence.Sign(f.trustDomain, head, f.now(), f.signers.Evidence)
	if err != nil {
		return evidence.Checkpoint{}, err
	}
	if err := tx.InsertCheckpoint(ctx, next); err != nil {
		return evidence.Checkpoint{}, fmt.Errorf("store checkpoint: %w", err)
	}
	return next, nil
}
