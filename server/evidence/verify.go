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
	"time"

	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// ErrSelfConsistent is Verify's answer without a key to a good export: it holds
// together, but whoever wrote it chose the key.
var ErrSelfConsistent = errors.New("self-consistent only: without the server's evidence key anybody could have written it")

// Summary is what a verified export is of.
type Summary struct {
	TrustDomain string
	CutID       string
	CaseID      string
	// Key is the evidence key it is signed by (FormatKey).
	Key string
	// Records are the cut's; First and Last bound all that the chain covers.
	Records int
	First   uint64
	Last    uint64
	// At is when the closing checkpoint was signed.
	At time.Time
	// Orders and Receipts count those whose own signature was checked.
	Orders   int
	Receipts int
}

// Verify checks an export against the server's evidence key. It needs nothing
// else. An error wraps ErrBroken and names the record (or the header, or the
// closing) that does not hold; with a nil key the best answer is
// ErrSelfConsistent.
func Verify(export []byte, key ed25519.PublicKey) (Summary, error) {
	v := &verifier{}
	if err := v.all(export, key); err != nil {
		return Summary{}, err
	}
	if key == nil {
		return v.summary, ErrSelfConsistent
	}
	return v.summary, nil
}

// verifier is one verification under way.
type verifier struct {
	summary Summary
	header  header
	keys    signed.Keys
	orders  signed.Keys
	device  signed.Keys
	head    Head
	// shown are the records in full, but for the last line's.
	seqs   []uint64
	hashes []Hash
	// last is the record on the line before, when it was one in full.
	last *cutoffv1.EvidenceRecord
}

func (v *verifier) all(export []byte, key ed25519.PublicKey) error {
	if len(export) > MaxExport {
		return fmt.Errorf("%w: export of %d bytes, at most %d", ErrBroken, len(export), MaxExport)
	}
	line, rest, ok := bytes.Cut(export, []byte("\n"))
	if !ok {
		return v.broken("header", errors.New("the first line has no end"))
	}
	if err := v.readHeader(line, key); err != nil {
		return v.broken("header", err)
	}
	for {
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
		if !ok {
			return v.broken(v.next(), errors.New("the export ends without its closing line: the tail was cut"))
		}
		if bytes.HasPrefix(line, []byte(`{"line":"`+lineClosing+`"`)) {
			break
		}
		if err := v.readRecords(line); err != nil {
			return v.broken(v.next(), err)
		}
	}
	if len(rest) > 0 {
		return v.broken("closing", errors.New("something follows it"))
	}
	return v.close(line)
}

// next names the record that should come now.
func (v *verifier) next() string { return fmt.Sprintf("record %d", v.head.Seq+1) }

func (v *verifier) broken(where string, err error) error {
	if errors.Is(err, ErrBroken) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrBroken, where, err)
}

func (v *verifier) readHeader(line []byte, key ed25519.PublicKey) error {
	h := &v.header
	if err := readLine(line, h); err != nil {
		return err
	}
	if h.Line != lineHeader || h.Format != Format {
		return fmt.Errorf("not an export of format %s", Format)
	}
	own, err := ParseKey(h.Key)
	if err != nil {
		return err
	}
	if FormatKey(own) != h.Key {
		return errors.New("not in the one canonical form: its key")
	}
	if key != nil && !own.Equal(key) {
		return errors.New("signed by another evidence key than the one given")
	}
	if v.keys, err = signed.NewKeys(own); err != nil {
		return err
	}
	v.summary = Summary{TrustDomain: h.TrustDomain, CutID: h.CutID, CaseID: h.CaseID, Key: h.Key}
	if err := v.readStart(); err != nil {
		return err
	}
	if len(h.DeviceKey) > 0 {
		if v.device, err = signed.NewKeys(h.DeviceKey); err != nil {
			return fmt.Errorf("device key: %w", err)
		}
	}
	return v.readRoster(own)
}

// readStart checks the checkpoint the export begins after.
func (v *verifier) readStart() error {
	h := &v.header
	v.head = Head{Seq: h.After}
	if h.After == 0 {
		if len(h.Checkpoint) > 0 {
			return errors.New("a checkpoint at the log's start")
		}
	} else {
		c, domain, err := OpenCheckpoint(h.Checkpoint, v.keys)
		if err != nil {
			return err
		}
		if c.Head.Seq != h.After || domain != h.TrustDomain {
			return errors.New("its checkpoint is of something else")
		}
		v.head = c.Head
	}
	v.summary.First = v.head.Seq + 1
	return nil
}

