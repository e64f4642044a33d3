package flow

import (
	"context"
	"fmt"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/device"
)

// CertificateTx is the part of a transaction that remembers certificates.
type CertificateTx interface {
	// NoteCertificates keeps certificates reported to lie on a device, beside
	// those that were before.
	NoteCertificates(ctx context.Context, deviceID string, all []device.Certificate, now time.Time) error
	// Certificates are those of a device that have not ended at now.
	Certificates(ctx context.Context, deviceID string, now time.Time) ([]device.Certificate, error)
}

// maxSeen bounds the certificates taken from one inventory or receipt.
const maxSeen = 1000

// certificatesIn are the certificates that items name.
func certificatesIn(items []*cutoffv1.Item) []device.Certificate {
	var all []device.Certificate
	for _, item := range items {
		var names []device.Identifier
		for _, i := range item.GetIdentifiers() {
			names = append(names, device.Identifier{Kind: i.GetKind(), Value: i.GetValue()})
		}
		var until time.Time
		if item.GetResidualUntil().IsValid() && !item.GetResidualUnbounded() {
			until = item.GetResidualUntil().AsTime()
		}
		if all = append(all, device.Certificates(names, until)...); len(all) >= maxSeen {
			return all[:maxSeen]
		}
	}
	return all
}

// SeenCertificates are those that were ever reported to lie on a device and
// have not ended. answered is set once the device's receipt for the cut is
// stored: what it removed is among them then, and it can renew none of them.
func (f *Flow) SeenCertificates(ctx context.Context, cutID, deviceID string) (all []device.Certificate, answered bool, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		if all, err = tx.Certificates(ctx, deviceID, f.now()); err != nil {
			return err
		}
		c, err := tx.CutRow(ctx, cutID)
		if err != nil {
			return err
		}
		answered = c.DeviceID == deviceID && !c.ReceiptAt.IsZero()
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("certificates of %s: %w", deviceID, err)
	}
	return all, answered, nil
}
