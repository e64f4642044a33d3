package ca

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// signRoster signs which keys and CA the trust domain uses.
func (a *Authority) signRoster(version uint64, now time.Time) ([]byte, error) {
	return signed.Seal(signed.TypeRoster, &cutoffv1.Roster{
		TrustDomain:    a.domain,
		Version:        version,
		CaCertificates: [][]byte{a.certificate.Raw},
		OrderKeys:      [][]byte{rawKey(a.order)},
		LeaseKeys:      [][]byte{rawKey(a.lease)},
		EvidenceKeys:   [][]byte{rawKey(a.evidence)},
		IssuedAt:       timestamppb.New(now),
	}, a.root)
}

// loadRoster reads the roster agents already hold, and refuses one that does
// not name the keys beside it: what they sign would be refused everywhere.
func (a *Authority) loadRoster(path string) error {
	raw, err := readPEM(path, rosterPEM)
	if err != nil {
		return err
	}
	keys, err := signed.NewKeys(a.RootKey())
	if err != nil {
		return err
	}
	var roster cutoffv1.Roster
	if _, err := signed.Open(raw, signed.TypeRoster, keys, &roster); err != nil {
		return damaged(path, "is not signed by the key in "+rootFile)
	}
	for _, named := range []struct {
		file string
		keys [][]byte
		want []byte
	}{
		{orderFile, roster.GetOrderKeys(), rawKey(a.order)},
		{leaseFile, roster.GetLeaseKeys(), rawKey(a.lease)},
		{evidenceFile, roster.GetEvidenceKeys(), rawKey(a.evidence)},
		{caFile, roster.GetCaCertificates(), a.certificate.Raw},
		{trustFile, [][]byte{[]byte(roster.GetTrustDomain())}, []byte(a.domain)},
	} {
		if !contains(named.keys, named.want) {
			return damaged(path, "does not name what is in "+named.file)
		}
	}
	a.roster, a.version = raw, roster.GetVersion()
	return nil
}

func contains(all [][]byte, one []byte) bool {
	for _, b := range all {
		if bytes.Equal(b, one) {
			return true
		}
	}
	return false
}
