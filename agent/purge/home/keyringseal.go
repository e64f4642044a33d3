package home

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/secrets"
)

// keyringItem is how an item of a keyring goes back; its secret follows it. The
// keyring sets the times of an item itself.
type keyringItem struct {
	Collection  string            `json:"collection"`
	Label       string            `json:"label"`
	Attributes  map[string]string `json:"attributes"`
	ContentType string            `json:"content_type"`
}

// sealKeyring returns once a sealed copy of the item is durable. Only here, and
// only for what is taken next, is a secret read.
func (w *Worker) sealKeyring(ctx context.Context, r ring, i *wire.Item, item secrets.Item) error {
	i.Was = []uint64{printOf(item)}
	if w.kept(i) {
		return nil
	}
	secret, err := r.Read(ctx, item)
	if err != nil {
		w.forget(i.ID)
		return err
	}
	defer clear(secret.Value)
	m := meta{Kind: "keyring", Base: r.at.base, Name: r.at.name, Keyring: &keyringItem{Collection: item.Collection, Label: item.Label,
		Attributes: item.Attributes, ContentType: secret.ContentType}}
	err = w.pipe.seal(*i, m, int64(len(secret.Value)), func(out io.Writer) error {
		_, err := out.Write(secret.Value)
		return err
	}).wait()
	i.Was = nil
	if err != nil {
		w.forget(i.ID)
		return err
	}
	i.Sealed = true
	return nil
}

// printOf tells an item from any that takes its place; nothing of its secret is
// in it.
func printOf(item secrets.Item) uint64 {
	text, _ := json.Marshal([]any{item.Ref, item.Label, item.Attributes, item.Modified}) // texts and a number
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8])
}

// restoreKeyring puts an item back into the keyring of the bus it came from, and
// returns the word for how that went.
func (w *Worker) restoreKeyring(i *wire.Item, m meta, plain io.Reader) string {
	value, err := io.ReadAll(io.LimitReader(plain, maxSeal+1))
	if err != nil {
		return "unreadable"
	}
	defer clear(value)
	i.Outcome = wire.Retrying // its user may log in, and unlock
	ctx, cancel := context.WithTimeout(w.ctx, besideTime)
	defer cancel()
	bus, err := w.dir(m.Base).Dial(ctx, m.Name, w.job.UID)
	if err != nil {
		return "not-logged-in"
	}
	opened, err := secrets.Open(ctx, bus)
	if err != nil {
		return "no-keyring"
	}
	defer opened.Close()
	err = opened.Create(ctx, secrets.Item{Collection: m.Keyring.Collection, Label: m.Keyring.Label, Attributes: m.Keyring.Attributes},
		secrets.Secret{Value: value, ContentType: m.Keyring.ContentType})
	if err != nil {
		detail := keyringDetail(err, "error")
		if detail == "came-back" || detail == "folder-gone" {
			i.Outcome = wire.Blocked
		}
		return detail
	}
	i.Action, i.Outcome, i.Sealed = string(catalogue.KeyringDelete), wire.Verified, false
	return "restored"
}
