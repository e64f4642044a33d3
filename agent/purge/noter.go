package purge

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"cutoff/agent/journal"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// notePause is how long what comes in after a commit waits for more: commits one
// after another would hold up the removals, which use the same disk.
const notePause = 20 * time.Millisecond

// noter notes items in the journal, as many in one commit as have come in
// meanwhile, so that no removal waits for the one before it to be durable.
type noter struct {
	warrant  *journal.Warrant
	mu       sync.Mutex
	waiting  []*cutoffv1.Item
	wake     chan struct{}
	stopping chan struct{}
	done     chan struct{}
	err      error
}

// startNoter starts the one goroutine that writes; stop waits for it.
func startNoter(w *journal.Warrant) *noter {
	n := &noter{warrant: w, wake: make(chan struct{}, 1), stopping: make(chan struct{}), done: make(chan struct{})}
	go n.run()
	return n
}

func (n *noter) note(item *cutoffv1.Item) {
	n.mu.Lock()
	n.waiting = append(n.waiting, proto.CloneOf(item))
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default: // it is awake already
	}
}

func (n *noter) run() {
	defer close(n.done)
	for range n.wake {
		n.flush()
		select {
		case <-n.stopping:
		case <-time.After(notePause):
		}
	}
	n.flush()
}

func (n *noter) flush() {
	n.mu.Lock()
	items := n.waiting
	n.waiting = nil
	n.mu.Unlock()
	if len(items) == 0 {
		return
	}
	if err := n.warrant.Note(items...); err != nil {
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
	}
}

// stop waits until all that was noted is durable.
func (n *noter) stop() error {
	close(n.stopping)
	close(n.wake)
	<-n.done
	return n.err
}
