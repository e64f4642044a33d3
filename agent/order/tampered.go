package order

import (
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// ReasonTampered is the reason of what Tampered answers.
const ReasonTampered = "clocks were tampered with"

// Tampered answers the warrant of a lease whose clocks or witness somebody has
// had a hand in: unless the group only wants to hear of it, the lease has run
// out. One that cannot be read is Expired's to judge.
//
// Errors are ErrNotExpired or ErrNoTrust.
func Tampered(lease []byte, s State) (Verified, error) {
	l, err := Lease(lease, s)
	if err != nil {
		return Verified{}, ErrNoTrust
	}
	if l.GetOnTamper() == cutoffv1.OnTamper_ON_TAMPER_REPORT {
		return Verified{}, ErrNotExpired
	}
	v := ranOut(l, s)
	v.reason = ReasonTampered
	return v, nil
}
