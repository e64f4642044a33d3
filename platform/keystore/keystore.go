// Package keystore keeps the device key: Ed25519, in a file only its owner can
// read, behind crypto.Signer, so that a TPM can take the file's place without
// the callers knowing. The private half never leaves it. It must not know what
// is signed.
package keystore

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Errors of Open.
var (
	// ErrExposed: others can read or write the file, or own it.
	ErrExposed = errors.New("key file is open to others")
	// ErrDamaged: the file does not hold one Ed25519 key.
	ErrDamaged = errors.New("key file is damaged")
)

// maxFile bounds a key file, in bytes.
const maxFile = 4096

const pemType = "PRIVATE KEY"

// Open returns the key kept in the file at path. The error is fs.ErrNotExist
// if there is none.
func Open(path string) (crypto.Signer, error) {
	key, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", path, err)
	}
	return key, nil
}

func read(path string) (ed25519.PrivateKey, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, ErrDamaged
	}
	if err := private(info); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != pemType || len(rest) > 0 {
		return nil, ErrDamaged
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, ErrDamaged
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, ErrDamaged
	}
	return key, nil
}

// Create makes a key and keeps it at path, durably; a file that is there stays
// and is fs.ErrExist.
func Create(path string) (crypto.Signer, error) {
	key, err := create(path)
	if err != nil {
		return nil, fmt.Errorf("create key %s: %w", path, err)
	}
	return key, nil
}

func create(path string) (crypto.Signer, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, fs.ErrExist)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeNew(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
}

// writeNew writes a whole file beside path and then links it in, so that a
// crash leaves either no key or a whole one.
func writeNew(path string, raw []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(raw)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
