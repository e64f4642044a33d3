package flow

import (
	"context"

	"cutoff/server/fault"
)

// EnrollInput is what an agent that wants to enrol sent.
type EnrollInput struct {
	// Secret is the 32-byte secret of its token.
	Secret []byte
	// CSR is a PKCS #10 request in DER, signed by the device key (Ed25519).
	CSR                              []byte
	Hostname, OS, Arch, AgentVersion string
	TrialRoot                        string
	// Anchor tells the same machine enrolled anew; may be empty.
	Anchor []byte
	// Source is where it comes from (an IP address): bad attempts are limited
	// by it.
	Source string
}

// EnrollResult is a new device identity.
type EnrollResult struct {
	DeviceID string
	// Chain is the certificate's chain in DER, leaf first.
	Chain [][]byte
	// Grant and Roster are envelopes.
	Grant, Roster []byte
	// Pending is set when a person has to admit the device first.
	Pending bool
}

// Enroll trades a token's secret for a device identity.
func (f *Flow) Enroll(ctx context.Context, in EnrollInput) (EnrollResult, error) {
	return EnrollResult{}, errUnbuilt
}

// Roster is the signed roster and the raw root key that signed it.
func (f *Flow) Roster() (envelope, rootKey []byte) {
	return f.authority.Roster(), f.authority.RootKey()
}

var errUnbuilt = fault.New(fault.Unavailable, "not built yet")
