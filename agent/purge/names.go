package purge

import (
	"maps"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"cutoff/agent/purge/home"
	"cutoff/agent/purge/wire"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Names remembers what tokens' own providers call them, by user and item, so
// that each is asked once and not at every inventory. The zero value is empty
// and ready.
type Names struct {
	mu  sync.Mutex
	all map[string]map[string]wire.Names
	// texts are the finds in text, by user.
	texts map[string]texts
}

// Bounds of what is remembered for one user, and of one item's names.
const (
	mostNamed = 1000
	mostNames = 8
	maxName   = 256
)

// of is a copy of what is known of a user's items.
func (n *Names) of(user string) map[string]wire.Names {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.all[user])
}

func (n *Names) keep(user, id string, names wire.Names) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string]map[string]wire.Names{}
	}
	if n.all[user] == nil || len(n.all[user]) >= mostNamed {
		n.all[user] = map[string]wire.Names{}
	}
	n.all[user][id] = names
}

// textEvery is how often an inventory searches work trees; in between it repeats
// what was found.
const textEvery = 6 * time.Hour

// textDue reports whether a user's work trees are to be searched now.
func (n *Names) textDue(user string, now time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, known := n.texts[user]
	return !known || now-t.at >= textEvery
}

// texts are a user's finds of the last search.
type texts struct {
	at    time.Duration
	items []*cutoffv1.Item
}

// keepTexts remembers, after a search, what it found, and otherwise gives back
// what is remembered.
func (n *Names) keepTexts(user string, searched bool, now time.Duration, found []*cutoffv1.Item) []*cutoffv1.Item {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !searched {
		return n.texts[user].items
	}
	if n.texts == nil {
		n.texts = map[string]texts{}
	}
	n.texts[user] = texts{now, found}
	return nil
}

// texts has a search's finds remembered, or repeats them where none was made.
func (t *talk) texts() {
	e := t.errand
	if e.purger.config.Names == nil || e.mode != wire.Plan || len(e.scope.WorkTrees) == 0 {
		return
	}
	var found []*cutoffv1.Item
	e.mu.Lock()
	for _, item := range e.items {
		if item.GetUser() == t.user.Name && item.GetProduct() == home.ProductText {
			found = append(found, item)
		}
	}
	e.mu.Unlock()
	for _, item := range e.purger.config.Names.keepTexts(t.user.Name, t.searched, e.purger.config.Boot(), found) {
		e.add(item)
	}
}

// names keeps what a child learned of one item.
func (t *talk) names(payload []byte) error {
	var m wire.NamesOf
	if err := wire.Unmarshal(payload, &m); err != nil {
		return err
	}
	keep := t.errand.purger.config.Names
	if keep == nil || !idPattern.MatchString(m.ID) || !bounded(m.Names) {
		return wire.ErrFrame
	}
	keep.keep(t.user.Name, m.ID, m.Names)
	return nil
}

// bounded reports whether a child's names are few and short: they are kept for
// as long as the agent runs.
func bounded(n wire.Names) bool {
	if len(n.Names) > mostNames || len(n.Stamp) > maxName {
		return false
	}
	for kind, name := range n.Names {
		if len(kind) > maxName || len(name) > maxName {
			return false
		}
	}
	return true
}

// revoked adds to an item what its token's own provider made of it. The item's
// residual stays: a file may hold more than that token.
func (t *talk) revoked(payload []byte) error {
	var m wire.Revoked
	if err := wire.Unmarshal(payload, &m); err != nil {
		return err
	}
	if t.errand.mode != wire.Purge || !idPattern.MatchString(m.ID) || !t.errand.belongs(m.ID, t.user.Name) {
		return wire.ErrFrame
	}
	t.errand.amend(m.ID, &cutoffv1.Identifier{Kind: "self-revocation", Value: text(m.Host + " " + m.Word)})
	return nil
}

// amend adds an identifier to an item that was reported, once.
func (e *errand) amend(id string, name *cutoffv1.Identifier) {
	e.mu.Lock()
	item := e.items[id]
	if item == nil || len(item.GetIdentifiers()) >= maxIdentifiers {
		e.mu.Unlock()
		return
	}
	item = proto.CloneOf(item)
	item.Identifiers = append(item.Identifiers, name)
	e.mu.Unlock()
	e.add(item)
}

// maxIdentifiers is what the server takes of one item.
const maxIdentifiers = 64
