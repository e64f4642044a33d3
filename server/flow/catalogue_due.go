package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/catalogue"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// HeldCatalogue is what a device says it keeps; number 0 is none.
type HeldCatalogue struct {
	Number  uint64
	Content string
}

// contents keeps what is in force for each group, as of the newest version.
type contents struct {
	mu     sync.Mutex
	newest int64
	known  map[string]content
}

// content is what is in force for a group.
type content struct {
	message *cutoffv1.Catalogue // without device, number and time
	// name tells it from every other; empty: nothing ever was in force.
	name string
}

// DueCatalogue is the envelope of the catalogue that the device does not keep
// yet, or nil. It is bound to the device and numbered higher than whatever the
// device and the server remember, so that an older one can never come back.
func (f *Flow) DueCatalogue(ctx context.Context, peer Peer, held HeldCatalogue) ([]byte, error) {
	var err error
	for range 3 {
		var envelope []byte
		if envelope, err = f.signCatalogue(ctx, peer, held); !fault.Is(err, fault.Conflict) {
			return envelope, err
		}
	}
	return nil, err
}

// signCatalogue is one attempt; a Conflict if the device was sent another one
// meanwhile.
func (f *Flow) signCatalogue(ctx context.Context, peer Peer, held HeldCatalogue) ([]byte, error) {
	var sent SentCatalogue
	var due content
	err := f.store.View(ctx, func(tx Tx) (err error) {
		if sent, err = tx.CatalogueOf(ctx, peer.DeviceID); err != nil {
			return err
		}
		due, err = f.contentOf(ctx, tx, sent.Group, sent.Newest)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("catalogue for %s: %w", peer.DeviceID, err)
	case due.name == "" && held.Number == 0:
		return nil, nil
	case held.Content == due.name && held.Number > 0:
		if sent.Number == held.Number && sent.Taken != held.Number {
			return nil, f.OnCatalogue(ctx, peer, held)
		}
		return nil, nil
	}
	known, away := adopt(sent.Number, held.Number)
	sent.Number, sent.Content, sent.Version = known+1, due.name, int64(due.message.GetVersion())
	m := proto.CloneOf(due.message)
	m.DeviceId, m.Number, m.Content, m.IssuedAt = peer.DeviceID, sent.Number, due.name, timestamppb.New(f.now())
	envelope, err := signed.Seal(signed.TypeCatalogue, m, f.signers.Order)
	if err != nil {
		return nil, fmt.Errorf("sign catalogue for %s: %w", peer.DeviceID, err)
	}
	err = f.act(ctx, func(tx Tx, e *effects) error {
		if away {
			d, err := tx.Device(ctx, peer.DeviceID)
			if err != nil {
				return err
			}
			if err := f.suspect(ctx, tx, e, &d, lease.FactRollback, number("catalogue", held.Number)); err != nil {
				return err
			}
		}
		if err := tx.PutSentCatalogue(ctx, sent, f.now()); err != nil {
			return err
		}
		digest := signed.Digest(envelope)
		return f.record(ctx, tx, evidence.Event{Kind: "catalogue.signed", Actor: "server", DeviceID: peer.DeviceID,
			Fields: []evidence.Field{
				{Name: "group", Value: sent.Group}, number("number", sent.Number),
				{Name: "version", Value: strconv.FormatInt(sent.Version, 10)}, {Name: "content", Value: due.name},
				{Name: "sha256", Value: hex.EncodeToString(digest[:])},
			}})
	})
	if err != nil {
		return nil, fmt.Errorf("catalogue for %s: %w", peer.DeviceID, err)
	}
	return envelope, nil
}

// OnCatalogue notes what a device keeps now.
func (f *Flow) OnCatalogue(ctx context.Context, peer Peer, held HeldCatalogue) error {
	err := f.store.Update(ctx, func(tx Tx) error { return tx.SetCatalogueTaken(ctx, peer.DeviceID, held.Number) })
	if err != nil {
		return fmt.Errorf("catalogue of %s: %w", peer.DeviceID, err)
	}
	return nil
}

// contentOf is what is in force for a group; newest is the server's version,
// which changes with every change.
func (f *Flow) contentOf(ctx context.Context, tx Tx, group string, newest int64) (content, error) {
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	if f.contents.newest != newest || f.contents.known == nil {
		f.contents.newest, f.contents.known = newest, map[string]content{}
	}
	if c, ok := f.contents.known[group]; ok {
		return c, nil
	}
	c, err := f.compose(ctx, tx, group)
	if err == nil {
		f.contents.known[group] = c
	}
	return c, err
}

// compose reads it.
func (f *Flow) compose(ctx context.Context, tx Tx, group string) (content, error) {
	choices, err := tx.Choices(ctx, group)
	if err != nil {
		return content{}, err
	}
	changes, err := tx.Changes(ctx)
	if err != nil {
		return content{}, err
	}
	version := catalogue.Version(changes, &choices, group)
	m := &cutoffv1.Catalogue{
		TrustDomain: f.trustDomain, Group: group, Version: uint64(version), Choices: choices.Message(),
		Files: catalogue.FilesMessage(catalogue.Effective(changes, group)),
	}
	if len(choices.WorkTrees) > 0 {
		m.FingerprintKey = f.fingerprintKey()
	}
	c := content{message: m}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return content{}, fmt.Errorf("compose catalogue of %s: %w", group, err)
	}
	sum := sha256.Sum256(raw)
	if version > 0 {
		c.name = hex.EncodeToString(sum[:16])
	}
	return c, nil
}

// addedVersion is the server's part of a catalogue's version, behind the plus.
func addedVersion(version string) (int64, bool) {
	_, added, ok := strings.Cut(version, "+")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(added, 10, 64)
	return n, err == nil && n > 0
}

// Recataloguer is a Hub that can make streams look for a newer catalogue; where
// it cannot, devices find it at their next contact.
type Recataloguer interface {
	// Recatalogue reaches these devices, or all of them if there are none.
	Recatalogue(deviceIDs ...string)
}

func (f *Flow) recatalogue(deviceIDs ...string) {
	if hub, ok := f.hub.(Recataloguer); ok {
		hub.Recatalogue(deviceIDs...)
	}
}
