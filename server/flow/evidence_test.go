package flow_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// sql changes the database behind the server's back.
func (h *harness) sql(statement string, args ...any) {
	h.t.Helper()
	if _, err := h.store.Store.Write().ExecContext(h.t.Context(), statement, args...); err != nil {
		h.t.Fatal(err)
	}
}

// fill records some events; it answers how many there are in the log.
func (h *harness) fill(names ...string) int64 {
	h.t.Helper()
	for _, name := range names {
		if _, err := h.CreateAPIKey(h.t.Context(), admin, name, "viewer", time.Hour); err != nil {
			h.t.Fatal(err)
		}
	}
	n, problem, err := h.CheckEvidence(h.t.Context())
	if err != nil || problem != "" {
		h.t.Fatalf("%d records, %q, %v", n, problem, err)
	}
	return n
}

func TestTheLogHoldsHoweverManyWriteAtOnce(t *testing.T) {
	h := newHarness(t)
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			if _, err := h.CreateAPIKey(t.Context(), admin, fmt.Sprintf("key-%d", i), "viewer", time.Hour); err != nil {
				t.Error(err)
			}
			// One that fails leaves no record.
			if _, err := h.CreateAPIKey(t.Context(), admin, fmt.Sprintf("key-%d", i), "viewer", time.Hour); !fault.Is(err, fault.Conflict) {
				t.Errorf("the same name again: %v", err)
			}
			undone := errors.New("undone")
			err := h.store.Update(t.Context(), func(tx flow.Tx) error {
				return errors.Join(h.Record(t.Context(), tx, evidence.Event{Kind: "undone"}), undone)
			})
			if !errors.Is(err, undone) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n, problem, err := h.CheckEvidence(t.Context())
	if n != 300 || problem != "" || err != nil {
		t.Errorf("got %d records, %q, %v; want 300", n, problem, err)
	}
}

func TestChangingAnyRowOfTheLogIsFoundAndNamed(t *testing.T) {
	cases := []struct {
		name      string
		statement string
		want      string
	}{
		{"a record's bytes", "UPDATE evidence SET record = CAST(record || x'00' AS BLOB) WHERE seq = 3", "record 3 was changed"},
		{"a record's kind", "UPDATE evidence SET kind = 'x' WHERE seq = 3", "record 3 was changed"},
		{"a record's time", "UPDATE evidence SET at = at + 1 WHERE seq = 3", "record 3 was changed"},
		{"a record's device", "UPDATE evidence SET device_id = 'dev_x' WHERE seq = 3", "record 3 was changed"},
		{"a record's cut", "UPDATE evidence SET cut_id = 'cut_x' WHERE seq = 3", "record 3 was changed"},
		{"a record's case", "UPDATE evidence SET case_id = 'case_x' WHERE seq = 3", "record 3 was changed"},
		{"a record's hash", "UPDATE evidence SET hash = zeroblob(32) WHERE seq = 3", "record 3 was changed"},
		{"a record's chain", "UPDATE evidence SET chain = zeroblob(32) WHERE seq = 3", "record 3 does not continue"},
		{"a record of the wrong type", "UPDATE evidence SET at = 'soon' WHERE seq = 3", "record 3 or one after it"},
		{"two records swapped", "UPDATE evidence SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4); UPDATE evidence SET seq = -seq WHERE seq < 0", "record 3 does not continue"},
		{"one removed", "DELETE FROM evidence WHERE seq = 3", "record 3 is missing"},
		{"the first removed", "DELETE FROM evidence WHERE seq = 1", "record 1 is missing"},
		{"the tail cut", "DELETE FROM evidence WHERE seq > 5", "record 6 is missing"},
		{"the last cut", "DELETE FROM evidence WHERE seq = 6", "record 6 is missing"},
		{"the tail and the note of the end cut", "DELETE FROM evidence WHERE seq > 5; DELETE FROM evidence_head", "record 6 may be missing"},
		{"the tail cut and the note of the end moved", "DELETE FROM evidence WHERE seq > 5; UPDATE evidence_head SET seq = 5, chain = (SELECT chain FROM evidence WHERE seq = 5)", "record 6 may be missing"},
		{"all removed", "DELETE FROM evidence; DELETE FROM evidence_head", "record 1 is missing: a checkpoint covers"},
		{"one added", "INSERT INTO evidence SELECT 7, at, kind, device_id, cut_id, case_id, record, hash, chain FROM evidence WHERE seq = 6", "record 7 does not continue"},
		{"one added far beyond the end", "INSERT INTO evidence SELECT 400, at, kind, device_id, cut_id, case_id, record, hash, chain FROM evidence WHERE seq = 6", "record 400 is there"},
		{"one added far beyond many batches", "INSERT INTO evidence SELECT 99999, at, kind, device_id, cut_id, case_id, record, hash, chain FROM evidence WHERE seq = 6", "or it was added outside the server"},
		{"everything removed", "DELETE FROM evidence; DELETE FROM evidence_head; DELETE FROM evidence_checkpoints", "record 1 is missing: the log is empty"},
		{"a checkpoint's bytes", "UPDATE evidence_checkpoints SET envelope = zeroblob(99)", "record 3 has a checkpoint that was changed"},
		{"a checkpoint's time", "UPDATE evidence_checkpoints SET at = at + 1", "record 3 has a checkpoint whose columns"},
		{"a checkpoint's chain", "UPDATE evidence_checkpoints SET chain = zeroblob(32)", "record 3 has a checkpoint whose columns"},
	}
	for _, c := range cases {
		h := newHarness(t)
		h.fill("a", "b", "c")
		if err := h.SignCheckpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.fill("d", "e", "f")
		for statement := range strings.SplitSeq(c.statement, "; ") {
			h.sql(statement)
		}
		n, problem, err := h.CheckEvidence(t.Context())
		if err != nil || !strings.Contains(problem, c.want) {
			t.Errorf("%s: got %d records, %q, %v; want %q", c.name, n, problem, err, c.want)
		}
	}
}

