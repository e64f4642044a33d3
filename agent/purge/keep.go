package purge

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"cutoff/agent/purge/wire"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

const (
	// maxSealedFile bounds one sealed item on disk.
	maxSealedFile = 72 << 20
	// openMost is how many items may be on their way at once, of all users.
	// They are flushed together: the file system joins their commits.
	openMost = 512
)

// incoming is one item that is being received.
type incoming struct {
	store *store
	item  *cutoffv1.Item
	label label
	file  *os.File
	size  int64
	err   error
	// answer is called once, when the item is durable or cannot be.
	answer func(error)
}

// begin opens a temporary file for an item, and puts its label in it.
func (s *store) begin(u users.User, item *cutoffv1.Item, of wire.Item, flags int) (*incoming, error) {
	in := &incoming{store: s, item: item, label: label{CutID: s.cutID, User: u, Base: of.Base, Name: of.Name, Was: of.Was, Flags: flags}}
	var err error
	if in.label.Item, err = proto.Marshal(item); err != nil {
		return nil, err
	}
	if err := s.claim(in); err != nil {
		return nil, err
	}
	s.open <- struct{}{}
	text, err := writeLabel(in.label)
	if err != nil {
		in.discard()
		return nil, err
	}
	if in.file, in.err = os.CreateTemp(s.dir, tempMark+"*"); noRoom(in.err) {
		s.freeReserve()
		in.file, in.err = os.CreateTemp(s.dir, tempMark+"*")
	}
	in.write(text)
	return in, nil
}

// claim gives the item its place in the order, and keeps its id for it: a copy
// is never written over.
func (s *store) claim(in *incoming) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := in.item.GetId()
	if _, twice := s.sealed[id]; twice || s.coming[id] {
		return errTwice
	}
	s.coming[id] = true
	s.order++
	in.label.Order = s.order
	return nil
}

// write adds to the item. On a full disk the reserve is given up.
func (in *incoming) write(p []byte) {
	if in.err != nil {
		return
	}
	if in.size += int64(len(p)); in.size > maxSealedFile {
		in.err = fmt.Errorf("%w: too large", errStore)
		return
	}
	n, err := in.file.Write(p)
	if noRoom(err) {
		in.store.freeReserve()
		_, err = in.file.Write(p[n:])
	}
	in.err = err
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// discard drops what has no name yet.
func (in *incoming) discard() {
	if in.file != nil {
		_ = in.file.Close()
		_ = os.Remove(in.file.Name())
	}
	in.store.mu.Lock()
	delete(in.store.coming, in.item.GetId())
	in.store.mu.Unlock()
	<-in.store.open
}

// start starts the one goroutine that makes items durable; stop waits for it.
func (s *store) start() {
	s.queue, s.open, s.ended = make(chan *incoming, openMost), make(chan struct{}, openMost), make(chan struct{})
	go s.run()
}

func (s *store) stop() {
	if s.queue == nil {
		return
	}
	s.queueing.Lock()
	s.stopped = true
	close(s.queue)
	s.queueing.Unlock()
	<-s.ended
}

// enqueue hands an item over; false: the store has stopped.
func (s *store) enqueue(in *incoming) bool {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	if s.stopped {
		return false
	}
	s.queue <- in // it has room for all that are open
	return true
}

func (s *store) run() {
	defer close(s.ended)
	for in := range s.queue {
		batch := []*incoming{in}
		for len(s.queue) > 0 {
			batch = append(batch, <-s.queue)
		}
		s.keep(batch)
	}
}

// keep makes a batch durable: every file first, then all the names. Only when
// the folder with the names in it is durable is any of them answered.
func (s *store) keep(batch []*incoming) {
	var flush errgroup.Group
	for _, in := range batch {
		flush.Go(func() error {
			in.flush()
			return nil
		})
	}
	_ = flush.Wait() // each keeps its own
	for _, in := range batch {
		if in.err == nil {
			in.err = os.Rename(in.file.Name(), s.path(in.item.GetId()))
		}
	}
	synced := s.sync()
	for _, in := range batch {
		in.answer(in.settle(synced))
	}
}

func (in *incoming) flush() {
	if in.err == nil {
		in.err = in.file.Sync()
	}
	if in.file != nil {
		if err := in.file.Close(); in.err == nil {
			in.err = err
		}
	}
}

// settle takes the item over once its folder is durable.
func (in *incoming) settle(synced error) error {
	if in.err != nil {
		in.discard()
		if noRoom(in.err) {
			return errNoRoom
		}
		return fmt.Errorf("%w: %w", errStore, in.err)
	}
	s := in.store
	<-s.open
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.coming, in.item.GetId())
	s.sealed[in.item.GetId()] = sealedItem{item: in.item, label: in.label}
	return synced
}
