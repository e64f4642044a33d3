package home

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/provider"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// Bounds of what is asked of providers.
const (
	askTime    = 3 * time.Second // all together, from the first question
	mostTokens = 64
)

// errands are the questions to tokens' own providers: at a purge, to end them;
// in an inventory of a group that opted in, what names them. They go on beside
// the removals and are never waited for by one.
type errands struct {
	client *provider.Client
	known  map[string]*provider.Provider
	// held are tokens whose provider was not asked yet.
	held []heldToken
	all  int

	running sync.WaitGroup
	start   func() context.Context
	cancel  context.CancelFunc
}

// heldToken is a token in memory, of an item that may be gone by now.
type heldToken struct {
	identify.Token
	item string
}

// hold keeps the tokens of a file that is about to go with the item at a place.
func (w *Worker) hold(c *catalogue.Credential, at place, data []byte) {
	if w.job.Mode != wire.Purge || len(c.Tokens) == 0 {
		return
	}
	for _, t := range identify.Tokens(c, data, w.variable) {
		if w.asks.all < mostTokens {
			w.asks.all++
			w.asks.held = append(w.asks.held, heldToken{t, w.freeID(c.Product, w.seenAs(at))})
		}
	}
}

// variable is the value of a variable in the user's environment, once that was
// read; before, a promise to look again.
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
func (w *Worker) askProviders(ctx context.Context) {
	held := w.asks.held
	w.asks.held = nil
	if len(held) == 0 || !w.asks.ready(ctx, w.job.Root != "") {
		return
	}
	for _, t := range held {
		for name, value := range t.Values {
			if value != "" && value[:1] == laterMark {
				t.Values[name] = w.variable(value[1:])
			}
		}
		p := w.asks.known[t.Provider]
		if p == nil || p.Revoke == nil {
			continue
		}
		w.asks.running.Go(func() {
			r := w.asks.client.Revoke(w.asks.start(), p, t.Values)
			_ = w.send(wire.KindRevoked, wire.Revoked{ID: t.item, Host: cmp.Or(r.Host, p.ID), Word: words[r.Outcome]}) // a pipe that broke ends the job anyway
		})
	}
}

// ready makes the client when the first question is asked. A trial's providers
// are on this machine.
func (a *errands) ready(ctx context.Context, trial bool) bool {
	if a.client != nil {
		return true
	}
	known, err := provider.Known()
	if err != nil {
		return false // they were tested; without them nobody is asked
	}
	a.known, a.client = known, provider.NewClient(trial)
	limited, cancel := context.WithTimeout(ctx, askTime)
	a.start, a.cancel = func() context.Context { return limited }, cancel
	return true
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
	if w.job.Mode != wire.Plan || !w.job.Ask || !w.job.Scope.Enrich || len(c.Tokens) == 0 {
		return nil
	}
	id := ID(c.Product, w.job.User, w.seenAs(at), 0)
	stamp := fmt.Sprintf("%d %d", info.ModTime.UnixNano(), info.Size)
	names, known := w.job.Known[id]
	if !known || names.Stamp != stamp {
		names = wire.Names{Stamp: stamp, Names: w.askNames(c, data)}
		_ = w.send(wire.KindNames, wire.NamesOf{ID: id, Names: names}) // a pipe that broke ends the job anyway
	}
	var out []identify.Identifier
	for _, kind := range slices.Sorted(maps.Keys(names.Names)) {
		out = append(out, identify.Identifier{Kind: kind, Value: names.Names[kind]})
	}
	return out
}

// askNames asks each token's provider, one after the other, within askTime for
// all.
func (w *Worker) askNames(c *catalogue.Credential, data []byte) map[string]string {
	if !w.asks.ready(w.ctx, w.job.Root != "") {
		return nil
	}
	all := map[string]string{}
	for _, t := range identify.Tokens(c, data, w.variable) {
		if p := w.asks.known[t.Provider]; p != nil && w.asks.all < mostTokens {
			w.asks.all++
			names, err := w.asks.client.Names(w.asks.start(), p, t.Values)
			if err == nil {
				maps.Copy(all, names)
			}
		}
	}
	return all
}
