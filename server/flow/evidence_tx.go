package flow

// EvidenceTx is the part of a transaction that keeps evidence records and checkpoints.
type EvidenceTx interface {
}
