package ca

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"cutoff/server/flow"
)

var _ flow.EscrowVault = (*Vault)(nil)

// shreddedSuffix marks the tombstone of a wrapping key.
const shreddedSuffix = ".shredded"

// Vault keeps the keys that wrap escrows, one file each, apart from the
// database and its backups: deleting a file ends every copy of what it wraps.
type Vault struct {
	dir string
}

// OpenVault opens dir/escrow and makes it if needed. A key that was shredded
// and came back with a restore is deleted again.
func OpenVault(dir string) (*Vault, error) {
	v := &Vault{dir: filepath.Join(dir, "escrow")}
	if err := os.Mkdir(v.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make escrow vault: %w", err)
	}
	if err := private(v.dir); err != nil {
		return nil, err
	}
	tombstones, err := filepath.Glob(filepath.Join(v.dir, "*"+shreddedSuffix))
	if err != nil {
		return nil, fmt.Errorf("read escrow vault: %w", err)
	}
	for _, path := range tombstones {
		if err := v.remove(strings.TrimSuffix(filepath.Base(path), shreddedSuffix)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Wrap draws the wrapping key of id, makes it durable and wraps private.
func (v *Vault) Wrap(id string, private []byte) ([]byte, error) {
	path, err := v.path(id)
	if err != nil {
		return nil, err
	}
	key := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(key) // crypto/rand.Read never fails
	if err := writeFile(path, key); err != nil {
		return nil, fmt.Errorf("write wrapping key: %w", err)
	}
	if err := syncDir(v.dir); err != nil {
		return nil, fmt.Errorf("write wrapping key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(private)+aead.Overhead())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, private, []byte(id)), nil
}

// Unwrap is the reverse of Wrap.
func (v *Vault) Unwrap(id string, wrapped []byte) ([]byte, error) {
	path, err := v.path(id)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path + shreddedSuffix); err == nil {
		return nil, flow.ErrShredded
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read wrapping key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("wrapping key of %s is damaged; restore it from its backup", id)
	}
	if len(wrapped) < aead.NonceSize() {
		return nil, fmt.Errorf("escrow %s is damaged", id)
	}
	private, err := aead.Open(nil, wrapped[:aead.NonceSize()], wrapped[aead.NonceSize():], []byte(id))
	if err != nil {
		return nil, fmt.Errorf("escrow %s does not open with its wrapping key", id)
	}
	return private, nil
}

// Shred writes the tombstone and deletes the key, in this order: after a crash
// between them the next OpenVault deletes it.
func (v *Vault) Shred(id string) error {
	path, err := v.path(id)
	if err != nil {
		return err
	}
	switch err := writeFile(path+shreddedSuffix, nil); {
	case errors.Is(err, os.ErrExist):
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	case err != nil:
		return fmt.Errorf("write tombstone: %w", err)
	}
	if err := syncDir(v.dir); err != nil {
		return fmt.Errorf("write tombstone: %w", err)
	}
	return v.remove(id)
}

func (v *Vault) remove(id string) error {
	path, err := v.path(id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete wrapping key: %w", err)
	}
	return syncDir(v.dir)
}

// path refuses an id that is not a plain name.
func (v *Vault) path(id string) (string, error) {
	if id == "" || len(id) > 64 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "", fmt.Errorf("%.80q is not the id of an escrow", id)
	}
	return filepath.Join(v.dir, id), nil
}
