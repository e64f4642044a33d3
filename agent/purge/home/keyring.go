package home

import (
	"context"
	"errors"
	"path"
	"strconv"
	"strings"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
	"cutoff/platform/paths"
	"cutoff/platform/secrets"
)

// besideTime bounds all talk with a keyring or an agent, which may be hostile.
const besideTime = 5 * time.Second

// ring is one bus with the keyring on it.
type ring struct {
	*secrets.Keyring
	at place
	// mark names the bus in paths: nothing for the usual one.
	mark   string
	vault  bool
	wallet bool
	wanted []*catalogue.Credential
}

// usualBus is where a session's bus is.
func (w *Worker) usualBus() place {
	return place{base: wire.InRoot, name: strings.TrimPrefix(paths.Runtime(strconv.FormatUint(uint64(w.job.UID), 10)), "/") + "/bus"}
}

// keyring treats the items of the user's Secret Service, if one is running.
func (w *Worker) keyring(ctx context.Context) error {
	if err := w.keyringAt(ctx, w.usualBus()); err != nil {
		return err
	}
	return w.walletsAt(ctx, w.usualBus())
}

// otherBuses are those that the user's environment names.
func (w *Worker) otherBuses(ctx context.Context) error {
	for _, address := range w.env["DBUS_SESSION_BUS_ADDRESS"] {
		address, _, _ = strings.Cut(address, ",")
		socket, ok := strings.CutPrefix(address, "unix:path=")
		if !ok {
			continue
		}
		for _, at := range w.written(socket) {
			if at == w.usualBus() {
				continue
			}
			if err := w.keyringAt(ctx, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyringAt treats the keyring of one bus. Its error ends the whole job.
func (w *Worker) keyringAt(ctx context.Context, at place) error {
	ctx, cancel := context.WithTimeout(ctx, besideTime)
	defer cancel()
	bus, err := w.dir(at.base).Dial(ctx, at.name, w.job.UID)
	if err != nil {
		return nil //nolint:nilerr // nobody is logged in
	}
	opened, err := secrets.Open(ctx, bus)
	if err != nil {
		return nil //nolint:nilerr // no keyring on this bus; nothing is started
	}
	defer opened.Close()
	provider := opened.Provider(ctx)
	w.serving = append(w.serving, provider)
	r := ring{Keyring: opened, at: at, vault: provider == secrets.KeePassXC, wallet: provider == secrets.KWallet, wanted: w.keyringEntries()}
	if at != w.usualBus() {
		r.mark = w.seenAs(at) + ":"
	}
	all, err := r.Collections(ctx)
	if err != nil {
		return nil //nolint:nilerr // it went away: its files are looked at by the sweep
	}
	for _, c := range all {
		w.shown[c.Name] = w.shown[c.Name] || r.wallet
		if err := w.collection(ctx, r, c); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		w.listed("keyring:" + r.mark)
	}
	return nil
}

// keyringEntries are the catalogue's entries for keyrings.
func (w *Worker) keyringEntries() (out []*catalogue.Credential) {
	for i := range w.job.Catalogue {
		if c := &w.job.Catalogue[i]; c.Action == catalogue.KeyringDelete {
			out = append(out, c)
		}
	}
	return out
}

// collection treats the items of one collection.
func (w *Worker) collection(ctx context.Context, r ring, c secrets.Collection) error {
	whole := w.job.Scope.Everything && w.job.Mode == wire.Purge && !r.vault
	if c.Locked && w.passwordless(c.Name) && !r.vault {
		// It is no more locked than a file that anybody can read. It is left as
		// it was.
		if w.job.Mode == wire.Plan {
			c.Locked = false
		} else if r.Unlock(ctx, c) == nil {
			c.Locked = false
			defer func() { _ = r.Lock(ctx, c) }()
		}
	}
	if c.Locked && whole {
		return w.dropCollection(ctx, r, c)
	}
	items, err := r.Items(ctx, c)
	if err != nil {
		return nil //nolint:nilerr // gone meanwhile
	}
	hidden := 0
	for _, item := range items {
		entry := w.entryOf(r, item)
		switch {
		case entry != nil:
			if err := w.keyringItem(ctx, r, entry, item); err != nil {
				return err
			}
		case item.Hashed() && w.mayBeWanted(item):
			hidden++
		}
	}
	closed := c.Locked && r.wallet && len(items) == 0 // KWallet shows nothing of what it has not opened
	if hidden == 0 && !closed {
		return nil
	}
	// What they are can only be seen once it is unlocked.
	i := w.collectionItem(r, c)
	if hidden > 0 {
		i.Identifiers = []identify.Identifier{{Kind: "keyring-items", Value: strconv.Itoa(hidden)}}
	}
	return w.left(i, wire.Blocked, "locked")
}

func (w *Worker) collectionItem(r ring, c secrets.Collection) wire.Item {
	name := "keyring:" + r.mark + c.Name
	return wire.Item{ID: ID("keyring", w.job.User, name, 0), Product: "keyring", Path: name, Action: string(catalogue.KeyringDelete),
		Regain: string(catalogue.None), Confidence: "confirmed", Unbounded: true}
}

// dropCollection deletes a locked collection as a whole, which asks nobody: only
// where everything in it is the company's to take.
func (w *Worker) dropCollection(ctx context.Context, r ring, c secrets.Collection) error {
	i := w.collectionItem(r, c)
	if err := r.DeleteCollection(ctx, c); err != nil {
		return w.left(i, wire.Blocked, keyringDetail(err, "locked"))
	}
	i.Removed, i.Outcome, i.Detail = true, wire.Verified, "deleted"
	return w.report(i)
}

// company is what an item falls under that no product of the catalogue claims,
// but the group's accounts or its word that everything goes.
var company = catalogue.Credential{ID: "keyring-item", Product: "keyring", Action: catalogue.KeyringDelete, Regain: catalogue.None,
	Confidence: "confirmed"}

// entryOf finds what an item falls under; nil: it is none of the cut's.
func (w *Worker) entryOf(r ring, item secrets.Item) *catalogue.Credential {
	for _, c := range r.wanted {
		for _, m := range c.Keyring {
			if item.Matches(m) {
				return c
			}
		}
	}
	if w.job.Scope.Everything && !item.Hashed() || item.Of(w.job.Scope.Accounts) {
		return &company
	}
	return nil
}

func (w *Worker) keyringItem(ctx context.Context, r ring, c *catalogue.Credential, item secrets.Item) error {
	// The label is in no path: a locked keyring hides it, and it is the same item.
	name := "keyring:" + r.mark + item.Collection + "#" + path.Base(item.Ref)
	i := wire.Item{ID: w.freeID(c.Product, name), Product: c.Product, Path: name, Action: string(c.Action), Regain: string(c.Regain),
		Confidence: c.Confidence, Unbounded: !c.Harmless, Identifiers: identify.Keyring(c.Product, item.Label, item.Attributes).Identifiers}
	switch {
	case !w.job.Scope.Allows(c):
		return w.skipped(c, i)
	case r.vault:
		// A delete would move it to the vault's own bin, where it lives on.
		return w.left(i, wire.Blocked, "user-vault")
	case item.Locked:
		return w.left(i, wire.Blocked, "locked")
	case w.job.Mode == wire.Plan:
		i.Identifiers = append(i.Identifiers, w.enrichKeyring(ctx, r, c, item, i.ID)...)
		return w.report(i)
	}
	for _, t := range w.holdKeyring(ctx, r, c, item) {
		defer w.ask(heldToken{t, i.ID}) // when the item was reported
	}
	if w.job.Mode == wire.Seal && !w.dropped(c) {
		if err := w.sealKeyring(ctx, r, &i, item); errors.Is(err, errParent) || errors.Is(err, errBudget) {
			return err
		} else if err != nil && c.Regain != catalogue.SignIn {
			return w.left(i, wire.Blocked, keyringDetail(err, detailOf(err)))
		}
	}
	if err := r.Delete(ctx, item); err != nil {
		i.Sealed = false
		return w.left(i, wire.Blocked, keyringDetail(err, "error"))
	}
	i.Removed, i.Outcome, i.Detail = true, wire.Verified, "deleted"
	if i.Sealed {
		i.Detail = "sealed"
	}
	return w.report(i)
}

// keyringDetail is the word for what a keyring did not do.
func keyringDetail(err error, otherwise string) string {
	switch {
	case errors.Is(err, secrets.ErrPrompt):
		return "needs-prompt"
	case errors.Is(err, secrets.ErrLocked):
		return "locked"
	case errors.Is(err, secrets.ErrNoCollection):
		return "folder-gone"
	case errors.Is(err, secrets.ErrCameBack):
		return "came-back"
	}
	return otherwise
}

// walletsAt treats the wallets that are no collections of the keyring.
func (w *Worker) walletsAt(ctx context.Context, at place) error {
	ctx, cancel := context.WithTimeout(ctx, besideTime)
	defer cancel()
	bus, err := w.dir(at.base).Dial(ctx, at.name, w.job.UID)
	if err != nil {
		return nil //nolint:nilerr // nobody is logged in
	}
	opened, err := secrets.OpenWallets(ctx, bus)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	defer opened.Close()
	w.serving = append(w.serving, secrets.KWallet)
	names, err := opened.Names(ctx)
	if err != nil {
		return nil //nolint:nilerr // it went away
	}
	for name, open := range names {
		if w.shown[name] {
			continue // a collection of the keyring
		}
		if err := w.wallet(ctx, opened, name, open); err != nil {
			return err
		}
	}
	w.listed("kwallet:")
	return nil
}

// wallet treats one wallet, which goes whole or not at all: to be let in to an
// item is a dialog.
func (w *Worker) wallet(ctx context.Context, all *secrets.Wallets, name string, open bool) error {
	i := wire.Item{ID: ID("kwallet", w.job.User, "kwallet:"+name, 0), Product: "kwallet", Path: "kwallet:" + name,
		Action: string(catalogue.KeyringDelete), Regain: string(catalogue.None), Confidence: "confirmed", Unbounded: true}
	detail := "locked"
	if open {
		detail = "needs-prompt"
	}
	switch {
	case !w.job.Scope.Everything || w.job.Mode == wire.Seal:
		return w.left(i, wire.Blocked, detail)
	case w.job.Mode == wire.Plan:
		return w.report(i)
	}
	if err := all.Delete(ctx, name); err != nil {
		return w.left(i, wire.Blocked, keyringDetail(err, detail))
	}
	i.Removed, i.Outcome, i.Detail = true, wire.Verified, "deleted"
	return w.report(i)
}

// sockets are those of agents that belong to the user; anything else under a
// socket's name is no agent.
func (w *Worker) sockets() []place {
	var out []place
	for i := range w.job.Catalogue {
		c := &w.job.Catalogue[i]
		if c.Action != catalogue.AgentClear {
			continue
		}
		for _, p := range c.Paths {
			for _, at := range append(w.usual(p), w.overridden(p)...) {
				for _, name := range w.dir(at.base).Glob(at.name) {
					info, err := w.dir(at.base).Stat(name)
					if err == nil && info.Kind == files.Socket && info.UID == w.job.UID {
						out = append(out, place{base: at.base, name: name})
					}
				}
			}
		}
	}
	return out
}

// awaitUnlock says so when a keyring of the user's usual bus is unlocked.
func (w *Worker) awaitUnlock(ctx context.Context) error {
	at := w.usualBus()
	bus, err := w.dir(at.base).Dial(ctx, at.name, w.job.UID)
	if err != nil {
		return err // nobody is logged in
	}
	if err := secrets.AwaitUnlock(ctx, bus); err != nil {
		return err
	}
	return wire.WriteJSON(w.out, wire.KindDone, wire.Done{})
}
