package home

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/provider"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
	"cutoff/platform/secrets"
)

// Bounds of what is asked of providers.
const (
	// askTime is how long a question may take. All are asked beside each other, so
	// that a child is done at the latest so long after its last removal.
	askTime    = 3 * time.Second
	mostTokens = 64
	// readTime is how long a keyring may take to show a secret that is to be ended
	// at its provider: what does not come by then goes without.
	readTime = 500 * time.Millisecond
)

// errands are the questions to tokens' own providers: at a purge, to end them;
// in an inventory of a group that opted in, what names them. They go on beside
// the removals and are never waited for by one.
type errands struct {
	mu     sync.Mutex // guards all but held and running: keyrings are asked beside the scan
	client *provider.Client
	known  map[string]*provider.Provider
	// held are tokens of files whose provider was not asked yet. It is the scan's.
	held []heldToken
	all  int
	// naming is the time that all questions of an inventory have together.
	naming context.Context //nolint:containedctx // it begins with the first question
	cancel context.CancelFunc

	running sync.WaitGroup
}

// heldToken is a token in memory, of an item that may be gone by now.
type heldToken struct {
	identify.Token
	item string
}

// room takes as many of the tokens as may still be asked about.
func (a *errands) room(all []identify.Token) []identify.Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	all = all[:min(len(all), mostTokens-a.all)]
	a.all += len(all)
	return all
}

// hold keeps the tokens of a file that is about to go with the item at a place.
func (w *Worker) hold(c *catalogue.Credential, at place, data []byte) {
	if w.job.Mode != wire.Purge || len(c.Tokens) == 0 {
		return
	}
	item := w.freeID(c.Product, w.seenAs(at))
	for _, t := range w.asks.room(identify.Tokens(c, data, tokenPlace{beside{w, at}, c})) {
		w.asks.held = append(w.asks.held, heldToken{t, item})
	}
}

// holdKeyring reads the tokens of an item that is about to be deleted. Only
// those of which a provider is known are read at all.
func (w *Worker) holdKeyring(ctx context.Context, r ring, c *catalogue.Credential, item secrets.Item) []identify.Token {
	if w.job.Mode != wire.Purge {
		return nil
	}
	return w.asks.room(w.keyringTokens(ctx, r, c, item))
}

func (w *Worker) keyringTokens(ctx context.Context, r ring, c *catalogue.Credential, item secrets.Item) []identify.Token {
	if item.Locked || r.vault || !identify.KeyringHasTokens(c, item.Attributes) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	secret, err := r.Read(ctx, item)
	if err != nil {
		return nil
	}
	defer clear(secret.Value)
	return identify.KeyringTokens(c, secret.Value, item.Attributes, tokenPlace{beside{w, r.at}, c})
}

// tokenPlace is where a token was found.
type tokenPlace struct {
	beside
	c *catalogue.Credential
}

// Variable is the value of a variable in the user's environment, once that was
// read; before, a promise to look again.
func (p tokenPlace) Variable(name string) string { return p.w.variable(name) }

// File reads a file of the same owner that the catalogue names. An absolute
// name is for the machine's own stores alone, whose names the catalogue spells
// out.
func (p tokenPlace) File(name string) []byte {
	at := place{base: p.at.base, name: path.Join(path.Dir(p.at.name), name)}
	if path.IsAbs(name) {
		at.name = strings.TrimPrefix(name, "/")
	} else if below, ok := strings.CutPrefix(name, "~/"); ok {
		at = place{base: wire.InHome, name: below}
	}
	if path.IsAbs(name) && !p.c.System || at.name == ".." || strings.HasPrefix(at.name, "../") {
		return nil
	}
	found, err := p.w.resolve(at)
	if err != nil || found.Outside || found.Dangling || found.Info.Kind != files.Regular || found.Info.UID != p.w.job.UID {
		return nil
	}
	data, _, err := p.w.read(place{base: at.base, name: found.Name})
	if err != nil {
		return nil
	}
	return data
}