func TestRecordsBeyondTheEndNeitherStopWorkNorAreForgotten(t *testing.T) {
	for _, seq := range []int{7, 9, 400} {
		h := newHarness(t)
		h.fill("a", "b", "c", "d", "e", "f")
		h.sql(fmt.Sprintf("INSERT INTO evidence SELECT %d, at, kind, device_id, cut_id, case_id, record, hash, chain FROM evidence WHERE seq = 6", seq))
		for _, name := range []string{"g", "h"} {
			if _, err := h.CreateAPIKey(t.Context(), admin, name, "viewer", time.Hour); err != nil {
				t.Fatalf("at %d work stops: %v", seq, err)
			}
		}
		n, problem, err := h.CheckEvidence(t.Context())
		if n != 6 || err != nil || problem == "" {
			t.Errorf("at %d: got %d records, %q, %v", seq, n, problem, err)
		}
	}
}

// memoryMark is a mark that outlives the database.
type memoryMark struct{ envelope []byte }

func (m *memoryMark) Read() ([]byte, error)   { return m.envelope, nil }
func (m *memoryMark) Write(text []byte) error { m.envelope = text; return nil }

func TestALogThatFellBehindItsMarkIsFound(t *testing.T) {
	cases := []struct {
		name, statements, want string
	}{
		{"emptied, with all else", "DELETE FROM evidence; DELETE FROM evidence_head; DELETE FROM evidence_checkpoints; DELETE FROM api_keys", "had reached 3 (the mark"},
		{"another chain", "", "beside the database does not hold"},
	}
	for _, c := range cases {
		mark := &memoryMark{}
		h := newHarnessWith(t, func(_ *harness, config *flow.Config) { config.Mark = mark })
		h.fill("a", "b", "c")
		if err := h.MarkEvidence(t.Context()); err != nil || len(mark.envelope) == 0 {
			t.Fatalf("nothing noted: %v", err)
		}
		if c.statements == "" {
			mark.envelope = []byte("x")
		}
		for statement := range strings.SplitSeq(c.statements, "; ") {
			h.sql(statement)
		}
		_, problem, err := h.CheckEvidence(t.Context())
		if err != nil || !strings.Contains(problem, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.name, problem, err, c.want)
		}
		before := string(mark.envelope)
		for _, name := range []string{"d", "e", "f", "g"} {
			if _, err := h.CreateAPIKey(t.Context(), admin, name, "viewer", time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.MarkEvidence(t.Context()); err == nil || string(mark.envelope) != before {
			t.Errorf("%s: the mark moved on when the log grew again (%v)", c.name, err)
		}
		if _, problem, err := h.CheckEvidence(t.Context()); problem == "" || err != nil {
			t.Errorf("%s: forgotten once the log grew past its mark (%v)", c.name, err)
		}
	}
}

func TestACutTailIsNotForgottenWhenTheLogGrowsAgain(t *testing.T) {
	for _, head := range []string{
		"UPDATE evidence_head SET seq = 2, chain = (SELECT chain FROM evidence WHERE seq = 2)",
		"DELETE FROM evidence_head",
	} {
		h := newHarness(t)
		h.fill("a", "b", "c", "d")
		h.sql("DELETE FROM evidence WHERE seq > 2")
		h.sql(head)
		if _, err := h.CreateAPIKey(t.Context(), admin, "e", "viewer", time.Hour); err != nil {
			t.Fatalf("work stops: %v", err)
		}
		_, problem, err := h.CheckEvidence(t.Context())
		if err != nil || !strings.Contains(problem, "record 2 was the newest when the log's end was changed outside the server") {
			t.Errorf("got %q, %v", problem, err)
		}
	}
}

func TestCheckWalksALogOfManyBatches(t *testing.T) {
	h := newHarness(t)
	names := make([]string, 600)
	for i := range names {
		names[i] = fmt.Sprintf("key-%d", i)
	}
	if n := h.fill(names[:300]...); n != 300 {
		t.Fatalf("%d records", n)
	}
	if err := h.SignCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.fill(names[300:]...); n != 600 {
		t.Errorf("got %d records, want 600", n)
	}
	h.sql("UPDATE evidence SET kind = 'x' WHERE seq = 513")
	if n, problem, _ := h.CheckEvidence(t.Context()); n != 512 || !strings.Contains(problem, "record 513 was changed") {
		t.Errorf("got %d, %q", n, problem)
	}
}

func TestLeasesCarryTheNewestCheckpoint(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	first, _ := h.lease(l.peer(t))
	got := h.checkpoint(first)
	if got.Head.Seq == 0 {
		t.Fatal("a checkpoint of nothing")
	}
	h.fill("a", "b")
	again, _ := h.lease(l.peer(t))
	if h.checkpoint(again).Head != got.Head {
		t.Error("a new checkpoint a moment later")
	}
	h.advance(evidence.Interval)
	later, _ := h.lease(l.peer(t))
	if h.checkpoint(later).Head.Seq < got.Head.Seq+2 {
		t.Errorf("seconds later the checkpoint is still of record %d", h.checkpoint(later).Head.Seq)
	}
}

func (h *harness) checkpoint(lease *cutoffv1.Lease) evidence.Checkpoint {
	h.t.Helper()
	c, domain, err := evidence.OpenCheckpoint(lease.GetCheckpoint(), keysOf(h.t, h.authority.Signers().Evidence.Public().(ed25519.PublicKey)))
	if err != nil || domain != h.authority.TrustDomain() {
		h.t.Fatalf("checkpoint of %s: %v", domain, err)
	}
	return c
}

// openCut puts down a cut of the device as flow.Open leaves it, for what reads it.
func (h *harness) openCut(id, caseID, deviceID string) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error {
		return tx.InsertCut(h.t.Context(), cut.Cut{
			ID: id, CaseID: caseID, DeviceID: deviceID, Level: cut.Seal, State: cut.Open, Cause: cut.Operator,
			Reason: "lost", Actor: "alice", OpenedAt: h.Now(),
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestACutsEvidenceIsExportedAndVerifiedWithoutTheServer(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	h.fill("a", "b")
	h.openCut("cut_x", "case_x", l.DeviceID)
	event := evidence.Event{Kind: "cut.opened", Actor: "alice", DeviceID: l.DeviceID, CutID: "cut_x", CaseID: "case_x"}
	h.recordEvent(event)
	h.fill("c")
	event.Kind = "step.result"
	h.recordEvent(event)
	key, err := evidence.ParseKey(h.EvidenceKey())
	if err != nil {
		t.Fatal(err)
	}
	for round, want := range []int{2, 3} {
		raw, err := h.ExportEvidence(t.Context(), admin, "cut_x")
		if err != nil {
			t.Fatal(err)
		}
		got, err := evidence.Verify(raw, key)
		if err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, raw)
		}
		// The second export also shows that there was a first.
		if got.Records != want || got.CutID != "cut_x" || got.TrustDomain != h.authority.TrustDomain() {
			t.Errorf("round %d: got %+v, want %d records", round, got, want)
		}
		if strings.Contains(string(raw), `"api-key.created"`) {
			t.Error("the export shows what is none of the cut's")
		}
		h.fill("d" + fmt.Sprint(round))
	}
	if _, err := h.ExportEvidence(t.Context(), admin, "cut_none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a cut that is not there: %v", err)
	}
}

func TestAnExportBeginsAtTheLastCheckpointBeforeTheCut(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	n := h.fill("a", "b", "c")
	if err := h.SignCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.fill("d")
	h.openCut("cut_x", "case_x", l.DeviceID)
	h.recordEvent(evidence.Event{Kind: "cut.opened", CutID: "cut_x", CaseID: "case_x"})
	raw, err := h.ExportEvidence(t.Context(), admin, "cut_x")
	if err != nil {
		t.Fatal(err)
	}
	key, _ := evidence.ParseKey(h.EvidenceKey())
	got, err := evidence.Verify(raw, key)
	if err != nil || got.First != uint64(n)+1 || got.Records != 1 {
		t.Errorf("got %+v, %v; want it to begin at record %d", got, err, n+1)
	}
}

func TestABrokenLogIsNotExported(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	h.openCut("cut_x", "case_x", l.DeviceID)
	h.recordEvent(evidence.Event{Kind: "cut.opened", CutID: "cut_x", CaseID: "case_x"})
	h.fill("a", "b")
	h.sql("UPDATE evidence SET kind = 'x' WHERE kind = 'cut.opened'")
	if _, err := h.ExportEvidence(t.Context(), admin, "cut_x"); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want a conflict", err)
	}
}

