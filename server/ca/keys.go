package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"cutoff/server/flow"
)

// Names in the folder of keys.
const (
	rootFile     = "root.key"
	orderFile    = "order.key"
	leaseFile    = "lease.key"
	evidenceFile = "evidence.key"
	dataFile     = "data.key"
	caKeyFile    = "ca.key"
	caFile       = "ca.crt"
	trustFile    = "trust.json"
	rosterFile   = "roster"
)

// PEM types.
const (
	privatePEM     = "PRIVATE KEY"
	certificatePEM = "CERTIFICATE"
	dataPEM        = "CUTOFF DATA KEY"
	rosterPEM      = "CUTOFF ROSTER"
)

// maxFile bounds any file of the folder.
const maxFile = 64 << 10

// trust is what trust.json holds.
type trust struct {
	Domain string `json:"trust_domain"`
}

// create makes every file in a folder beside keys and renames it: there is no
// moment at which keys exists and is not whole.
func create(keys string, now time.Time) error {
	building := keys + ".new"
	// Left by a start that was killed: never used by anybody.
	if err := os.RemoveAll(building); err != nil {
		return err
	}
	if err := os.MkdirAll(building, 0o700); err != nil {
		return err
	}
	a := &Authority{domain: newDomain()}
	for name, into := range map[string]*crypto.Signer{
		rootFile: &a.root, orderFile: &a.order, leaseFile: &a.lease, evidenceFile: &a.evidence,
	} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		*into = key
		if err := writeKey(filepath.Join(building, name), key); err != nil {
			return err
		}
	}
	if err := a.createCA(building, now); err != nil {
		return err
	}
	data := make([]byte, flow.DataKeySize)
	_, _ = rand.Read(data) // crypto/rand.Read never fails
	if err := writePEM(filepath.Join(building, dataFile), dataPEM, data); err != nil {
		return err
	}
	text, err := json.Marshal(trust{Domain: a.domain})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(building, trustFile), append(text, '\n')); err != nil {
		return err
	}
	roster, err := a.signRoster(1, now)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(building, rosterFile), rosterPEM, roster); err != nil {
		return err
	}
	if err := syncDir(building); err != nil {
		return err
	}
	if err := os.Rename(building, keys); err != nil {
		return err
	}
	return syncDir(filepath.Dir(keys))
}

func (a *Authority) createCA(dir string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	a.signer = key
	if err := writeKey(filepath.Join(dir, caKeyFile), key); err != nil {
		return err
	}
	if a.certificate, err = selfSign(a.domain, key, now); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, caFile), certificatePEM, a.certificate.Raw)
}

// newDomain draws a name that no other server has.
func newDomain() string {
	raw := make([]byte, 6)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return "cutoff-" + hex.EncodeToString(raw)
}

func load(dir string) (*Authority, error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	a := &Authority{}
	for _, k := range []struct {
		name string
		into *crypto.Signer
	}{{rootFile, &a.root}, {orderFile, &a.order}, {leaseFile, &a.lease}, {evidenceFile, &a.evidence}} {
		key, err := readKey[ed25519.PrivateKey](filepath.Join(dir, k.name))
		if err != nil {
			return nil, err
		}
		*k.into = key
	}
	var err error
	if a.data, err = readData(filepath.Join(dir, dataFile)); err != nil {
		return nil, err
	}
	if a.domain, err = readTrust(filepath.Join(dir, trustFile)); err != nil {
		return nil, err
	}
	if err := a.loadCA(dir); err != nil {
		return nil, err
	}
	return a, a.loadRoster(filepath.Join(dir, rosterFile))
}

func (a *Authority) loadCA(dir string) error {
	key, err := readKey[*ecdsa.PrivateKey](filepath.Join(dir, caKeyFile))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, caFile)
	der, err := readPEM(path, certificatePEM)
	if err != nil {
		return err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return damaged(path, "is not a certificate")
	}
	if !key.PublicKey.Equal(a.certificate.PublicKey) {
		return damaged(path, "is not of the key in "+caKeyFile)
	}
	a.signer = key
	return nil
}

func readKey[K crypto.Signer](path string) (K, error) {
	var none K
	der, err := readPEM(path, privatePEM)
	if err != nil {
		return none, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return none, damaged(path, "is not a private key")
	}
	key, ok := parsed.(K)
	if !ok {
		return none, damaged(path, fmt.Sprintf("holds a %T", parsed))
	}
	return key, nil
}

func readData(path string) (*flow.LocalKey, error) {
	raw, err := readPEM(path, dataPEM)
	if err != nil {
		return nil, err
	}
	key, err := flow.NewLocalKey(raw)
	if err != nil {
		return nil, damaged(path, err.Error())
	}
	return key, nil
}

func readTrust(path string) (string, error) {
	text, err := readFile(path)
	if err != nil {
		return "", err
	}
	var t trust
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil || t.Domain == "" {
		return "", damaged(path, "does not name a trust domain")
	}
	return t.Domain, nil
}

func damaged(path, what string) error {
	return fmt.Errorf("%w: %s %s; restore it from its backup", ErrKeys, path, what)
}

// private refuses a file or folder that others on the machine may read.
func private(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return damaged(path, "is missing")
	case err != nil:
		return fmt.Errorf("%w: %w", ErrKeys, err)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%w: %s has mode %#o, so others on this machine may read it; chmod go= it",
			ErrKeys, path, info.Mode().Perm())
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	case len(text) == 0:
		return nil, damaged(path, "is empty")
	case len(text) > maxFile:
		return nil, damaged(path, "is too long")
	}
	return text, nil
}

// readPEM reads a file of exactly one block of kind.
func readPEM(path, kind string) ([]byte, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(rest) != 0 {
		return nil, damaged(path, "is not one whole "+kind)
	}
	return block.Bytes, nil
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, privatePEM, der)
}

func writePEM(path, kind string, raw []byte) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}

// writeFile makes a new file, durable when it returns (its name is once the
// folder is synced).
func writeFile(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