func (w *Worker) variable(name string) string {
	if w.env == nil {
		return laterMark + name
	}
	if values := w.env[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// laterMark is in no value of a variable: environments hold no zero bytes.
const laterMark = "\x00"

// askProviders asks about what is held, each token beside the others.
func (w *Worker) askProviders() {
	held := w.asks.held
	w.asks.held = nil
	for _, t := range held {
		for name, value := range t.Values {
			if value != "" && value[:1] == laterMark {
				t.Values[name] = w.variable(value[1:])
			}
		}
		w.ask(t)
	}
}

// ask asks a token's provider to end it. The item it belongs to was reported
// before: the answer is said of that.
func (w *Worker) ask(t heldToken) {
	client, p := w.asks.ready(w, t.Provider)
	if p == nil || p.Revoke == nil {
		return
	}
	w.asks.running.Go(func() {
		ctx, cancel := context.WithTimeout(w.ctx, askTime)
		defer cancel()
		r := client.Revoke(ctx, p, t.Values)
		_ = w.send(wire.KindRevoked, wire.Revoked{ID: t.item, Host: cmp.Or(r.Host, p.ID), Word: words[r.Outcome]}) // a pipe that broke ends the job anyway
	})
}

// ready makes the client when the first question is asked, and finds a
// provider. A trial's providers are on this machine, and its sockets below the
// trial's root.
func (a *errands) ready(w *Worker, id string) (*provider.Client, *provider.Provider) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == nil {
		known, err := provider.Known()
		if err != nil {
			return nil, nil // they were tested; without them nobody is asked
		}
		a.known, a.client = known, provider.NewClient(w.job.Root != "", w.dialMachine)
		a.naming, a.cancel = context.WithTimeout(w.ctx, askTime)
	}
	return a.client, a.known[id]
}

// dialMachine connects to a program of the machine, which is root's: anybody
// else may have put his own socket there.
func (w *Worker) dialMachine(ctx context.Context, socket string) (net.Conn, error) {
	if !w.job.System {
		return nil, provider.ErrUnreachable
	}
	return w.root.Dial(ctx, strings.TrimPrefix(socket, "/"), 0)
}

// finish waits for the answers that are still out.
func (a *errands) finish() {
	a.running.Wait()
	if a.cancel != nil {
		a.cancel()
	}
}

// words of what a provider made of a token.
var words = map[provider.Outcome]string{
	provider.Dead: "revoked-probed", provider.Accepted: "revoked", provider.NotValid: "not-valid-there",
	provider.Refused: "refused", provider.Unreachable: "unreachable",
}

// enrich is what a token's provider calls it, where the group opted in; what was
// asked before is not asked again while its file stays as it is.
func (w *Worker) enrich(c *catalogue.Credential, at place, data []byte, info files.Info) []identify.Identifier {
	if !w.mayEnrich(c) {
		return nil
	}
	return w.calls(ID(c.Product, w.job.User, w.seenAs(at), 0), fmt.Sprintf("%d %d", info.ModTime.UnixNano(), info.Size),
		func() []identify.Token { return identify.Tokens(c, data, tokenPlace{beside{w, at}, c}) })
}

// enrichKeyring is enrich for an item of a keyring, whose secret is read only if
// it was not asked about before.
func (w *Worker) enrichKeyring(ctx context.Context, r ring, c *catalogue.Credential, item secrets.Item, id string) []identify.Identifier {
	if !w.mayEnrich(c) {
		return nil
	}
	return w.calls(id, strconv.FormatUint(printOf(item), 10), func() []identify.Token { return w.keyringTokens(ctx, r, c, item) })
}

func (w *Worker) mayEnrich(c *catalogue.Credential) bool {
	return w.job.Mode == wire.Plan && w.job.Ask && w.job.Scope.Enrich && len(c.Tokens) > 0
}

// calls are the names of an item's tokens, which its stamp tells from others.
func (w *Worker) calls(id, stamp string, tokens func() []identify.Token) []identify.Identifier {
	names, known := w.job.Known[id]
	if !known || names.Stamp != stamp {
		names = wire.Names{Stamp: stamp, Names: w.askNames(tokens())}
		_ = w.send(wire.KindNames, wire.NamesOf{ID: id, Names: names}) // a pipe that broke ends the job anyway
	}
	var out []identify.Identifier
	for _, kind := range slices.Sorted(maps.Keys(names.Names)) {
		out = append(out, identify.Identifier{Kind: kind, Value: names.Names[kind]})
	}
	return out
}

// askNames asks each token's provider, one after the other, within askTime for
// all of an inventory.
func (w *Worker) askNames(tokens []identify.Token) map[string]string {
	all := map[string]string{}
	for _, t := range w.asks.room(tokens) {
		client, p := w.asks.ready(w, t.Provider)
		if p == nil {
			continue
		}
		names, err := client.Names(w.asks.naming, p, t.Values)
		if err == nil {
			maps.Copy(all, names)
		}
	}
	return all
}
