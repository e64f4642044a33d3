package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/evidence"
)

const domain = "test.example"

var start = time.Date(2026, 11, 23, 3, 0, 0, 123456000, time.UTC)

// key is a signing key that is the same in every run.
func key(name string) ed25519.PrivateKey {
	seed := bytes.Repeat([]byte(name), 32)[:32]
	return ed25519.NewKeyFromSeed(seed)
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// log is a log in memory.
type log struct {
	t       testing.TB
	records []evidence.Record
}

func (l *log) head() evidence.Head {
	if len(l.records) == 0 {
		return evidence.Head{}
	}
	return l.records[len(l.records)-1].Head()
}

func (l *log) add(event evidence.Event) evidence.Record {
	l.t.Helper()
	r, err := evidence.Append(l.head(), event, start.Add(time.Duration(len(l.records))*time.Second))
	if err != nil {
		l.t.Fatal(err)
	}
	l.records = append(l.records, r)
	return r
}

// sample is a log of two devices' cuts in turns, with other records between.
func sample(t testing.TB) *log {
	t.Helper()
	l := &log{t: t}
	l.add(evidence.Event{Kind: "operator.login", Actor: "alice", Fields: []evidence.Field{{Name: "source", Value: "192.0.2.7"}}})
	l.add(evidence.Event{Kind: "cut.opened", Actor: "alice", DeviceID: "dev_b", CutID: "cut_b", CaseID: "case_b"})
	l.add(evidence.Event{Kind: "case.asked", Actor: "alice", CaseID: "case_a", Fields: []evidence.Field{
		{Name: "reason", Value: "lost <laptop> & \"keys\" \u2028 ünïcode"},
	}})
	l.add(evidence.Event{Kind: "cut.opened", Actor: "alice", DeviceID: "dev_a", CutID: "cut_a", CaseID: "case_a"})
	for i := range 70 {
		l.add(evidence.Event{Kind: "step.result", Actor: "queue", CutID: "cut_b", Fields: []evidence.Field{{Name: "n", Value: fmt.Sprint(i)}}})
	}
	l.add(evidence.Event{Kind: "order.signed", DeviceID: "dev_a", CutID: "cut_a", CaseID: "case_a", Signed: order(t, key("order"), "cut_a", "dev_a")})
	l.add(evidence.Event{Kind: "decision.reached", Actor: "policy", DeviceID: "dev_b"})
	l.add(evidence.Event{Kind: "receipt.stored", DeviceID: "dev_a", CutID: "cut_a", CaseID: "case_a", Signed: receipt(t, key("device"), "cut_a", "dev_a")})
	return l
}

func order(t testing.TB, signer ed25519.PrivateKey, cutID, deviceID string) []byte {
	t.Helper()
	raw, err := signed.Seal(signed.TypeOrder, &cutoffv1.Order{OrderId: "ord_1", CutId: cutID, DeviceId: deviceID, Kind: cutoffv1.OrderKind_ORDER_KIND_SEAL, Number: 1}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func receipt(t testing.TB, signer ed25519.PrivateKey, cutID, deviceID string) []byte {
	t.Helper()
	raw, err := signed.Seal(signed.TypeReceipt, &cutoffv1.Receipt{DeviceId: deviceID, CutId: cutID, OrderId: "ord_1", Complete: true}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func roster(t testing.TB, evidenceKey, orderKey, rootKey ed25519.PrivateKey) []byte {
	t.Helper()
	raw, err := signed.Seal(signed.TypeRoster, &cutoffv1.Roster{
		TrustDomain: domain, Version: 3, IssuedAt: timestamppb.New(start),
		OrderKeys: [][]byte{public(orderKey)}, EvidenceKeys: [][]byte{public(evidenceKey)},
	}, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// export writes the export of cut_a after the record with number after; show
// says which records are shown whole (nil: those of cut_a).
func (l *log) export(scope evidence.Scope, show func(evidence.Record) bool) []byte {
	l.t.Helper()
	if show == nil {
		show = func(r evidence.Record) bool { return r.CutID == "cut_a" || r.CutID == "" && r.CaseID == "case_a" }
	}
	var seqs []uint64
	var hashes []evidence.Hash
	for _, r := range l.records {
		if r.CutID == "cut_a" || r.CutID == "" && r.CaseID == "case_a" {
			seqs, hashes = append(seqs, r.Seq), append(hashes, r.Hash)
		}
	}
	last := l.add(evidence.List(seqs, hashes).Event(scope, "alice"))
	return l.write(scope, last, show)
}

func (l *log) write(scope evidence.Scope, last evidence.Record, show func(evidence.Record) bool) []byte {
	l.t.Helper()
	e, err := evidence.NewExport(scope)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range l.records[scope.Start.Head.Seq:] {
		if err := e.Add(r, r.Seq == last.Seq || show(r)); err != nil {
			l.t.Fatal(err)
		}
	}
	closing, err := evidence.Sign(domain, last.Head(), start.Add(time.Hour), key("evidence"))
	if err != nil {
		l.t.Fatal(err)
	}
	raw, err := e.Close(closing)
	if err != nil {
		l.t.Fatal(err)
	}
	return raw
}

// scope is of cut_a, from the log's start or from a checkpoint of a record.
func (l *log) scope(after uint64) evidence.Scope {
	l.t.Helper()
	s := evidence.Scope{
		TrustDomain: domain, CutID: "cut_a", CaseID: "case_a", Key: public(key("evidence")),
		Roster: roster(l.t, key("evidence"), key("order"), key("root")), RootKey: public(key("root")),
		DeviceID: "dev_a", DeviceKey: public(key("device")),
	}
	if after > 0 {
		c, err := evidence.Sign(domain, l.records[after-1].Head(), start.Add(time.Minute), key("evidence"))
		if err != nil {
			l.t.Fatal(err)
		}
		s.Start = c
	}
	return s
}

func TestAnExportIsVerifiedWithNothingButTheKey(t *testing.T) {
	for _, after := range []uint64{0, 2} {
		l := sample(t)
		raw := l.export(l.scope(after), nil)
		got, err := evidence.Verify(raw, public(key("evidence")))
		if err != nil {
			t.Fatalf("after %d: %v\n%s", after, err, raw)
		}
		want := evidence.Summary{
			TrustDomain: domain, CutID: "cut_a", CaseID: "case_a", Key: evidence.FormatKey(public(key("evidence"))),
			Records: 4, First: after + 1, Last: uint64(len(l.records)), At: start.Add(time.Hour), Orders: 1, Receipts: 1,
		}
		if got != want {
			t.Errorf("after %d: got %+v, want %+v", after, got, want)
		}
	}
}

func TestWithoutAKeyAnExportIsSelfConsistentOnly(t *testing.T) {
	l := sample(t)
	raw := l.export(l.scope(0), nil)
	if _, err := evidence.Verify(raw, nil); !errors.Is(err, evidence.ErrSelfConsistent) {
		t.Errorf("without a key: got %v", err)
	}
	if _, err := evidence.Verify(raw, public(key("another"))); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("with another key: got %v", err)
	}
}

func TestChangingAnyByteOfAnExportIsFoundAndNamed(t *testing.T) {
	l := sample(t)
	raw := l.export(l.scope(2), nil)
	trusted := public(key("evidence"))
	line := 1
	for i := range raw {
		changed := bytes.Clone(raw)
		for _, to := range []byte{raw[i] ^ 1, raw[i] ^ 0x20} {
			if to == raw[i] {
				continue
			}
			changed[i] = to
			_, err := evidence.Verify(changed, trusted)
			if !errors.Is(err, evidence.ErrBroken) {
				t.Fatalf("byte %d (line %d) from %q to %q: got %v", i, line, raw[i], to, err)
			}
			if named := err.Error(); !strings.Contains(named, ": record ") && !strings.Contains(named, ": header: ") && !strings.Contains(named, ": closing: ") {
				t.Fatalf("byte %d (line %d): nothing is named: %v", i, line, err)
			}
		}
		if raw[i] == '\n' {
			line++
		}
	}
}

func TestAChangedRecordIsNamedByItsNumber(t *testing.T) {
	l := sample(t)
	raw := l.export(l.scope(2), nil)
	changed := bytes.Replace(raw, []byte("lost <laptop>"), []byte("lost <desktop>"), 1)
	_, err := evidence.Verify(changed, public(key("evidence")))
	if err == nil || !strings.Contains(err.Error(), "record 3: was changed") {
		t.Errorf("got %v, want record 3 named", err)
	}
}

func TestAnExportCutShortAnywhereIsRefused(t *testing.T) {
	l := sample(t)
	raw := l.export(l.scope(0), nil)
	for n := range raw {
		if _, err := evidence.Verify(raw[:n], public(key("evidence"))); !errors.Is(err, evidence.ErrBroken) {
			t.Fatalf("the first %d bytes of %d: got %v", n, len(raw), err)
		}
	}
	if _, err := evidence.Verify(append(bytes.Clone(raw), '\n'), public(key("evidence"))); err == nil {
		t.Error("an export with a line after its closing holds")
	}
	lines := strings.SplitAfter(string(raw), "\n")
	without := strings.Join(slices.Delete(slices.Clone(lines), len(lines)-3, len(lines)-2), "")
	_, err := evidence.Verify([]byte(without), public(key("evidence")))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("record %d: is missing", len(l.records))) {
		t.Errorf("without the last record: got %v", err)
	}
}

func TestARecordOfTheCutCannotBeLeftOut(t *testing.T) {
	for _, hidden := range []uint64{3, 4, 75, 77} {
		l := sample(t)
		raw := l.export(l.scope(0), func(r evidence.Record) bool {
			mine := r.CutID == "cut_a" || r.CutID == "" && r.CaseID == "case_a"
			return mine && r.Seq != hidden
		})
		_, err := evidence.Verify(raw, public(key("evidence")))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("record %d: is one of the cut's and was left out", hidden)) {
			t.Errorf("record %d given as a hash: got %v", hidden, err)
		}
	}
}

func TestAnExportShowsNoOtherCutsRecords(t *testing.T) {
	l := sample(t)
	raw := l.export(l.scope(0), nil)
	if bytes.Contains(raw, []byte("cut_b")) || bytes.Contains(raw, []byte("192.0.2.7")) {
		t.Errorf("the export gives away another cut:\n%s", raw)
	}
	all := l.export(l.scope(0), func(r evidence.Record) bool { return true })
	if _, err := evidence.Verify(all, public(key("evidence"))); err == nil {
		t.Error("an export with another cut's records holds")
	}
}

func TestAnOrderThatNoRosterKeySignedIsNamed(t *testing.T) {
	l := sample(t)
	l.add(evidence.Event{Kind: "order.signed", DeviceID: "dev_a", CutID: "cut_a", Signed: order(t, key("stranger"), "cut_a", "dev_a")})
	_, err := evidence.Verify(l.export(l.scope(0), nil), public(key("evidence")))
	if err == nil || !strings.Contains(err.Error(), "record 78: its order is not signed") {
		t.Errorf("forged order: got %v", err)
	}
	l = sample(t)
	l.add(evidence.Event{Kind: "order.signed", DeviceID: "dev_a", CutID: "cut_a", Signed: order(t, key("order"), "cut_b", "dev_b")})
	_, err = evidence.Verify(l.export(l.scope(0), nil), public(key("evidence")))
	if err == nil || !strings.Contains(err.Error(), "record 78: its order is of another cut or device") {
		t.Errorf("another cut's order: got %v", err)
	}
}

func TestAReceiptThatTheDeviceDidNotSignIsNamed(t *testing.T) {
	cases := []struct {
		name   string
		signed []byte
		want   string
	}{
		{"by the server", receipt(t, key("order"), "cut_a", "dev_a"), "record 78: its receipt is not signed by the device's key"},
		{"of another cut", receipt(t, key("device"), "cut_b", "dev_a"), "record 78: its receipt is of another cut or device"},
		{"of another device", receipt(t, key("device"), "cut_a", "dev_b"), "record 78: its receipt is of another cut or device"},
	}
	for _, c := range cases {
		l := sample(t)
		l.add(evidence.Event{Kind: "receipt.stored", DeviceID: "dev_a", CutID: "cut_a", Signed: c.signed})
		_, err := evidence.Verify(l.export(l.scope(0), nil), public(key("evidence")))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	l := sample(t)
	forged := l.scope(0)
	raw := l.export(forged, nil)
	forged.DeviceKey = public(key("another device"))
	forged.DeviceID = "dev_x"
	if _, err := evidence.Verify(raw, public(key("evidence"))); err != nil {
		t.Fatal(err)
	}
	swapped := l.write(forged, l.records[len(l.records)-1], func(r evidence.Record) bool {
		return r.CutID == "cut_a" && r.Kind != "receipt.stored" || r.CutID == "" && r.CaseID == "case_a"
	})
	if _, err := evidence.Verify(swapped, public(key("evidence"))); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("another device's key: got %v", err)
	}
}

func TestAnotherRosterUnderTheSameKeyIsFound(t *testing.T) {
	l := sample(t)
	scope := l.scope(0)
	raw := l.export(scope, nil)
	// A thief of nothing but a root key of his own swaps the roster's order key.
	forged := scope
	forged.Roster = roster(t, key("evidence"), key("stranger"), key("other root"))
	forged.RootKey = public(key("other root"))
	swapped := l.write(forged, l.records[len(l.records)-1], func(r evidence.Record) bool {
		return r.CutID == "cut_a" && r.Kind != "order.signed" || r.CutID == "" && r.CaseID == "case_a"
	})
	if _, err := evidence.Verify(raw, public(key("evidence"))); err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Verify(swapped, public(key("evidence"))); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("got %v", err)
	}
}

func TestOtherSpellingsOfALineAreRefused(t *testing.T) {
	l := sample(t)
	raw := string(l.export(l.scope(0), nil))
	cases := []struct{ name, old, new string }{
		{"an unknown field", `{"line":"record","seq":3`, `{"line":"record","more":1,"seq":3`},
		{"a repeated field", `{"line":"record","seq":3`, `{"line":"record","seq":3,"seq":3`},
		{"white space", `{"line":"record","seq":3`, `{"line":"record", "seq":3`},
		{"another case", `{"line":"record","seq":3`, `{"line":"record","Seq":3`},
		{"an escape", `lost <laptop>`, `lost \u003claptop>`},
		{"a null", `"seq":3,`, `"seq":3,"signed":null,`},
		{"another time zone", `03:00:02.123456Z`, `04:00:02.123456+01:00`},
		{"a second header", `{"line":"record","seq":3`, `{"line":"header","seq":3`},
		{"a carriage return", "\n", "\r\n"},
		{"padding bits", `"cutoff-evidence1.`, `"cutoff-evidence1.=`},
	}
	for _, c := range cases {
		changed := strings.Replace(raw, c.old, c.new, 1)
		if changed == raw {
			t.Fatalf("%s: %q is not in the export", c.name, c.old)
		}
		if _, err := evidence.Verify([]byte(changed), public(key("evidence"))); !errors.Is(err, evidence.ErrBroken) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestAKeyIsOneLineOfText(t *testing.T) {
	k := public(key("evidence"))
	text := evidence.FormatKey(k)
	got, err := evidence.ParseKey(" " + text + "\n")
	if err != nil || !got.Equal(k) {
		t.Errorf("got %x, %v", got, err)
	}
	for _, bad := range []string{"", "cutoff-evidence1.", text + "A", "cutoff-evidence2." + text[17:], text[:len(text)-1] + "!",
		"cutoff-evidence1." + base64.RawURLEncoding.EncodeToString(make([]byte, 31))} {
		if _, err := evidence.ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func TestAnEventIsNotLostToBadInput(t *testing.T) {
	r, err := evidence.Append(evidence.Head{}, evidence.Event{
		Kind: "device.enrolled", DeviceID: "dev_\xff", Fields: []evidence.Field{
			{Name: "hostname", Value: "a\xc3\x28b"}, {Name: "long", Value: strings.Repeat("é", evidence.MaxValue)},
		},
	}, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Follows(evidence.Head{}); err != nil {
		t.Error(err)
	}
	if len(r.Encoded) > evidence.MaxValue+200 {
		t.Errorf("a record of %d bytes", len(r.Encoded))
	}
	if _, err := evidence.Append(evidence.Head{}, evidence.Event{Actor: "alice"}, start); err == nil {
		t.Error("an event without a kind is a record")
	}
}

func TestARecordThatIsNotWhatWasWrittenIsNamed(t *testing.T) {
	l := sample(t)
	before, r := l.records[4].Head(), l.records[5]
	other := l.records[6]
	cases := []struct {
		name string
		r    evidence.Record
		want string
	}{
		{"as it was", r, ""},
		{"the next one", other, "record 6 is missing"},
		{"its bytes", evidence.Record{Seq: 6, At: r.At, Kind: r.Kind, CutID: r.CutID, Encoded: other.Encoded, Hash: r.Hash, Chain: r.Chain}, "record 6 was changed"},
		{"bytes and hash", evidence.Record{Seq: 6, At: r.At, Kind: r.Kind, CutID: r.CutID, Encoded: other.Encoded, Hash: other.Hash, Chain: r.Chain}, "record 6 does not continue"},
		{"its kind", evidence.Record{Seq: 6, At: r.At, Kind: "x", CutID: r.CutID, Encoded: r.Encoded, Hash: r.Hash, Chain: r.Chain}, "its columns differ"},
		{"its time", evidence.Record{Seq: 6, At: r.At.Add(1000), Kind: r.Kind, CutID: r.CutID, Encoded: r.Encoded, Hash: r.Hash, Chain: r.Chain}, "its columns differ"},
		{"its cut", evidence.Record{Seq: 6, At: r.At, Kind: r.Kind, CutID: "cut_a", Encoded: r.Encoded, Hash: r.Hash, Chain: r.Chain}, "its columns differ"},
	}
	for _, c := range cases {
		err := c.r.Follows(before)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.Is(err, evidence.ErrBroken) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestACheckpointIsDueOnlyAfterAWhileAndOnlyForNews(t *testing.T) {
	l := sample(t)
	head := l.head()
	last, err := evidence.Sign(domain, l.records[3].Head(), start, key("evidence"))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		last evidence.Checkpoint
		head evidence.Head
		now  time.Time
		want bool
	}{
		{"none yet", evidence.Checkpoint{}, head, start, true},
		{"none yet of an empty log", evidence.Checkpoint{}, evidence.Head{}, start, false},
		{"a moment later", last, head, start.Add(time.Second), false},
		{"a while later", last, head, start.Add(evidence.Interval), true},
		{"a while later without news", last, l.records[3].Head(), start.Add(time.Hour), false},
		{"after the clock was set back", last, head, start.Add(-time.Hour), true},
	}
	for _, c := range cases {
		if got := c.last.Due(c.head, c.now); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	l := sample(f)
	trusted := public(key("evidence"))
	good := l.export(l.scope(2), nil)
	f.Add(good)
	f.Add([]byte(`{"line":"header"}` + "\n" + `{"line":"closing","checkpoint":""}` + "\n"))
	f.Add([]byte("\n\n"))
	lines := bytes.SplitAfter(good, []byte("\n"))
	for i := range lines {
		f.Add(bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := evidence.Verify(raw, trusted)
		if err == nil && !bytes.Equal(raw, good) {
			t.Errorf("an export the key never signed holds:\n%s", raw)
		}
		if err != nil && !errors.Is(err, evidence.ErrBroken) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
