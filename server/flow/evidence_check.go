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
	// mark is the highest checkpoint noted outside the database, as of the walk's
	// start; marked is set once a record was met that it is of.
	mark    evidence.Head
	markErr error
	marked  bool
}

func (f *Flow) newLogCheck() (*logCheck, error) {
	key, err := f.evidenceKey()
	if err != nil {
		return nil, err
	}
	keys, err := signed.NewKeys(key)
	c := &logCheck{flow: f, keys: keys}
	c.mark, c.markErr = f.readMark()
	return c, err
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
		c.marked = c.marked || c.at == c.mark
		return nil
	})
	if err != nil || c.at.Seq == to {
		return false, err
	}
	newest, err := tx.EvidenceNewest(ctx)
	if err != nil {
		return false, err
	}
	if newest > c.at.Seq {
		return true, c.broken(newest, "is there and the %d before it are not: they were removed, or it was added outside the server", newest-c.at.Seq-1)
	}
	if err := c.end(head, seal, checkpoints); err != nil {
		return true, err
	}
	return true, c.outside(ctx, tx)
}

// outside compares the log with what does not depend on its own rows: what else
// the database holds, and the mark kept beside it. Whoever empties the log, or
// puts an older database in this one's place, leaves those.
func (c *logCheck) outside(ctx context.Context, tx EvidenceTx) error {
	expected, err := tx.EvidenceExpected(ctx)
	if err != nil {
		return err
	}
	if c.at.Seq == 0 && expected {
		return c.broken(1, "is missing: the log is empty and its end is noted nowhere, but there are devices, cuts, tokens, keys or operators")
	}
	switch {
	case c.markErr != nil:
		return fmt.Errorf("%w: the mark of the log's end beside the database does not hold: %w", evidence.ErrBroken, c.markErr)
	case c.mark.Seq > c.at.Seq:
		return c.broken(c.at.Seq+1, "is missing: the log had reached %d (the mark beside the database); it was cut, emptied or rolled back", c.mark.Seq)
	case c.mark.Seq > 0 && !c.marked:
		return c.broken(c.mark.Seq, "or one before it was rewritten: the mark beside the database is of another chain")
	}
	return nil
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
