package daemon

import (
	"errors"
	"os"
)

// markAt is the file beside the database that notes where the evidence log
// stood: a signed checkpoint, which its reader checks.
type markAt string

// Read is flow.Mark.
func (m markAt) Read() ([]byte, error) {
	envelope, err := os.ReadFile(string(m))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return envelope, err
}

// Write is flow.Mark.
func (m markAt) Write(envelope []byte) error { return writeSecret(string(m), string(envelope)) }
