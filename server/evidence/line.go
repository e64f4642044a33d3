package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// An export is text: one JSON object a line, the first the header, the last the
// closing, between them the records in order. A line must be exactly what this
// package would write for its values, so that there is one export of a thing.

// Format is the header's first word.
const Format = "cutoff-evidence-export-1"

// The words that say what a line is.
const (
	lineHeader  = "header"
	lineRecord  = "record"
	lineOthers  = "others"
	lineClosing = "closing"
)

// header says what the export is of, by whose key, and where it begins.
type header struct {
	Line        string `json:"line"`
	Format      string `json:"format"`
	TrustDomain string `json:"trust_domain"`
	CutID       string `json:"cut_id"`
	CaseID      string `json:"case_id"`
	// Key is the evidence key's text (FormatKey).
	Key string `json:"key"`
	// After is the number of the record before the first one here. Unless it is
	// 0, Checkpoint is the signed checkpoint of that record.
	After      uint64 `json:"after"`
	Checkpoint []byte `json:"checkpoint,omitempty"`
	// RootKey and Roster let orders' signatures be checked.
	RootKey []byte `json:"root_key,omitempty"`
	Roster  []byte `json:"roster,omitempty"`
	// DeviceKey lets the receipts of DeviceID be checked.
	DeviceID  string `json:"device_id,omitempty"`
	DeviceKey []byte `json:"device_key,omitempty"`
}

// whole is a record of the cut, in full.
type whole struct {
	Line     string      `json:"line"`
	Seq      uint64      `json:"seq"`
	At       string      `json:"at"`
	Kind     string      `json:"kind"`
	Actor    string      `json:"actor,omitempty"`
	DeviceID string      `json:"device_id,omitempty"`
	CutID    string      `json:"cut_id,omitempty"`
	CaseID   string      `json:"case_id,omitempty"`
	Fields   []lineField `json:"fields,omitempty"`
	Signed   []byte      `json:"signed,omitempty"`
	// Chain is the chain value after this record.
	Chain []byte `json:"chain"`
}

type lineField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// others is a run of records that are none of the cut's: their hashes, so that
// the chain can be recomputed without giving them away.
type others struct {
	Line   string   `json:"line"`
	Seq    uint64   `json:"seq"`
	Hashes [][]byte `json:"hashes"`
	// Chain is the chain value after the last of them.
	Chain []byte `json:"chain"`
}

// closing is the checkpoint of the last record above it.
type closing struct {
	Line       string `json:"line"`
	Checkpoint []byte `json:"checkpoint"`
}

// maxRun bounds the hashes on one line.
const maxRun = 64

// writeLine appends v as one canonical line.
func writeLine(b *bytes.Buffer, v any) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// readLine reads one line, without its end, into v. It must be canonical:
// writing v again gives the same bytes, which refuses unknown and repeated
// fields, other spellings and anything after the object.
func readLine(line []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("not one of this format's lines: %w", err)
	}
	var again bytes.Buffer
	if err := writeLine(&again, v); err != nil || !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), line) {
		return errors.New("not in the one canonical form")
	}
	return nil
}

func lineOf(m *cutoffv1.EvidenceRecord, chain Hash) whole {
	w := whole{
		Line: lineRecord, Seq: m.GetSeq(), At: m.GetAt().AsTime().UTC().Format(time.RFC3339Nano), Kind: m.GetKind(),
		Actor: m.GetActor(), DeviceID: m.GetDeviceId(), CutID: m.GetCutId(), CaseID: m.GetCaseId(),
		Signed: m.GetSigned(), Chain: chain[:],
	}
	for _, f := range m.GetFields() {
		w.Fields = append(w.Fields, lineField{Name: f.GetName(), Value: f.GetValue()})
	}
	return w
}

// message is the record the line stands for.
func (w *whole) message() (*cutoffv1.EvidenceRecord, error) {
	at, err := time.Parse(time.RFC3339Nano, w.At)
	if err != nil || at.UTC().Format(time.RFC3339Nano) != w.At {
		return nil, errors.New("not in the one canonical form: its time")
	}
	m := &cutoffv1.EvidenceRecord{
		Seq: w.Seq, At: timestamppb.New(at), Kind: w.Kind, Actor: w.Actor, DeviceId: w.DeviceID,
		CutId: w.CutID, CaseId: w.CaseID, Signed: w.Signed,
	}
	for _, f := range w.Fields {
		m.Fields = append(m.Fields, &cutoffv1.Field{Name: f.Name, Value: f.Value})
	}
	return m, nil
}
