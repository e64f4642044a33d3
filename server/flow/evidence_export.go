package flow

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// exportBatch is how many records one transaction reads: a reader that lasts
// keeps the database from tidying up.
const exportBatch = 256

// EvidenceKey is the text that an export is verified against; empty if the
// signer has no Ed25519 key, with which nothing could be signed either.
func (f *Flow) EvidenceKey() string {
	key, err := f.evidenceKey()
	if err != nil {
		return ""
	}
	return evidence.FormatKey(key)
}

func (f *Flow) evidenceKey() (ed25519.PublicKey, error) {
	key, ok := f.signers.Evidence.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("evidence key of type %T, want Ed25519", f.signers.Evidence.Public())
	}
	return key, nil
}

// ExportEvidence is everything recorded of a cut, so that evidence.Verify needs
// nothing else. The export is itself recorded, and that record lists what the
// export shows.
func (f *Flow) ExportEvidence(ctx context.Context, actor Actor, cutID string) ([]byte, error) {
	scope, seqs, end, err := f.noteExport(ctx, actor, cutID)
	if err != nil {
		return nil, fmt.Errorf("export evidence: %w", err)
	}
	export, err := evidence.NewExport(scope)
	if err != nil {
		return nil, fmt.Errorf("export evidence: %w", err)
	}
	seqs = append(seqs, end.Head.Seq)
	for from := scope.Start.Head.Seq + 1; from <= end.Head.Seq; from += exportBatch {
		to := min(from+exportBatch-1, end.Head.Seq)
		err := f.store.View(ctx, func(tx Tx) error {
			return tx.Evidence(ctx, from, to, func(r evidence.Record) error {
				_, full := slices.BinarySearch(seqs, r.Seq)
				return export.Add(r, full)
			})
		})
		if errors.Is(err, evidence.ErrBroken) {
			return nil, fault.Wrap(err, fault.Conflict, "the evidence log does not hold; see cutoff-server evidence check")
		}
		if err != nil {
			return nil, fmt.Errorf("export evidence: %w", err)
		}
	}
	raw, err := export.Close(end)
	if err != nil {
		return nil, fmt.Errorf("export evidence: %w", err)
	}
	return raw, nil
}

// noteExport finds the cut's records, records the export and signs a checkpoint
// of that: whatever happens to the log from here on, the export is of then.
func (f *Flow) noteExport(ctx context.Context, actor Actor, cutID string) (
	scope evidence.Scope, seqs []uint64, end evidence.Checkpoint, err error,
) {
	err = f.store.Update(ctx, func(tx Tx) error {
		var c cut.Cut
		if c, err = tx.CutRow(ctx, cutID); err != nil {
			return err
		}
		scope, err = f.exportScope(ctx, tx, c)
		if err != nil {
			return err
		}
		if seqs, err = tx.EvidenceOfCut(ctx, c.ID, c.CaseID); err != nil {
			return err
		}
		if len(seqs) > 0 {
			if scope.Start, err = tx.CheckpointBefore(ctx, seqs[0]); err != nil {
				return err
			}
		}
		var hashes []evidence.Hash
		for _, seq := range seqs {
			err := tx.Evidence(ctx, seq, seq, func(r evidence.Record) error {
				hashes = append(hashes, r.Hash)
				return nil
			})
			if err != nil {
				return err
			}
		}
		if err := f.record(ctx, tx, evidence.List(seqs, hashes).Event(scope, actor.Name)); err != nil {
			return err
		}
		head, _, err := tx.EvidenceHead(ctx)
		if err != nil {
			return err
		}
		end, err = f.signCheckpoint(ctx, tx, head)
		return err
	})
	return scope, seqs, end, err
}

func (f *Flow) exportScope(ctx context.Context, tx DeviceTx, c cut.Cut) (evidence.Scope, error) {
	key, err := f.evidenceKey()
	if err != nil {
		return evidence.Scope{}, err
	}
	scope := evidence.Scope{TrustDomain: f.trustDomain, CutID: c.ID, CaseID: c.CaseID, Key: key}
	if f.authority != nil {
		scope.Roster, scope.RootKey = f.authority.Roster(), f.authority.RootKey()
	}
	if c.DeviceID == "" {
		return scope, nil
	}
	d, err := tx.Device(ctx, c.DeviceID)
	if err != nil {
		return evidence.Scope{}, err
	}
	scope.DeviceID, scope.DeviceKey = d.ID, d.PublicKey
	return scope, nil
}

// SignCheckpoint fixes the log's end; the daemon calls it as the last thing, so
// that nothing that was recorded is without a signature.
func (f *Flow) SignCheckpoint(ctx context.Context) error {
	err := f.store.Update(ctx, func(tx Tx) error {
		head, _, err := tx.EvidenceHead(ctx)
		if err != nil || head.Seq == 0 {
			return err
		}
		last, err := tx.NewestCheckpoint(ctx)
		if err != nil || last.Head.Seq == head.Seq {
			return err
		}
		_, err = f.signCheckpoint(ctx, tx, head)
		return err
	})
	if err != nil {
		return fmt.Errorf("sign checkpoint: %w", err)
	}
	return nil
}

// CheckEvidence walks the whole log and answers how many records hold, and the
// first thing that does not: a changed or missing record, a tail that was cut,
// a checkpoint that says otherwise. An error is not being able to look.
func (f *Flow) CheckEvidence(ctx context.Context) (records int64, problem string, err error) {
	check, err := f.newLogCheck()
	if err != nil {
		return 0, "", fmt.Errorf("check evidence: %w", err)
	}
	for done := false; !done && err == nil; {
		err = f.store.View(ctx, func(tx Tx) (err error) {
			done, err = check.batch(ctx, tx)
			return err
		})
	}
	switch {
	case errors.Is(err, evidence.ErrBroken):
		return int64(check.at.Seq), err.Error(), nil
	case err != nil:
		return int64(check.at.Seq), "", fmt.Errorf("check evidence: %w", err)
	}
	return int64(check.at.Seq), "", nil
}
