//go:build !linux && !windows

package tpm

import (
	"errors"
	"io"

	"github.com/google/go-tpm/tpm2/transport"
)

// open: no TPM there. A Mac's secure enclave has neither clock nor counter.
func open(string) (transport.TPM, io.Closer, error) { return nil, nil, errors.ErrUnsupported }
