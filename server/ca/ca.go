// Package ca keeps the trust domain's keys and issues with them: device and
// server certificates, and the signed roster. It also keeps the vault of the
// keys that wrap escrows. All signing goes through crypto.Signer, so that keys
// in files can become keys in PKCS#11 or a KMS. It must not decide who gets
// anything.
package ca

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cutoff/server/flow"
)

// ErrKeys says that the key files are not what they must be. They are never
// made anew: a server with other keys is a stranger to its agents.
var ErrKeys = errors.New("key files")

var _ flow.Authority = (*Authority)(nil)

// Authority is one trust domain: its keys, its CA and its roster. Open makes one.
type Authority struct {
	domain      string
	root        crypto.Signer
	order       crypto.Signer
	lease       crypto.Signer
	evidence    crypto.Signer
	signer      crypto.Signer
	certificate *x509.Certificate
	data        *flow.LocalKey
	roster      []byte
	version     uint64
}

// Open loads the authority kept in dir/keys, and makes it if dir is a new
// server's. A second Open of the same dir changes nothing. Errors that need an
// operator wrap ErrKeys and name the file.
func Open(dir string, now time.Time) (*Authority, error) {
	keys := filepath.Join(dir, "keys")
	_, err := os.Lstat(keys)
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	default:
		if err := unused(dir); err != nil {
			return nil, err
		}
		if err := create(keys, now); err != nil {
			return nil, fmt.Errorf("make keys: %w", err)
		}
	}
	return load(keys)
}

// unused refuses a dir that holds a server's data but no keys: whoever lost
// them wants them back, not other ones.
func unused(dir string) error {
	for _, name := range []string{"cutoff.db", "escrow"} {
		_, err := os.Lstat(filepath.Join(dir, name))
		if err == nil {
			return fmt.Errorf("%w: %s has %s but no keys; restore the folder keys from its backup", ErrKeys, dir, name)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrKeys, err)
		}
	}
	return nil
}

// TrustDomain is the name under which devices and server know each other.
func (a *Authority) TrustDomain() string { return a.domain }

// Roster is the signed roster's envelope.
func (a *Authority) Roster() []byte { return a.roster }

// RosterVersion is the roster's number.
func (a *Authority) RosterVersion() uint64 { return a.version }

// RootKey is the raw public key that signed the roster.
func (a *Authority) RootKey() []byte { return rawKey(a.root) }

// Certificate is the CA's own, which clients of both listeners check against.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// DataKey encrypts secrets at rest.
func (a *Authority) DataKey() *flow.LocalKey { return a.data }

// Signers are the keys with which the server speaks to agents.
func (a *Authority) Signers() flow.Signers {
	return flow.Signers{Order: a.order, Lease: a.lease, Evidence: a.evidence}
}

func rawKey(signer crypto.Signer) []byte {
	public, _ := signer.Public().(ed25519.PublicKey) // load lets no other type in
	return public
}
