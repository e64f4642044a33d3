package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
)

// ExportKind is the kind of the last record of every export: the log's own
// note that it was made, and of what. The checkpoint that closes the export
// signs it, so that none of the records it lists can be left out.
const ExportKind = "evidence.exported"

// MaxExport bounds an export in bytes.
const MaxExport = 512 << 20

// Names of the fields of an ExportKind record.
const (
	fieldCount   = "count"
	fieldDigest  = "digest"
	fieldRecords = "records"
	fieldAfter   = "after"
	fieldRoster  = "roster_sha256"
	fieldDevice  = "device"
	fieldKey     = "device_key"
)

// Scope is what an export is of and what it begins with.
type Scope struct {
	TrustDomain string
	CutID       string
	CaseID      string
	Key         ed25519.PublicKey
	// Start is the checkpoint the export begins after; zero is the log's start.
	Start Checkpoint
	// Roster and RootKey may be empty; then orders' signatures are not checked.
	Roster  []byte
	RootKey []byte
	// DeviceID is the cut's device, or empty. DeviceKey is its raw Ed25519 key;
	// without one its receipts' signatures are not checked.
	DeviceID  string
	DeviceKey []byte
}

// Listing is which records an export shows whole: their numbers in order, and
// a digest over their hashes.
type Listing struct {
	Seqs   []uint64
	Digest Hash
}

// List makes the listing of records with these hashes.
func List(seqs []uint64, hashes []Hash) Listing {
	sum := sha256.New()
	for _, h := range hashes {
		sum.Write(h[:])
	}
	return Listing{Seqs: seqs, Digest: Hash(sum.Sum(nil))}
}

// Event is the log's note of an export of scope that shows the records listed.
func (l Listing) Event(scope Scope, actor string) Event {
	event := Event{Kind: ExportKind, Actor: actor, CutID: scope.CutID, CaseID: scope.CaseID, Fields: []Field{
		{Name: fieldAfter, Value: strconv.FormatUint(scope.Start.Head.Seq, 10)},
		{Name: fieldCount, Value: strconv.Itoa(len(l.Seqs))},
		{Name: fieldDigest, Value: hex.EncodeToString(l.Digest[:])},
		{Name: fieldRoster, Value: Digest(scope.Roster)},
		{Name: fieldDevice, Value: scope.DeviceID},
		{Name: fieldKey, Value: hex.EncodeToString(scope.DeviceKey)},
	}}
	for _, part := range ranges(l.Seqs) {
		event.Fields = append(event.Fields, Field{Name: fieldRecords, Value: part})
	}
	return event
}

// ranges writes numbers in order as "3,7-9", in parts that fit a field.
func ranges(seqs []uint64) []string {
	const room = MaxValue / 2
	var parts []string
	var b strings.Builder
	for i := 0; i < len(seqs); {
		j := i
		for j+1 < len(seqs) && seqs[j+1] == seqs[j]+1 {
			j++
		}
		if b.Len() > room {
			parts = append(parts, b.String())
			b.Reset()
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(seqs[i], 10))
		if j > i {
			b.WriteByte('-')
			b.WriteString(strconv.FormatUint(seqs[j], 10))
		}
		i = j + 1
	}
	if b.Len() > 0 {
		parts = append(parts, b.String())
	}
	return parts
}

// Export is an export being written: NewExport, then Add for each record from
// the one after scope's start to the ExportKind one, then Close.
type Export struct {
	out  bytes.Buffer
	head Head
	run  others
}

// NewExport begins an export.
func NewExport(scope Scope) (*Export, error) {
	e := &Export{head: scope.Start.Head}
	return e, writeLine(&e.out, header{
		Line: lineHeader, Format: Format, TrustDomain: scope.TrustDomain, CutID: scope.CutID, CaseID: scope.CaseID,
		Key: FormatKey(scope.Key), After: scope.Start.Head.Seq, Checkpoint: scope.Start.Envelope,
		RootKey: scope.RootKey, Roster: scope.Roster, DeviceID: scope.DeviceID, DeviceKey: scope.DeviceKey,
	})
}

// Add adds the next record: in full, or as one of the others. It refuses a
// record that does not hold; an export must not launder a broken log.
func (e *Export) Add(r Record, full bool) error {
	if err := r.Follows(e.head); err != nil {
		return err
	}
	e.head = r.Head()
	if e.out.Len() > MaxExport {
		return fmt.Errorf("export is longer than %d bytes", MaxExport)
	}
	if !full {
		if len(e.run.Hashes) == 0 {
			e.run.Seq = r.Seq
		}
		e.run.Hashes = append(e.run.Hashes, slices.Clone(r.Hash[:]))
		e.run.Chain = slices.Clone(r.Chain[:])
		if len(e.run.Hashes) == maxRun {
			return e.flush()
		}
		return nil
	}
	if err := e.flush(); err != nil {
		return err
	}
	m, err := decode(r.Encoded)
	if err != nil {
		return fmt.Errorf("export record %d: %w", r.Seq, err)
	}
	line := lineOf(m, r.Chain)
	back, err := line.message()
	if err != nil {
		return fmt.Errorf("export record %d: %w", r.Seq, err)
	}
	if again, err := (proto.MarshalOptions{Deterministic: true}).Marshal(back); err != nil || !bytes.Equal(again, r.Encoded) {
		return fmt.Errorf("export record %d: it cannot be written as text", r.Seq)
	}
	return writeLine(&e.out, line)
}

func (e *Export) flush() error {
	if len(e.run.Hashes) == 0 {
		return nil
	}
	e.run.Line = lineOthers
	err := writeLine(&e.out, e.run)
	e.run = others{}
	return err
}

// Close ends the export with the checkpoint of its last record.
func (e *Export) Close(checkpoint Checkpoint) ([]byte, error) {
	if err := e.flush(); err != nil {
		return nil, err
	}
	if checkpoint.Head != e.head {
		return nil, errors.New("close export: the checkpoint is not of its last record")
	}
	err := writeLine(&e.out, closing{Line: lineClosing, Checkpoint: checkpoint.Envelope})
	return e.out.Bytes(), err
}
