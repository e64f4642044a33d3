package flow

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"

	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

var errStranger = fault.New(fault.Unauthenticated, "the client certificate is of no device of this server")

// Authenticate answers the peer whose client certificate was verified as one of
// this trust domain's: deviceID and serial (flow.Serial) are the certificate's,
// publicKey its raw Ed25519 key; expired says that its time is over.
//
// A certificate that was replaced and is seen again is the fact clone: somebody
// has the device's key twice. Such a peer may still fetch orders and hand in
// receipts, but gets no lease and no certificate.
func (f *Flow) Authenticate(
	ctx context.Context, deviceID, serial string, publicKey []byte, expired bool,
) (Peer, error) {
	var d device.Device
	err := f.store.View(ctx, func(tx Tx) (err error) {
		d, err = tx.Device(ctx, deviceID)
		return err
	})
	switch {
	case fault.Is(err, fault.NotFound):
		return Peer{}, errStranger
	case err != nil:
		return Peer{}, fmt.Errorf("authenticate %.40s: %w", deviceID, err)
	case subtle.ConstantTimeCompare(d.PublicKey, publicKey) != 1:
		return Peer{}, errStranger
	case d.State == device.Retired && d.CutID == "":
		return Peer{}, fault.New(fault.Denied, "the device is retired")
	}
	peer := Peer{DeviceID: d.ID, Serial: serial, Expired: expired}
	copy(peer.Key[:], d.PublicKey)
	if serial == d.CurrentSerial {
		return peer, nil
	}
	err = f.act(ctx, func(tx Tx, e *effects) error { return f.otherCertificate(ctx, tx, e, peer) })
	if err != nil {
		return Peer{}, fmt.Errorf("authenticate %s: %w", d.ID, err)
	}
	return peer, nil
}

// otherCertificate decides on a certificate that is not the current one.
func (f *Flow) otherCertificate(ctx context.Context, tx Tx, e *effects, peer Peer) error {
	d, err := tx.Device(ctx, peer.DeviceID)
	if err != nil {
		return err
	}
	switch {
	case peer.Serial == d.CurrentSerial:
		return nil
	case peer.Serial == d.NextSerial:
		return tx.SetCertificates(ctx, d.ID, peer.Serial, "")
	case peer.Serial > max(d.CurrentSerial, d.NextSerial):
		// Ours, of this key, and newer than any row: the rows are a backup's.
		if err := tx.SetCertificates(ctx, d.ID, peer.Serial, ""); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{
			Kind: "certificate.adopted", Actor: "server", DeviceID: d.ID,
			Fields: []evidence.Field{{Name: "serial", Value: peer.Serial}, {Name: "known", Value: d.CurrentSerial}},
		})
	default:
		return f.suspect(ctx, tx, e, &d, lease.FactClone, evidence.Field{Name: "serial", Value: peer.Serial})
	}
}

// addFact notes a fact about the device that a person has to look at; once.
func (f *Flow) addFact(ctx context.Context, tx Tx, d *device.Device, fact string, about ...evidence.Field) error {
	if slices.Contains(d.Facts, fact) {
		return nil
	}
	d.Facts = append(slices.Clone(d.Facts), fact)
	if err := tx.SetFacts(ctx, d.ID, d.Facts); err != nil {
		return err
	}
	fields := append([]evidence.Field{{Name: "fact", Value: fact}}, about...)
	return f.record(ctx, tx, evidence.Event{Kind: "device.fact", Actor: "server", DeviceID: d.ID, Fields: fields})
}

// Renew issues the device's next certificate, which becomes current at its
// first use. It also answers the roster. The key stays the same.
func (f *Flow) Renew(ctx context.Context, peer Peer, csr []byte) (chain [][]byte, roster []byte, err error) {
	key, err := f.authority.RequestKey(csr)
	if err != nil {
		return nil, nil, err
	}
	var issued Issued
	err = f.store.Update(ctx, func(tx Tx) error {
		d, err := tx.Device(ctx, peer.DeviceID)
		if err != nil {
			return err
		}
		if err := mayRenew(&d, peer, key); err != nil {
			return err
		}
		issued, err = f.authority.Issue(IssueRequest{
			CSR: csr, DeviceID: d.ID, TrialRoot: d.TrialRoot, After: max(d.CurrentSerial, d.NextSerial), Now: f.now(),
		})
		if err != nil {
			return err
		}
		if err := tx.SetCertificates(ctx, d.ID, d.CurrentSerial, issued.Serial); err != nil {
			return err
		}
		return f.record(ctx, tx, certificateIssued(d.ID, issued.Serial))
	})
	if err != nil {
		return nil, nil, fmt.Errorf("renew certificate: %w", err)
	}
	return issued.Chain, f.authority.Roster(), nil
}

func mayRenew(d *device.Device, peer Peer, key []byte) error {
	switch {
	case subtle.ConstantTimeCompare(d.PublicKey, key) != 1:
		return fault.New(fault.Denied, "the certificate request is for another key than the device's")
	case peer.Serial != d.CurrentSerial:
		return fault.New(fault.Denied, "the client certificate was replaced by a newer one")
	case d.State == device.Retired && d.CutID == "":
		return fault.New(fault.Denied, "the device is retired")
	}
	return nil
}
