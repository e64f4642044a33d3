package flow

import "sync"

// watchers tells who looks at a cut that it changed. A notice says no more than
// "look again": the truth is in rows.
type watchers struct {
	mu   sync.Mutex
	cuts map[string]map[chan struct{}]struct{}
}

func newWatchers() *watchers {
	return &watchers{cuts: map[string]map[chan struct{}]struct{}{}}
}

// Watch tells of changes of a cut: changed receives after one, several changes
// close together may come as one. The caller calls stop when done; changed is
// not closed.
func (f *Flow) Watch(cutID string) (changed <-chan struct{}, stop func()) {
	return f.watchers.add(cutID)
}

func (w *watchers) add(cutID string) (<-chan struct{}, func()) {
	notice := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cuts[cutID] == nil {
		w.cuts[cutID] = map[chan struct{}]struct{}{}
	}
	w.cuts[cutID][notice] = struct{}{}
	return notice, func() { w.remove(cutID, notice) }
}

func (w *watchers) remove(cutID string, notice chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cuts[cutID], notice)
	if len(w.cuts[cutID]) == 0 {
		delete(w.cuts, cutID)
	}
}

func (w *watchers) notify(cutIDs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range cutIDs {
		for notice := range w.cuts[id] {
			select {
			case notice <- struct{}{}:
			default:
			}
		}
	}
}
