package ca_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cutoff/server/ca"
	"cutoff/server/flow"
)

func openVault(t *testing.T, dir string) *ca.Vault {
	t.Helper()
	v, err := ca.OpenVault(dir)
	must(t, err)
	return v
}

func TestTheVaultUnwrapsWhatItWrapped(t *testing.T) {
	dir := t.TempDir()
	wrapped, err := openVault(t, dir).Wrap("esc_a", []byte("private half"))
	must(t, err)
	got, err := openVault(t, dir).Unwrap("esc_a", wrapped)
	must(t, err)
	if string(got) != "private half" {
		t.Fatalf("got %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, "escrow", "esc_a"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("wrapping key has mode %v", info.Mode())
	}
}

func TestTheVaultOpensNothingWithAnotherKey(t *testing.T) {
	v := openVault(t, t.TempDir())
	a, err := v.Wrap("esc_a", []byte("private half"))
	must(t, err)
	_, err = v.Wrap("esc_b", []byte("another"))
	must(t, err)
	if _, err := v.Unwrap("esc_b", a); err == nil {
		t.Fatal("one escrow opened with another's key")
	}
	a[len(a)-1] ^= 1
	if _, err := v.Unwrap("esc_a", a); err == nil {
		t.Fatal("a changed escrow opened")
	}
	if _, err := v.Unwrap("esc_a", nil); err == nil {
		t.Fatal("nothing opened")
	}
	if _, err := v.Wrap("esc_a", []byte("again")); err == nil {
		t.Fatal("a wrapping key was drawn twice")
	}
}

func TestShreddingIsForGoodEvenAfterARestore(t *testing.T) {
	dir := t.TempDir()
	v := openVault(t, dir)
	wrapped, err := v.Wrap("esc_a", []byte("private half"))
	must(t, err)
	path := filepath.Join(dir, "escrow", "esc_a")
	backup, err := os.ReadFile(path)
	must(t, err)
	must(t, v.Shred("esc_a"))
	must(t, v.Shred("esc_a"))
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the key is still there: %v", err)
	}
	if _, err := v.Unwrap("esc_a", wrapped); !errors.Is(err, flow.ErrShredded) {
		t.Fatalf("got %v", err)
	}
	must(t, os.WriteFile(path, backup, 0o600))
	if _, err := v.Unwrap("esc_a", wrapped); !errors.Is(err, flow.ErrShredded) {
		t.Fatalf("a restored key opens again: %v", err)
	}
	openVault(t, dir)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a restored key survived the next start: %v", err)
	}
}

func TestTheVaultTakesOnlyPlainNames(t *testing.T) {
	v := openVault(t, t.TempDir())
	for _, id := range []string{"", "..", "../keys/root.key", "a/b", "esc_a.shredded", "ESC"} {
		if _, err := v.Wrap(id, []byte("x")); err == nil {
			t.Errorf("%q was taken", id)
		}
		if err := v.Shred(id); err == nil {
			t.Errorf("%q was shredded", id)
		}
	}
}
