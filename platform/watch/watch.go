// Package watch tells when something is written into a folder that matters. It
// must not look at what was written, and it misses nothing only as far as the
// kernel does: whoever relies on it also looks again by the clock.
package watch

import (
	"context"
	"os"
)

// Most is how many folders one Watcher takes.
const Most = 512

// Watcher watches folders. Safe for use by several goroutines.
type Watcher struct{ watcher }

// New makes one that watches nothing yet; it must be closed.
func New() (*Watcher, error) { return newWatcher() }

// Add watches an open folder for what is made, moved in or written there; with
// names, for those only. It adds to what was said of the same folder before.
func (w *Watcher) Add(folder *os.File, names ...string) error { return w.add(folder, names) }

// Clear forgets all folders.
func (w *Watcher) Clear() { w.clear() }

// Run calls touched for each event that matters until ctx ends.
func (w *Watcher) Run(ctx context.Context, touched func()) error { return w.run(ctx, touched) }

// Close ends Run and lets go.
func (w *Watcher) Close() { w.close() }
