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

// keyring treats the items of the user's Secret Service, if one is running.
func (w *Worker) keyring(ctx context.Context) {
	socket := strings.TrimPrefix(paths.Runtime(strconv.FormatUint(uint64(w.job.UID), 10)), "/") + "/bus"
	w.keyringAt(ctx, place{base: wire.InRoot, name: socket})
}

// otherBuses are those that the user's environment names.
func (w *Worker) otherBuses(ctx context.Context) {
	usual := paths.Runtime(strconv.FormatUint(uint64(w.job.UID), 10)) + "/bus"
	for _, address := range w.env["DBUS_SESSION_BUS_ADDRESS"] {
		address, _, _ = strings.Cut(address, ",")
		socket, ok := strings.CutPrefix(address, "unix:path=")
		if !ok || path.Clean(socket) == usual {
			continue
		}
		for _, at := range w.written(socket) {
			w.keyringAt(ctx, at)
		}
	}
}

func (w *Worker) keyringAt(ctx context.Context, at place) {
	var wanted []*catalogue.Credential
	for i := range w.job.Catalogue {
		if c := &w.job.Catalogue[i]; c.Action == catalogue.KeyringDelete {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, besideTime)
	defer cancel()
	bus, err := w.dir(at.base).Dial(ctx, at.name, w.job.UID)
	if err != nil {
		return // nobody is logged in
	}
	ring, err := secrets.Open(ctx, bus)
	if err != nil {
		return // no keyring on this bus; nothing is started
	}
	defer ring.Close()
	items, err := ring.Items(ctx)
	if err != nil {
		return
	}
	for _, item := range items {
		for _, c := range wanted {
			if matches(item, c) {
				if err := w.keyringItem(ctx, ring, c, item); err != nil {
					return // the parent is gone
				}
				break
			}
		}
	}
}

func matches(item secrets.Item, c *catalogue.Credential) bool {
	for _, m := range c.Keyring {
		if item.Matches(m) {
			return true
		}
	}
	return false
}

func (w *Worker) keyringItem(ctx context.Context, ring *secrets.Keyring, c *catalogue.Credential, item secrets.Item) error {
	name := "keyring:" + item.Collection + "/" + item.Label + "#" + path.Base(item.Ref)
	i := wire.Item{ID: ID(c.Product, w.job.User, name, 0), Product: c.Product, Path: name, Action: string(c.Action),
		Regain: string(c.Regain), Confidence: c.Confidence, Unbounded: true,
		Identifiers: identify.Keyring(c.Product, item.Attributes).Identifiers}
	switch {
	case !w.job.Scope.Allows(c):
		return w.skipped(c, i)
	case item.Locked:
		return w.left(i, wire.Blocked, "locked")
	case w.job.Mode == wire.Plan:
		return w.report(i)
	case w.job.Mode == wire.Seal && !w.dropped(c):
		return w.left(i, wire.Unsupported, "not-sealable")
	}
	switch err := ring.Delete(ctx, item); {
	case errors.Is(err, secrets.ErrPrompt):
		return w.left(i, wire.Blocked, "needs-prompt")
	case errors.Is(err, secrets.ErrLocked):
		return w.left(i, wire.Blocked, "locked")
	case err != nil:
		return w.left(i, wire.Blocked, detailOf(err))
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
