package flow

import (
	"context"
	"time"

	"cutoff/server/evidence"
)

// EvidenceTx is the part of a transaction that keeps evidence records and
// checkpoints.
type EvidenceTx interface {
	// EvidenceHead is where the log stands and the seal over that; the zero
	// Head and no seal for an empty log.
	EvidenceHead(ctx context.Context) (evidence.Head, []byte, error)
	// AppendEvidence adds the record after head and moves the head, sealed, to
	// it. It is a Conflict if the log is not at head any more.
	AppendEvidence(ctx context.Context, head evidence.Head, record evidence.Record, seal []byte) error
	// EvidenceNewest is the number of the newest record there is, whatever the
	// head says; 0 for none.
	EvidenceNewest(ctx context.Context) (uint64, error)
	// EvidenceExpected reports whether the database holds what the log must have
	// records of: devices, cuts, tokens or operators.
	EvidenceExpected(ctx context.Context) (bool, error)
	// Evidence passes records from one number to another (included) to each, in
	// order.
	Evidence(ctx context.Context, from, to uint64, each func(evidence.Record) error) error
	// EvidenceOfCut is the numbers of the cut's records, in order: those that
	// name it, and those of its case that name no cut.
	EvidenceOfCut(ctx context.Context, cutID, caseID string) ([]uint64, error)

	// NewestCheckpoint is the last one signed; zero if there is none.
	NewestCheckpoint(ctx context.Context) (evidence.Checkpoint, error)
	// CheckpointBefore is the last one that covers no record from seq on; zero
	// if there is none.
	CheckpointBefore(ctx context.Context, seq uint64) (evidence.Checkpoint, error)
	// Checkpoints reads checkpoints of records after seq, in order.
	Checkpoints(ctx context.Context, after uint64, limit int) ([]evidence.Checkpoint, error)
	InsertCheckpoint(ctx context.Context, checkpoint evidence.Checkpoint) error
	// ThinCheckpoints keeps the last of each span among those older than a time.
	ThinCheckpoints(ctx context.Context, before time.Time, span time.Duration) error
}
