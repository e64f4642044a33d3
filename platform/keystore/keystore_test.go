package keystore_test

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"cutoff/platform/keystore"
)

func TestAKeyIsTheSameWhenOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	made, err := keystore.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := keystore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("text")
	sig, err := opened.Sign(nil, text, crypto.Hash(0))
	if err != nil || !ed25519.Verify(made.Public().(ed25519.PublicKey), text, sig) {
		t.Fatalf("signature of the opened key does not verify with the made one: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file has mode %v, %v", info.Mode(), err)
	}
}

func TestASecondCreateLeavesTheKeyAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	if _, err := keystore.Create(path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := keystore.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
	after, _ := os.ReadFile(path)
	if string(before) != string(after) {
		t.Fatal("the key was changed")
	}
}

func TestAKeyOpenToOthersIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o666} {
		path := filepath.Join(t.TempDir(), "device.key")
		if _, err := keystore.Create(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keystore.Open(path); !errors.Is(err, keystore.ErrExposed) {
			t.Errorf("mode %v: got %v, want ErrExposed", mode, err)
		}
	}
}

func TestAKeyOfAnotherOwnerIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "device.key")
	if _, err := keystore.Create(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.Open(path); !errors.Is(err, keystore.ErrExposed) {
		t.Errorf("got %v, want ErrExposed", err)
	}
}

func TestADamagedKeyIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	for _, text := range []string{"", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keystore.Open(path); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%q: got %v, want ErrDamaged", text, err)
		}
	}
	if _, err := keystore.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
