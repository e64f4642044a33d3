package evidence

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Interval is how old the newest checkpoint may get while records are written
// and somebody asks for one.
const Interval = 5 * time.Second

// Checkpoint is a signed word on where the log stood.
type Checkpoint struct {
	Head Head
	At   time.Time
	// Envelope is the signed thing itself.
	Envelope []byte
}

// Due reports whether a new checkpoint of head should be signed at now: there
// is something to cover, and the last one is old enough (or from a clock that
// was set back).
func (c *Checkpoint) Due(head Head, now time.Time) bool {
	if head.Seq == c.Head.Seq {
		return false
	}
	age := now.Sub(c.At)
	return len(c.Envelope) == 0 || age >= Interval || age < 0
}

// Sign makes a checkpoint of head.
func Sign(trustDomain string, head Head, at time.Time, signer crypto.Signer) (Checkpoint, error) {
	at = at.UTC().Truncate(time.Microsecond)
	envelope, err := signed.Seal(signed.TypeCheckpoint, &cutoffv1.Checkpoint{
		TrustDomain: trustDomain, Seq: head.Seq, ChainHash: head.Chain[:], At: timestamppb.New(at),
	}, signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	return Checkpoint{Head: head, At: at, Envelope: envelope}, nil
}

// OpenCheckpoint verifies an envelope as a checkpoint by one of keys.
func OpenCheckpoint(envelope []byte, keys signed.Keys) (Checkpoint, string, error) {
	var message cutoffv1.Checkpoint
	if _, err := signed.Open(envelope, signed.TypeCheckpoint, keys, &message); err != nil {
		return Checkpoint{}, "", fmt.Errorf("checkpoint: %w", err)
	}
	if len(message.GetChainHash()) != len(Hash{}) {
		return Checkpoint{}, "", errors.New("checkpoint: chain hash of the wrong length")
	}
	return Checkpoint{
		Head: Head{Seq: message.GetSeq(), Chain: Hash(message.GetChainHash())},
		At:   message.GetAt().AsTime(), Envelope: envelope,
	}, message.GetTrustDomain(), nil
}