// readRoster checks the roster and keeps its order keys. That it is the true
// one is what the export record's digest of it says.
func (v *verifier) readRoster(own ed25519.PublicKey) error {
	h := &v.header
	if len(h.Roster) == 0 && len(h.RootKey) == 0 {
		return nil
	}
	root, err := signed.NewKeys(h.RootKey)
	if err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	var roster cutoffv1.Roster
	if _, err := signed.Open(h.Roster, signed.TypeRoster, root, &roster); err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	if roster.GetTrustDomain() != h.TrustDomain {
		return errors.New("roster: of another trust domain")
	}
	if !slices.ContainsFunc(roster.GetEvidenceKeys(), func(k []byte) bool { return bytes.Equal(k, own) }) {
		return errors.New("roster: it does not name this evidence key")
	}
	if v.orders, err = signed.NewKeys(roster.GetOrderKeys()...); err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	return nil
}

func (v *verifier) readRecords(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte(`{"line":"`+lineRecord+`"`)):
		return v.readWhole(line)
	case bytes.HasPrefix(line, []byte(`{"line":"`+lineOthers+`"`)):
		return v.readOthers(line)
	default:
		return errors.New("not one of this format's lines")
	}
}

func (v *verifier) readWhole(line []byte) error {
	var w whole
	if err := readLine(line, &w); err != nil {
		return err
	}
	m, err := w.message()
	if err != nil {
		return err
	}
	if w.Seq != v.head.Seq+1 {
		return fmt.Errorf("is missing: the next one there is %d", w.Seq)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return errors.New("not a record")
	}
	hash := Hash(sha256.Sum256(encoded))
	chain := Link(v.head.Chain, hash)
	if !bytes.Equal(chain[:], w.Chain) {
		return errors.New("was changed: it does not continue the chain")
	}
	if m.GetCutId() != v.header.CutID && (m.GetCutId() != "" || m.GetCaseId() == "" || m.GetCaseId() != v.header.CaseID) {
		return errors.New("is of another cut")
	}
	if err := errors.Join(v.checkOrder(m), v.checkReceipt(m)); err != nil {
		return err
	}
	v.head = Head{Seq: w.Seq, Chain: chain}
	v.seqs, v.hashes, v.last = append(v.seqs, w.Seq), append(v.hashes, hash), m
	return nil
}

// checkOrder checks the signature of an order in a record: the evidence key
// alone cannot make one up.
func (v *verifier) checkOrder(m *cutoffv1.EvidenceRecord) error {
	if v.orders == nil || len(m.GetSigned()) == 0 {
		return nil
	}
	var order cutoffv1.Order
	_, err := signed.Open(m.GetSigned(), signed.TypeOrder, v.orders, &order)
	switch {
	case errors.Is(err, signed.ErrUntrusted):
		return errors.New("its order is not signed by an order key of the roster")
	case err != nil: // some other envelope
		return nil
	case order.GetCutId() != v.header.CutID || (m.GetDeviceId() != "" && order.GetDeviceId() != m.GetDeviceId()):
		return errors.New("its order is of another cut or device")
	}
	v.summary.Orders++
	return nil
}

// checkReceipt checks the signature of the device's receipt in a record: no key
// of the server can make one up.
func (v *verifier) checkReceipt(m *cutoffv1.EvidenceRecord) error {
	if v.device == nil || len(m.GetSigned()) == 0 {
		return nil
	}
	var receipt cutoffv1.Receipt
	_, err := signed.Open(m.GetSigned(), signed.TypeReceipt, v.device, &receipt)
	switch {
	case errors.Is(err, signed.ErrUntrusted):
		return errors.New("its receipt is not signed by the device's key")
	case err != nil: // some other envelope
		return nil
	case receipt.GetCutId() != v.header.CutID || receipt.GetDeviceId() != v.header.DeviceID:
		return errors.New("its receipt is of another cut or device")
	}
	v.summary.Receipts++
	return nil
}

func (v *verifier) readOthers(line []byte) error {
	var o others
	if err := readLine(line, &o); err != nil {
		return err
	}
	if o.Seq != v.head.Seq+1 {
		return fmt.Errorf("is missing: the next one there is %d", o.Seq)
	}
	if len(o.Hashes) == 0 || len(o.Hashes) > maxRun {
		return fmt.Errorf("a run of %d hashes", len(o.Hashes))
	}
	head := v.head
	for _, h := range o.Hashes {
		if len(h) != len(Hash{}) {
			return errors.New("a hash of the wrong length")
		}
		head = Head{Seq: head.Seq + 1, Chain: Link(head.Chain, Hash(h))}
	}
	if !bytes.Equal(head.Chain[:], o.Chain) {
		return fmt.Errorf("or one after it up to record %d was changed: they do not continue the chain", head.Seq)
	}
	v.head, v.last = head, nil
	return nil
}