func TestShuttingDownSignsTheLogsEndOnce(t *testing.T) {
	h := newHarness(t)
	count := func() (n int) {
		err := h.store.View(t.Context(), func(tx flow.Tx) error {
			all, err := tx.Checkpoints(t.Context(), 0, 100)
			n = len(all)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 {
		if err := h.SignCheckpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if count() != 0 {
		t.Error("an empty log has a checkpoint")
	}
	h.fill("a")
	for range 2 {
		if err := h.SignCheckpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if count() != 1 {
		t.Errorf("got %d checkpoints, want 1", count())
	}
}

func TestOldCheckpointsAreThinnedToOneAnHour(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("alice-laptop")
	count := 0
	for range 3 * 24 * 2 {
		h.advance(30 * time.Minute)
		h.recordEvent(evidence.Event{Kind: "test", Actor: "test"})
		h.lease(l.peer(t))
		count++
	}
	var all []evidence.Checkpoint
	err := h.store.View(t.Context(), func(tx flow.Tx) (err error) {
		all, err = tx.Checkpoints(t.Context(), 0, 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	old := map[time.Time]int{}
	recent := 0
	for _, c := range all {
		if c.At.Before(h.Now().Add(-25 * time.Hour)) {
			old[c.At.Truncate(time.Hour)]++
			continue
		}
		recent++
	}
	for hour, n := range old {
		if n != 1 {
			t.Errorf("%d checkpoints of %s are kept", n, hour)
		}
	}
	if len(old) < 46 || recent < 48 {
		t.Errorf("of %d checkpoints, %d old and %d recent ones are left", count, len(old), recent)
	}
	if _, problem, err := h.CheckEvidence(t.Context()); problem != "" || err != nil {
		t.Errorf("got %q, %v", problem, err)
	}
}

func BenchmarkRecord(b *testing.B) {
	h := newHarness(b)
	event := evidence.Event{Kind: "receipt.stored", Actor: "dev_1", DeviceID: "dev_1", CutID: "cut_1", CaseID: "case_1", Signed: make([]byte, 4096)}
	// Statements are prepared between transactions.
	for range 3 {
		h.recordEvent(event)
	}
	b.ReportAllocs()
	err := h.store.Update(b.Context(), func(tx flow.Tx) error {
		for b.Loop() {
			if err := h.Record(b.Context(), tx, event); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
