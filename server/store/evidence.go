package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// headRow is the id of the one row of evidence_head.
const headRow = 1

// logEnd is where the evidence log stands while updates share a commit: read
// once, moved by each record, kept in its row once at the end. Every record of
// a busy second would otherwise cost three statements.
type logEnd struct {
	known bool
	head  evidence.Head
	seal  []byte
	// kept is the number its row has.
	kept  uint64
	moved bool
}

// EvidenceHead is where the log stands.
func (t *Tx) EvidenceHead(ctx context.Context) (evidence.Head, []byte, error) {
	if t.end == nil {
		head, seal, _, err := t.readEnd(ctx)
		return head, seal, err
	}
	if !t.end.known {
		head, seal, kept, err := t.readEnd(ctx)
		if err != nil {
			return evidence.Head{}, nil, err
		}
		*t.end = logEnd{known: true, head: head, seal: seal, kept: kept}
	}
	return t.end.head, t.end.seal, nil
}

func (t *Tx) readEnd(ctx context.Context) (head evidence.Head, seal []byte, kept uint64, err error) {
	var chain []byte
	err = t.tx.QueryRowContext(ctx, `SELECT seq, chain, seal FROM evidence_head WHERE id = $1`, headRow).
		Scan(&head.Seq, &chain, &seal)
	kept = head.Seq
	if errors.Is(err, sql.ErrNoRows) {
		// An empty log; or somebody removed the note of its end, and then what
		// is there is the end, without a seal.
		head, err = t.newestRecord(ctx)
		return head, nil, 0, err
	}
	if err != nil {
		return evidence.Head{}, nil, 0, wrap(err)
	}
	// Rows beyond the end are somebody's doing. The next record goes after them,
	// without a seal to hold, so that work neither stops at their numbers nor
	// writes over them.
	newest, err := t.newestRecord(ctx)
	if err != nil {
		return evidence.Head{}, nil, 0, err
	}
	if newest.Seq > head.Seq {
		return newest, nil, kept, nil
	}
	head.Chain, err = hashOf(chain)
	return head, seal, kept, err
}

// newestRecord is the last record there is; zero for none.
func (t *Tx) newestRecord(ctx context.Context) (head evidence.Head, err error) {
	var chain []byte
	err = t.tx.QueryRowContext(ctx, `SELECT seq, chain FROM evidence ORDER BY seq DESC LIMIT 1`).Scan(&head.Seq, &chain)
	if errors.Is(err, sql.ErrNoRows) {
		return evidence.Head{}, nil
	}
	// A value of the wrong length continues no chain: the zero hash says so.
	head.Chain, _ = hashOf(chain)
	return head, wrap(err)
}

// AppendEvidence adds the record after head, which EvidenceHead answered.
func (t *Tx) AppendEvidence(ctx context.Context, head evidence.Head, r evidence.Record, seal []byte) error {
	if t.end == nil || !t.end.known || t.end.head != head {
		return fault.New(fault.Conflict, "the evidence log is not where it was")
	}
	if _, err := t.tx.ExecContext(ctx, `INSERT INTO evidence
		(seq, at, kind, device_id, cut_id, case_id, record, hash, chain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Seq, micros(r.At), r.Kind, r.DeviceID, r.CutID, r.CaseID, r.Encoded, r.Hash[:], r.Chain[:]); err != nil {
		return wrap(err)
	}
	t.end.head, t.end.seal, t.end.moved = r.Head(), seal, true
	return nil
}

// keepEnd writes where the log stands, if it moved.
func (t *Tx) keepEnd(ctx context.Context) error {
	if !t.end.moved {
		return nil
	}
	res, err := t.tx.ExecContext(ctx, `INSERT INTO evidence_head (id, seq, chain, seal) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, chain = excluded.chain, seal = excluded.seal
		WHERE evidence_head.seq = $5`, headRow, t.end.head.Seq, t.end.head.Chain[:], t.end.seal, t.end.kept)
	return changed(res, err, "evidence log")
}

// Evidence passes records from one number to another (included) to each, in
// order, one at a time: a record can be large.
func (t *Tx) Evidence(ctx context.Context, from, to uint64, each func(evidence.Record) error) error {
	rows, err := t.tx.QueryContext(ctx, `SELECT seq, at, kind, device_id, cut_id, case_id, record, hash, chain
		FROM evidence WHERE seq >= $1 AND seq <= $2 ORDER BY seq`, from, to)
	if err != nil {
		return wrap(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r evidence.Record
		var at sql.NullInt64
		var hash, chain []byte
		if err := rows.Scan(&r.Seq, &at, &r.Kind, &r.DeviceID, &r.CutID, &r.CaseID, &r.Encoded, &hash, &chain); err != nil {
			// A value of the wrong type is somebody's doing, not the database's.
			return fmt.Errorf("%w: record %d or one after it has a column of the wrong type", evidence.ErrBroken, from)
		}
		r.At = timeOf(at)
		// A value of the wrong length cannot match: the zero hash says so.
		r.Hash, _ = hashOf(hash)
		r.Chain, _ = hashOf(chain)
		if err := each(r); err != nil {
			return err
		}
		from = r.Seq + 1
	}
	return wrap(rows.Err())
}

// EvidenceNewest is the number of the newest record there is.
func (t *Tx) EvidenceNewest(ctx context.Context) (uint64, error) {
	var newest uint64
	err := t.tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM evidence`).Scan(&newest)
	return newest, wrap(err)
}

