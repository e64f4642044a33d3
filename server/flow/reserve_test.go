package flow_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cutoff/server/flow"
)

func TestEachDeviceHasAReservationOfItsOwnWithItsKeyInTheVault(t *testing.T) {
	h := newHarness(t)
	a, b := h.view(h.enrol("a").DeviceID), h.view(h.enrol("b").DeviceID)
	if a.ReservedCut == b.ReservedCut || a.Recipient == b.Recipient || a.Escrow == b.Escrow {
		t.Fatal("two devices share a reservation")
	}
	err := h.store.View(t.Context(), func(tx flow.Tx) error {
		e, err := tx.EscrowOfCut(t.Context(), a.ReservedCut)
		if err != nil {
			return err
		}
		if e.ID != a.Escrow || e.DeviceID != a.ID || e.Recipient != a.Recipient || e.Shredded() {
			t.Errorf("escrow %+v", e)
		}
		_, err = h.vault.Unwrap(e.ID, e.Wrapped)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAShreddedEscrowIsShreddedAgainAtTheNextStart(t *testing.T) {
	h := newHarness(t)
	d := h.view(h.enrol("shredded").DeviceID)
	// As if the server was killed after the commit, before the file was gone.
	err := h.store.Update(t.Context(), func(tx flow.Tx) error { return tx.ShredEscrow(t.Context(), d.Escrow, h.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(h.dir, "escrow", d.Escrow)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.ReapplyShredding(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the wrapping key is still there: %v", err)
	}
}
