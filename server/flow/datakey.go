package flow

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// DataKey encrypts what the database must hold but may not give away. The key
// itself is kept outside the database (a file now, a KMS behind the same calls
// later).
type DataKey interface {
	// Seal encrypts plain; associated names the row it belongs to, so that it
	// opens nowhere else.
	Seal(plain []byte, associated string) ([]byte, error)
	Open(sealed []byte, associated string) ([]byte, error)
	// MAC authenticates data for one purpose.
	MAC(purpose string, data []byte) []byte
}

// LocalKey is a DataKey whose key this process holds. NewLocalKey makes one.
type LocalKey struct {
	seal [chacha20poly1305.KeySize]byte
	mac  [sha256.Size]byte
}

// DataKeySize is the length of a data key in bytes.
const DataKeySize = 32

// NewLocalKey derives the working keys from raw, DataKeySize random bytes.
func NewLocalKey(raw []byte) (*LocalKey, error) {
	if len(raw) != DataKeySize {
		return nil, fmt.Errorf("data key of %d bytes, want %d", len(raw), DataKeySize)
	}
	return &LocalKey{
		seal: [32]byte(derive(raw, "cutoff data key: seal")),
		mac:  [32]byte(derive(raw, "cutoff data key: mac")),
	}, nil
}

func derive(raw []byte, purpose string) []byte {
	h := hmac.New(sha256.New, raw)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// Seal is DataKey.Seal by XChaCha20-Poly1305 with a random nonce before the text.
func (k *LocalKey) Seal(plain []byte, associated string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.seal[:])
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // crypto/rand.Read never fails
	return aead.Seal(nonce, nonce, plain, []byte(associated)), nil
}

// Open is DataKey.Open.
func (k *LocalKey) Open(sealed []byte, associated string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.seal[:])
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("sealed value is too short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(associated))
	if err != nil {
		return nil, errors.New("sealed value does not open: another data key, or another row's")
	}
	return plain, nil
}

// MAC is DataKey.MAC by HMAC-SHA-256.
func (k *LocalKey) MAC(purpose string, data []byte) []byte {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(data)
	return h.Sum(nil)
}