// EvidenceExpected reports whether there is anything whose making was recorded.
func (t *Tx) EvidenceExpected(ctx context.Context) (bool, error) {
	var n int
	err := t.tx.QueryRowContext(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM devices) OR EXISTS (SELECT 1 FROM cuts)
		OR EXISTS (SELECT 1 FROM tokens) OR EXISTS (SELECT 1 FROM operators) OR EXISTS (SELECT 1 FROM api_keys)
		THEN 1 ELSE 0 END`).Scan(&n)
	return n > 0, wrap(err)
}

// EvidenceOfCut lists the numbers of the cut's records.
func (t *Tx) EvidenceOfCut(ctx context.Context, cutID, caseID string) ([]uint64, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT seq FROM evidence WHERE cut_id = $1
		UNION SELECT seq FROM evidence WHERE case_id = $2 AND cut_id = '' AND case_id <> '' ORDER BY seq`, cutID, caseID)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []uint64
	for rows.Next() {
		var seq uint64
		if err := rows.Scan(&seq); err != nil {
			return nil, wrap(err)
		}
		all = append(all, seq)
	}
	return all, wrap(rows.Err())
}

// NewestCheckpoint reads the last checkpoint signed.
func (t *Tx) NewestCheckpoint(ctx context.Context) (evidence.Checkpoint, error) {
	return scanCheckpoint(t.tx.QueryRowContext(ctx, `SELECT seq, at, chain, envelope FROM evidence_checkpoints
		ORDER BY seq DESC LIMIT 1`))
}

// CheckpointBefore reads the last checkpoint of a record before seq.
func (t *Tx) CheckpointBefore(ctx context.Context, seq uint64) (evidence.Checkpoint, error) {
	return scanCheckpoint(t.tx.QueryRowContext(ctx, `SELECT seq, at, chain, envelope FROM evidence_checkpoints
		WHERE seq < $1 ORDER BY seq DESC LIMIT 1`, seq))
}

// Checkpoints reads checkpoints of records after seq.
func (t *Tx) Checkpoints(ctx context.Context, after uint64, limit int) ([]evidence.Checkpoint, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT seq, at, chain, envelope FROM evidence_checkpoints
		WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []evidence.Checkpoint
	for rows.Next() {
		c, err := scanCheckpoint(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, wrap(rows.Err())
}

// InsertCheckpoint adds a checkpoint; one of the same record is kept.
func (t *Tx) InsertCheckpoint(ctx context.Context, c evidence.Checkpoint) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO evidence_checkpoints (seq, at, chain, envelope)
		VALUES ($1, $2, $3, $4) ON CONFLICT (seq) DO NOTHING`, c.Head.Seq, micros(c.At), c.Head.Chain[:], c.Envelope)
	return wrap(err)
}

// ThinCheckpoints keeps one checkpoint of each span among those older than a
// time: the last, which fixes what the others did.
func (t *Tx) ThinCheckpoints(ctx context.Context, before time.Time, span time.Duration) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM evidence_checkpoints WHERE at < $1 AND seq NOT IN
		(SELECT MAX(seq) FROM evidence_checkpoints WHERE at < $1 GROUP BY at / $2)`, micros(before), span.Microseconds())
	return wrap(err)
}

func scanCheckpoint(row interface{ Scan(...any) error }) (evidence.Checkpoint, error) {
	var c evidence.Checkpoint
	var at sql.NullInt64
	var chain []byte
	err := row.Scan(&c.Head.Seq, &at, &chain, &c.Envelope)
	if errors.Is(err, sql.ErrNoRows) {
		return evidence.Checkpoint{}, nil
	}
	if err != nil {
		return evidence.Checkpoint{}, wrap(err)
	}
	c.At = timeOf(at)
	c.Head.Chain, _ = hashOf(chain)
	return c, nil
}

func hashOf(raw []byte) (evidence.Hash, error) {
	if len(raw) != len(evidence.Hash{}) {
		return evidence.Hash{}, fmt.Errorf("hash of %d bytes in the database, want %d", len(raw), len(evidence.Hash{}))
	}
	return evidence.Hash(raw), nil
}
