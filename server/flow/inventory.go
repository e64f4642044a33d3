package flow

import (
	"context"
	"crypto/sha256"
	"fmt"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/device"
	"cutoff/server/fault"
)

// Limits of an inventory.
const (
	maxInventory = 20_000
	maxNames     = 64
	maxField     = 4096
)

// OnInventory replaces what is known of the credentials on a device. What the
// server holds itself stays.
func (f *Flow) OnInventory(ctx context.Context, peer Peer, inventory *cutoffv1.Inventory) error {
	found, err := credentials(peer.DeviceID, inventory.GetItems())
	if err != nil {
		return err
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		if err := tx.ReplaceInventory(ctx, peer.DeviceID, found, f.now()); err != nil {
			return err
		}
		if err := tx.NoteCertificates(ctx, peer.DeviceID, certificatesIn(inventory.GetItems()), f.now()); err != nil {
			return err
		}
		version, added := addedVersion(inventory.GetCatalogueVersion())
		if !added {
			return nil
		}
		return tx.SetCataloguePlanned(ctx, peer.DeviceID, version, f.now())
	})
	if err != nil {
		return fmt.Errorf("inventory of %s: %w", peer.DeviceID, err)
	}
	return nil
}

// credentials turns items into rows. The same item twice is one row.
func credentials(deviceID string, items []*cutoffv1.Item) ([]device.Credential, error) {
	if len(items) > maxInventory {
		return nil, fault.New(fault.Invalid, "the inventory has %d items, at most %d", len(items), maxInventory)
	}
	found := make([]device.Credential, 0, len(items))
	seen := make(map[string]bool, len(items))
	for _, item := range items {
		c, err := credential(deviceID, item)
		if err != nil {
			return nil, err
		}
		if seen[c.ID] {
			continue
		}
		seen[c.ID] = true
		found = append(found, c)
	}
	return found, nil
}

func credential(deviceID string, item *cutoffv1.Item) (device.Credential, error) {
	c := device.Credential{
		ID: credentialID(deviceID, item.GetId()), DeviceID: deviceID, Product: item.GetProduct(), User: item.GetUser(),
		Path: item.GetPath(), Regain: item.GetRegain(), Identifiers: []device.Identifier{},
	}
	fields := []string{item.GetId(), c.Product, c.User, c.Path, c.Regain}
	if len(item.GetIdentifiers()) > maxNames {
		return c, fault.New(fault.Invalid, "an item has %d identifiers, at most %d", len(item.GetIdentifiers()), maxNames)
	}
	for _, i := range item.GetIdentifiers() {
		c.Identifiers = append(c.Identifiers, device.Identifier{Kind: i.GetKind(), Value: i.GetValue()})
		fields = append(fields, i.GetKind(), i.GetValue())
	}
	for _, field := range fields {
		if len(field) > maxField {
			return c, fault.New(fault.Invalid, "a field of an item has %d bytes, at most %d", len(field), maxField)
		}
	}
	if item.GetId() == "" {
		return c, fault.New(fault.Invalid, "an item of the inventory has no id")
	}
	if item.GetResidualUntil().IsValid() {
		c.ExpiresAt = item.GetResidualUntil().AsTime()
	}
	// The device says that nothing lives on from it, and nothing names it to a
	// provider.
	c.Harmless = c.ExpiresAt.IsZero() && !item.GetResidualUnbounded() && len(c.Identifiers) == 0
	return c, nil
}

// credentialID is the same for the same item of the same device each time.
func credentialID(deviceID, itemID string) string {
	sum := sha256.Sum256([]byte(deviceID + "\x00" + itemID))
	return "crd_" + idText.EncodeToString(sum[:10])
}
