package flow

import (
	"context"
	"fmt"

	"cutoff/proto/signed"
	"cutoff/server/evidence"
)

// Mark keeps the newest signed checkpoint outside the database, so that a log
// that was emptied, or a database that was rolled back, is found.
type Mark interface {
	// Read is the envelope kept; empty if there was never one.
	Read() ([]byte, error)
	// Write replaces it, whole or not at all.
	Write(envelope []byte) error
}

// readMark is where the log stood when the mark was written; zero for none.
func (f *Flow) readMark() (evidence.Head, error) {
	if f.mark == nil {
		return evidence.Head{}, nil
	}
	envelope, err := f.mark.Read()
	if err != nil || len(envelope) == 0 {
		return evidence.Head{}, err
	}
	key, err := f.evidenceKey()
	if err != nil {
		return evidence.Head{}, err
	}
	keys, err := signed.NewKeys(key)
	if err != nil {
		return evidence.Head{}, err
	}
	c, domain, err := evidence.OpenCheckpoint(envelope, keys)
	if err != nil {
		return evidence.Head{}, err
	}
	if domain != f.trustDomain {
		return evidence.Head{}, fmt.Errorf("it is of the trust domain %q", domain)
	}
	return c.Head, nil
}

// MarkEvidence signs where the log stands, if nothing did yet, and notes the
// newest checkpoint outside the database. A mark beyond the log's end stays: it
// is the only witness of what is gone. So does one that does not hold.
func (f *Flow) MarkEvidence(ctx context.Context) error {
	if err := f.SignCheckpoint(ctx); err != nil {
		return err
	}
	if f.mark == nil {
		return nil
	}
	f.marking.Lock()
	defer f.marking.Unlock()
	var newest evidence.Checkpoint
	err := f.store.View(ctx, func(tx Tx) (err error) {
		newest, err = tx.NewestCheckpoint(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark the evidence log's end: %w", err)
	}
	noted, err := f.readMark()
	if err != nil {
		return fmt.Errorf("mark of the evidence log's end: %w", err)
	}
	if newest.Head.Seq <= noted.Seq {
		return nil
	}
	// A log that lost the noted record and grew past it must not wash that out.
	if err := f.stillThere(ctx, noted); err != nil {
		return fmt.Errorf("mark of the evidence log's end: %w", err)
	}
	if err := f.mark.Write(newest.Envelope); err != nil {
		return fmt.Errorf("mark the evidence log's end: %w", err)
	}
	return nil
}

func (f *Flow) stillThere(ctx context.Context, noted evidence.Head) error {
	if noted.Seq == 0 {
		return nil
	}
	there := false
	err := f.store.View(ctx, func(tx Tx) error {
		there = false
		return tx.Evidence(ctx, noted.Seq, noted.Seq, func(r evidence.Record) error {
			there = r.Head() == noted
			return nil
		})
	})
	if err == nil && !there {
		err = fmt.Errorf("%w: record %d is not the one noted; see cutoff-server evidence check", evidence.ErrBroken, noted.Seq)
	}
	return err
}
