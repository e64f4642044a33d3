package flow

import (
	"context"
	"fmt"

	"cutoff/proto/signed"
	"cutoff/server/evidence"
)

// logCheck is one walk over the log, batch by batch, each in a transaction of
// its own: the log may grow meanwhile, and memory stays bounded.
type logCheck struct {
	flow *Flow
	keys signed.Keys
	// at is the last record that held.
	at evidence.Head
}

func (f *Flow) newLogCheck() (*logCheck, error) {
	key, err := f.evidenceKey()
	if err != nil {
		return nil, err
	}
	keys, err := signed.NewKeys(key)
	return &logCheck{flow: f, keys: keys}, err
}

func (c *logCheck) broken(seq uint64, format string, args ...any) error {
	return fmt.Errorf("%w: record %d %s", evidence.ErrBroken, seq, fmt.Sprintf(format, args...))
}

// batch checks the next records and the checkpoints among them; done is set at
// the log's end.
func (c *logCheck) batch(ctx context.Context, tx EvidenceTx) (done bool, err error) {
	head, seal, err := tx.EvidenceHead(ctx)
	if err != nil {
		return false, err
	}
	from := c.at
	checkpoints, err := tx.Checkpoints(ctx, from.Seq, exportBatch)
	if err != nil {
		return false, err
	}
	to := from.Seq + exportBatch
	if len(checkpoints) == exportBatch {
		to = min(to, checkpoints[exportBatch-1].Head.Seq)
	}
	err = tx.Evidence(ctx, from.Seq+1, to, func(r evidence.Record) error {
		if err := r.Follows(c.at); err != nil {
			return err
		}
		if len(checkpoints) > 0 && checkpoints[0].Head.Seq == r.Seq {
			if err := c.checkpoint(checkpoints[0], r.Head()); err != nil {
				return err
			}
			checkpoints = checkpoints[1:]
		}
		if r.Kind == headChanged {
			return c.broken(r.Seq-1, "was the newest when the log's end was changed outside the server")
		}
		c.at = r.Head()
		return nil
	})
	if err != nil || c.at.Seq == to {
		return false, err
	}
	return true, c.end(head, seal, checkpoints)
}

func (c *logCheck) checkpoint(kept evidence.Checkpoint, head evidence.Head) error {
	signed, domain, err := evidence.OpenCheckpoint(kept.Envelope, c.keys)
	switch {
	case err != nil:
		return c.broken(head.Seq, "has a checkpoint that was changed: %v", err)
	case domain != c.flow.trustDomain || signed.Head.Seq != kept.Head.Seq || signed.Head.Chain != kept.Head.Chain || !signed.At.Equal(kept.At):
		return c.broken(head.Seq, "has a checkpoint whose columns were changed")
	case signed.Head.Chain != head.Chain:
		return c.broken(head.Seq, "or one before it was rewritten: its checkpoint signs another chain")
	}
	return nil
}

// end checks that nothing was cut off: the sealed head and every checkpoint
// must be of records that are there.
func (c *logCheck) end(head evidence.Head, seal []byte, later []evidence.Checkpoint) error {
	switch {
	case len(later) > 0:
		return c.broken(c.at.Seq+1, "is missing: a checkpoint covers records up to %d, the tail was cut", later[len(later)-1].Head.Seq)
	case !c.flow.holds(head, seal):
		return c.broken(c.at.Seq+1, "may be missing: the note of the log's end was changed outside the server")
	case head.Seq > c.at.Seq:
		return c.broken(c.at.Seq+1, "is missing: the log ends at %d, the tail was cut", head.Seq)
	case head != c.at:
		return c.broken(head.Seq+1, "was added outside the server: the log ends at %d", head.Seq)
	}
	return nil
}
