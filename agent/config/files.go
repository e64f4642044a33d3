package config

import (
	"errors"
	"io/fs"
	"os"
)

// maxSigned bounds a signed file and the certificate, in bytes.
const maxSigned = 1 << 20

// Certificate returns the certificate chain in PEM, leaf first.
func (d Dir) Certificate() ([]byte, error) { return d.ReadFile(fileCertificate, maxSigned) }

// KeepCertificate replaces it.
func (d Dir) KeepCertificate(pem []byte) error { return d.WriteFile(fileCertificate, pem) }

// Roster returns the newest roster's envelope.
func (d Dir) Roster() ([]byte, error) { return d.ReadFile(fileRoster, maxSigned) }

// KeepRoster replaces it.
func (d Dir) KeepRoster(envelope []byte) error { return d.WriteFile(fileRoster, envelope) }

// Lease returns the lease's envelope; fs.ErrNotExist if there is none.
func (d Dir) Lease() ([]byte, error) { return d.ReadFile(fileLease, maxSigned) }

// KeepLease replaces it.
func (d Dir) KeepLease(envelope []byte) error { return d.WriteFile(fileLease, envelope) }

// DropLease forgets the lease and its mark.
func (d Dir) DropLease() error {
	for _, name := range []string{fileLease, fileMarkA, fileMarkB} {
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Grants returns the readable copies of the standing grant, at most two.
func (d Dir) Grants() [][]byte {
	var all [][]byte
	for _, name := range []string{fileGrantA, fileGrantB} {
		if raw, err := d.ReadFile(name, maxSigned); err == nil {
			all = append(all, raw)
		}
	}
	return all
}

// KeepGrant replaces both copies, one after the other.
func (d Dir) KeepGrant(envelope []byte) error {
	if err := d.WriteFile(fileGrantA, envelope); err != nil {
		return err
	}
	return d.WriteFile(fileGrantB, envelope)
}

// Catalogues returns the readable copies of the catalogue's envelope, at most
// two.
func (d Dir) Catalogues() [][]byte {
	var all [][]byte
	for _, name := range []string{fileCatalogueA, fileCatalogueB} {
		if raw, err := d.ReadFile(name, maxSigned); err == nil {
			all = append(all, raw)
		}
	}
	return all
}

// KeepCatalogue replaces both copies, one after the other: a crash between the
// two leaves a whole new one and a whole old one.
func (d Dir) KeepCatalogue(envelope []byte) error {
	if err := d.WriteFile(fileCatalogueA, envelope); err != nil {
		return err
	}
	return d.WriteFile(fileCatalogueB, envelope)
}

// Status returns what the running agent last said of itself.
func (d Dir) Status() ([]byte, error) { return d.ReadFile(fileStatus, maxSigned) }

// KeepStatus replaces it; it is for people, so nothing waits for the disk.
func (d Dir) KeepStatus(status []byte) error { return d.replace(fileStatus, status, false) }

// maxAnswer bounds the answer to a lift by file, in bytes.
const maxAnswer = 8 << 20

// LiftAnswer returns the answer to a lift by file; fs.ErrNotExist if there is
// none.
func (d Dir) LiftAnswer() ([]byte, error) { return d.ReadFile(fileLiftAnswer, maxAnswer) }

// KeepLiftAnswer replaces it.
func (d Dir) KeepLiftAnswer(envelope []byte) error { return d.WriteFile(fileLiftAnswer, envelope) }

// DropLiftAnswer forgets it.
func (d Dir) DropLiftAnswer() error {
	if err := os.Remove(d.path(fileLiftAnswer)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