// close checks the closing checkpoint, then the record it signs: the log's note
// of what this export shows.
func (v *verifier) close(line []byte) error {
	var c closing
	if err := readLine(line, &c); err != nil {
		return v.broken("closing", err)
	}
	checkpoint, domain, err := OpenCheckpoint(c.Checkpoint, v.keys)
	if err != nil {
		return v.broken("closing", err)
	}
	if domain != v.header.TrustDomain {
		return v.broken("closing", errors.New("its checkpoint is of another trust domain"))
	}
	if checkpoint.Head.Seq > v.head.Seq {
		return v.broken(v.next(), fmt.Errorf("is missing: the checkpoint covers records up to %d, the tail was cut", checkpoint.Head.Seq))
	}
	if checkpoint.Head != v.head {
		return v.broken("closing", fmt.Errorf("its checkpoint is not of record %d, or the records from %d on were rewritten", v.head.Seq, v.summary.First))
	}
	if v.last == nil || v.last.GetKind() != ExportKind || v.last.GetCutId() != v.header.CutID || v.last.GetCaseId() != v.header.CaseID {
		return v.broken(fmt.Sprintf("record %d", v.head.Seq), errors.New("is not the log's note of this export"))
	}
	v.summary.Last, v.summary.At = v.head.Seq, checkpoint.At
	return v.checkListing()
}

// checkListing compares what is shown with what the log noted.
func (v *verifier) checkListing() error {
	note := fmt.Sprintf("record %d", v.head.Seq)
	seqs, hashes := v.seqs[:len(v.seqs)-1], v.hashes[:len(v.hashes)-1]
	v.summary.Records = len(seqs)
	shown := List(seqs, hashes)
	// What the note does not fix it would not sign: its fields must be exactly
	// those of an export of this.
	scope := Scope{CutID: v.header.CutID, CaseID: v.header.CaseID, Roster: v.header.Roster, Start: Checkpoint{Head: Head{Seq: v.header.After}},
		DeviceID: v.header.DeviceID, DeviceKey: v.header.DeviceKey}
	want := shown.Event(scope, v.last.GetActor()).Fields
	have := make([]Field, len(v.last.GetFields()))
	for i, f := range v.last.GetFields() {
		have[i] = Field{Name: f.GetName(), Value: f.GetValue()}
	}
	if slices.Equal(have, want) {
		return nil
	}
	if missing, ok := firstMissing(have, seqs); ok {
		return v.broken(fmt.Sprintf("record %d", missing), errors.New("is one of the cut's and was left out"))
	}
	for _, f := range have {
		if f.Name == fieldDigest && f.Value != hex.EncodeToString(shown.Digest[:]) {
			return v.broken(note, errors.New("the cut's records are not those the log noted"))
		}
		if f.Name == fieldRoster && f.Value != Digest(v.header.Roster) {
			return v.broken("header", errors.New("its roster is not the one the log noted"))
		}
		if f.Name == fieldDevice && f.Value != v.header.DeviceID || f.Name == fieldKey && f.Value != hex.EncodeToString(v.header.DeviceKey) {
			return v.broken("header", errors.New("its device is not the one the log noted"))
		}
	}
	return v.broken(note, errors.New("the log's note of this export is of another one"))
}

// firstMissing is the first number listed in the note that is not shown.
func firstMissing(note []Field, shown []uint64) (uint64, bool) {
	at := 0
	for _, f := range note {
		if f.Name != fieldRecords {
			continue
		}
		for part := range strings.SplitSeq(f.Value, ",") {
			from, to, isRange := strings.Cut(part, "-")
			low, err := strconv.ParseUint(from, 10, 64)
			if err != nil {
				return 0, false
			}
			high := low
			if isRange {
				if high, err = strconv.ParseUint(to, 10, 64); err != nil {
					return 0, false
				}
			}
			// At most as many steps as records are shown, whatever a range says.
			for n := low; n <= high; n++ {
				if at >= len(shown) || shown[at] != n {
					return n, true
				}
				at++
			}
		}
	}
	return 0, false
}
