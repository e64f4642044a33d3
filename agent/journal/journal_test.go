package journal_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"cutoff/agent/journal"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

const (
	seal    = cutoffv1.OrderKind_ORDER_KIND_SEAL
	purging = cutoffv1.OrderKind_ORDER_KIND_PURGE
	lift    = cutoffv1.OrderKind_ORDER_KIND_LIFT
)

// signer makes verified orders as a server would: there is no other way.
type signer struct {
	t         testing.TB
	key       ed25519.PrivateKey
	keys      signed.Keys
	recipient string
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	escrow, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signed.NewKeys(key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t: t, key: key, keys: keys, recipient: escrow.Recipient().String()}
}

func (s *signer) state() order.State {
	return order.State{DeviceID: "dev_1", OrderKeys: s.keys, LeaseKeys: s.keys, Challenges: &order.Challenges{},
		Now: order.Moment{Boot: time.Minute, BootID: "boot", Wall: time.Unix(1_800_000_000, 0)}}
}

func (s *signer) order(kind cutoffv1.OrderKind, cutID string, number uint64) order.Verified {
	s.t.Helper()
	state := s.state()
	challenge, err := state.Challenges.Draw(state.Now.Boot)
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := signed.Seal(signed.TypeOrder, &cutoffv1.Order{
		OrderId: fmt.Sprintf("ord_%d", number), CutId: cutID, DeviceId: "dev_1", Kind: kind, Number: number,
		Challenge: challenge, EscrowRecipient: s.recipient,
	}, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := order.Open(raw, state)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *signer) expiry(cutID string) order.Verified {
	s.t.Helper()
	raw, err := signed.Seal(signed.TypeGrant, &cutoffv1.StandingGrant{DeviceId: "dev_1", CutId: cutID, EscrowRecipient: s.recipient}, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := order.Expired(nil, raw, s.state(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func open(t testing.TB, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func item(id, detail string) *cutoffv1.Item { return &cutoffv1.Item{Id: id, Detail: detail} }

func TestOnlyACheckedOrderMakesAWarrant(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	if w, err := j.Begin(order.Verified{}); !errors.Is(err, journal.ErrUnverified) || w.Valid() {
		t.Errorf("got %v", err)
	}
	var zero journal.Warrant
	if zero.Valid() || !errors.Is(zero.Note(item("a", "")), journal.ErrUnverified) || len(zero.Noted()) != 0 {
		t.Error("the zero warrant allows something")
	}
	if err := j.Finish(&zero, []byte("receipt")); !errors.Is(err, journal.ErrUnverified) {
		t.Errorf("finish of the zero warrant: %v", err)
	}
	if all, err := j.Resume(); err != nil || len(all) != 0 {
		t.Errorf("resume: %d, %v", len(all), err)
	}
}

func TestAnOrderNumberIsAcceptedOnceEvenAfterARestart(t *testing.T) {
	s, path := newSigner(t), filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	if _, err := j.Begin(s.order(seal, "cut_1", 7)); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	j = open(t, path)
	for _, number := range []uint64{6, 7} {
		if _, err := j.Begin(s.order(seal, "cut_2", number)); !errors.Is(err, journal.ErrReplayed) {
			t.Errorf("number %d: %v", number, err)
		}
	}
	if highest, _, err := j.Numbers(); err != nil || highest != 7 {
		t.Errorf("highest %d, %v", highest, err)
	}
}

func TestWhatOneCutGoesThrough(t *testing.T) {
	s := newSigner(t)
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	begin := func(kind cutoffv1.OrderKind, number uint64, finished bool) *journal.Warrant {
		t.Helper()
		w, err := j.Begin(s.order(kind, "cut_1", number))
		if err != nil {
			t.Fatal(err)
		}
		if w.Finished() != finished || w.Part() != 0 || w.OrderNumber() != number {
			t.Fatalf("order %d: finished %v, part %d", number, w.Finished(), w.Part())
		}
		return w
	}
	finish := func(w *journal.Warrant) {
		t.Helper()
		if err := j.Finish(w, []byte("receipt")); err != nil {
			t.Fatal(err)
		}
	}
	w := begin(seal, 1, false)
	if err := w.Note(item("a", "sealed")); err != nil {
		t.Fatal(err)
	}
	finish(w)
	finish(w) // a sweep
	if w.Part() != 2 {
		t.Errorf("part %d after two receipts", w.Part())
	}
	finish(begin(seal, 2, true)) // the same cut again
	expiry, err := j.Begin(s.expiry("cut_1"))
	if err != nil || !expiry.Finished() || expiry.OrderNumber() != 2 {
		t.Errorf("an expiry while the cut stands: %v", err)
	}
	lifting := begin(lift, 3, false)
	if lifting.Noted()["a"].GetDetail() != "sealed" {
		t.Error("the lift does not know what the seal did")
	}
	finish(begin(seal, 4, false)) // cut again during the lift
	if err := j.Finish(lifting, []byte("receipt")); !errors.Is(err, journal.ErrSuperseded) {
		t.Errorf("finish of the superseded lift: %v", err)
	}
	finish(begin(purging, 5, false)) // escalation
	w = begin(seal, 6, true)         // a seal of what is purged
	if w.Kind() != purging {
		t.Errorf("a seal after a purge is a %v", w.Kind())
	}
	finish(begin(lift, 7, false))
	if all, err := j.Resume(); err != nil || len(all) != 0 {
		t.Errorf("a lifted cut is resumed: %d, %v", len(all), err)
	}
	begin(lift, 8, false) // a lift asked for again looks again
}

func TestReceiptsAreKeptUntilAcknowledged(t *testing.T) {
	s, path := newSigner(t), filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	w, err := j.Begin(s.order(seal, "cut_1", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, receipt := range []string{"one", "two"} {
		if err := j.Finish(w, []byte(receipt)); err != nil {
			t.Fatal(err)
		}
	}
	_ = j.Close()
	j = open(t, path)
	left, err := j.Unacknowledged()
	if err != nil || len(left) != 2 || string(left[0]) != "one" || string(left[1]) != "two" {
		t.Fatalf("got %q, %v", left, err)
	}
	for range 2 { // an acknowledgement may come twice
		if err := j.Acknowledge("cut_1", "ord_1", 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Acknowledge("cut_1", "ord_2", 1); err != nil {
		t.Fatal(err)
	}
	if left, err := j.Unacknowledged(); err != nil || len(left) != 1 || !bytes.Equal(left[0], []byte("two")) {
		t.Errorf("got %q, %v", left, err)
	}
}

func TestALiftLeavesTheDeviceWithItsGrantInPlaceOfALease(t *testing.T) {
	s := newSigner(t)
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	want := func(holds journal.Holding) {
		t.Helper()
		if got, err := j.Holds(); err != nil || got != holds {
			t.Errorf("holds %v, %v; want %v", got, err, holds)
		}
	}
	want(journal.Nothing)
	if err := j.HoldGrant(); err != nil {
		t.Fatal(err)
	}
	want(journal.Grant)
	if err := j.AcceptLease(9); err != nil {
		t.Fatal(err)
	}
	want(journal.Lease)
	w, err := j.Begin(s.order(lift, "cut_1", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Finish(w, []byte("receipt")); err != nil {
		t.Fatal(err)
	}
	want(journal.Grant)
	if _, lease, err := j.Numbers(); err != nil || lease != 9 {
		t.Errorf("highest lease %d, %v", lease, err)
	}
}

func TestTheJournalIsPrivateExclusiveAndNotGuessedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if running, err := journal.Running(path); err != nil || !running {
		t.Errorf("running %v, %v", running, err)
	}
	if _, err := journal.Open(path); !errors.Is(err, journal.ErrInUse) {
		t.Errorf("a second agent: %v", err)
	}
	_ = j.Close()
	if running, err := journal.Running(path); err != nil || running {
		t.Errorf("running %v, %v after the end", running, err)
	}
	garbage := filepath.Join(t.TempDir(), "journal.db")
	text := bytes.Repeat([]byte("garbage "), 4096)
	if err := os.WriteFile(garbage, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(garbage); err == nil {
		t.Error("garbage was opened")
	}
	if after, _ := os.ReadFile(garbage); !bytes.Equal(after, text) {
		t.Error("garbage was overwritten: nothing may be lost")
	}
}

func TestAJournalThatWasCutShortIsAnErrorAndNoCrash(t *testing.T) {
	s, path := newSigner(t), filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	for n := range uint64(50) {
		w, err := j.Begin(s.order(seal, fmt.Sprintf("cut_%d", n), n+1))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Finish(w, bytes.Repeat([]byte("r"), 4096)); err != nil {
			t.Fatal(err)
		}
	}
	_ = j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100, 4096, 8192, 20000, len(whole) / 4, len(whole) / 2} {
		short := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(short, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err := journal.Open(short); err == nil {
			_ = j.Close()
			t.Errorf("opened with %d of %d bytes", size, len(whole))
		}
	}
}
