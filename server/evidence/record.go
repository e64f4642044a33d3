// Package evidence holds the append-only record of everything that happened:
// one event's encoding, the hash chain over them, the signed checkpoints that
// fix the chain, and exports that anybody can verify without the server. It is
// pure: it must not read a clock or a database, and nothing but events goes in
// (never a secret: an event names things by their non-secret names).
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// MaxValue bounds one field's value in bytes; longer ones end in an ellipsis.
// What an event needs whole and long goes in Signed.
const MaxValue = 16 << 10

// MaxRecord bounds one record's encoding: the largest envelope and its fields.
const MaxRecord = 10 << 20

// ErrBroken says that a record is not what was written.
var ErrBroken = errors.New("evidence does not hold")

// Hash is a SHA-256 value: of a record, or of the chain up to one.
type Hash [sha256.Size]byte

// Event is one thing that happened, as the code that did it says it.
type Event struct {
	// Kind is noun.verb: device.enrolled, cut.opened, order.signed,
	// receipt.stored, step.result …
	Kind     string
	Actor    string
	DeviceID string
	CutID    string
	CaseID   string
	Fields   []Field
	// Signed is the envelope the event is about, byte for byte, or empty.
	Signed []byte
}

// Field is one named fact of an event.
type Field struct {
	Name  string
	Value string
}

// Head is where the log stands: the newest record's number and the chain value
// after it. The zero Head is that of an empty log.
type Head struct {
	Seq   uint64
	Chain Hash
}

// Record is one event as the log keeps it. Encoded is what is hashed; the
// other fields repeat parts of it for looking things up.
type Record struct {
	Seq      uint64
	At       time.Time
	Kind     string
	DeviceID string
	CutID    string
	CaseID   string
	Encoded  []byte
	Hash     Hash
	// Chain is the chain value after this record.
	Chain Hash
}

// Head is where the log stands after r.
func (r *Record) Head() Head { return Head{Seq: r.Seq, Chain: r.Chain} }

// Append makes the record that follows head. Text that is not UTF-8 is mended
// and overlong values are cut, for an event must not be lost to bad input.
func Append(head Head, event Event, at time.Time) (Record, error) {
	if event.Kind == "" {
		return Record{}, errors.New("append evidence: event without a kind")
	}
	at = at.UTC().Truncate(time.Microsecond)
	message := &cutoffv1.EvidenceRecord{
		Seq:      head.Seq + 1,
		At:       timestamppb.New(at),
		Kind:     clean(event.Kind),
		Actor:    clean(event.Actor),
		DeviceId: clean(event.DeviceID),
		CutId:    clean(event.CutID),
		CaseId:   clean(event.CaseID),
		Signed:   event.Signed,
	}
	for _, f := range event.Fields {
		message.Fields = append(message.Fields, &cutoffv1.Field{Name: clean(f.Name), Value: clean(f.Value)})
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return Record{}, fmt.Errorf("append evidence %s: %w", event.Kind, err)
	}
	if len(encoded) > MaxRecord {
		return Record{}, fmt.Errorf("append evidence %s: %d bytes, at most %d", event.Kind, len(encoded), MaxRecord)
	}
	hash := Hash(sha256.Sum256(encoded))
	return Record{
		Seq: message.GetSeq(), At: at, Kind: message.GetKind(), DeviceID: message.GetDeviceId(),
		CutID: message.GetCutId(), CaseID: message.GetCaseId(),
		Encoded: encoded, Hash: hash, Chain: Link(head.Chain, hash),
	}, nil
}

// Link is one step of the chain: SHA-256(previous || hash).
func Link(previous, hash Hash) Hash {
	var both [2 * sha256.Size]byte
	copy(both[:], previous[:])
	copy(both[sha256.Size:], hash[:])
	return sha256.Sum256(both[:])
}

// Follows checks that r, as it was read back, is whole and is the record after
// head. Errors wrap ErrBroken and name the record's number.
func (r *Record) Follows(head Head) error {
	want := head.Seq + 1
	broken := func(format string, args ...any) error {
		return fmt.Errorf("%w: record %d %s", ErrBroken, want, fmt.Sprintf(format, args...))
	}
	if r.Seq != want {
		return broken("is missing: the next one there is %d", r.Seq)
	}
	if Hash(sha256.Sum256(r.Encoded)) != r.Hash {
		return broken("was changed: its hash does not match")
	}
	if Link(head.Chain, r.Hash) != r.Chain {
		return broken("does not continue the chain")
	}
	message, err := decode(r.Encoded)
	if err != nil {
		return broken("cannot be read: %v", err)
	}
	if message.GetSeq() != r.Seq || !message.GetAt().AsTime().Equal(r.At) || message.GetKind() != r.Kind ||
		message.GetDeviceId() != r.DeviceID || message.GetCutId() != r.CutID || message.GetCaseId() != r.CaseID {
		return broken("was changed: its columns differ from what was recorded")
	}
	return nil
}

// decode parses a record strictly: it must re-encode to itself.
func decode(encoded []byte) (*cutoffv1.EvidenceRecord, error) {
	message := &cutoffv1.EvidenceRecord{}
	if err := proto.Unmarshal(encoded, message); err != nil {
		return nil, errors.New("not protobuf")
	}
	if unknown(message) {
		return nil, errors.New("unknown field")
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil || !bytes.Equal(again, encoded) {
		return nil, errors.New("not canonical")
	}
	return message, nil
}

// unknown reports whether a record has fields its type does not know. They
// would re-encode to themselves when they come last.
func unknown(m *cutoffv1.EvidenceRecord) bool {
	n := len(m.ProtoReflect().GetUnknown()) + len(m.GetAt().ProtoReflect().GetUnknown())
	for _, f := range m.GetFields() {
		n += len(f.ProtoReflect().GetUnknown())
	}
	return n > 0
}

// Digest is how an event names bytes it does not repeat.
func Digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// clean makes s fit a record: valid UTF-8 and bounded.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "�")
	}
	if len(s) <= MaxValue {
		return s
	}
	end := MaxValue
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
