package purge

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Errors of the store of sealed items.
var (
	// errStore: the state directory does not do what it must.
	errStore = errors.New("sealed items cannot be kept")
	// errNoRoom: the disk is full.
	errNoRoom = errors.New("no room for a sealed item")
	// errTwice: that id has a sealed copy already; it is never written over.
	errTwice = errors.New("item is sealed already")
)

// store keeps sealed items, each in one file so that one flush makes it
// durable: State/sealed/<item>.sealed is a label, which says without a secret
// what the receipt says of the item, and then the ciphertext as age writes it.
type store struct {
	dir     string
	reserve string
	cutID   string

	// queue are the items that wait to be made durable, open those that have a
	// temporary file.
	queue chan *incoming
	open  chan struct{}
	ended chan struct{}
	// queueing guards stopped, after which the queue takes nothing.
	queueing sync.Mutex
	stopped  bool

	mu     sync.Mutex
	sealed map[string]sealedItem
	// coming are the ids of copies that are not durable yet.
	coming map[string]bool
	order  int64
	// freeing is held while the reserve is given up.
	freeing sync.Mutex
}

// sealedItem is one item of this cut.
type sealedItem struct {
	item *cutoffv1.Item
	label
}

// label leads the file of a sealed item.
type label struct {
	CutID string     `json:"cut_id"`
	User  users.User `json:"user"`
	// Order counts the items of a cut: a later copy of one place goes back first.
	Order int64  `json:"order"`
	Item  []byte `json:"item"`
	// Base, Name and Was say what the copy is of, as wire.Item has it.
	Base string   `json:"base,omitempty"`
	Name string   `json:"name,omitempty"`
	Was  []uint64 `json:"was,omitempty"`
	// Flags kept it from being changed; this side took them off, and puts them back.
	Flags int `json:"flags,omitempty"`
}

const (
	suffix   = ".sealed"
	tempMark = ".new-"
	maxLabel = 8 << 20
)

func openStore(state, cutID string) (*store, error) {
	s := &store{dir: filepath.Join(state, "sealed"), reserve: filepath.Join(state, "reserve"), cutID: cutID,
		sealed: map[string]sealedItem{}, coming: map[string]bool{}}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), tempMark) {
			_ = os.Remove(filepath.Join(s.dir, n.Name())) // a crash left it
			continue
		}
		if id, ok := strings.CutSuffix(n.Name(), suffix); ok {
			if err := s.load(id); err != nil {
				return nil, err
			}
		}
	}
	if len(s.sealed) > 0 {
		return s, s.sync() // whoever was killed may not have come to it
	}
	return s, nil
}

// load reads the label of one sealed item; one of another cut is not this
// store's to give back, but its id is taken all the same.
func (s *store) load(id string) error {
	file, l, err := s.openSealed(id)
	if err != nil {
		return err
	}
	defer file.Close()
	item := &cutoffv1.Item{}
	if err := proto.Unmarshal(l.Item, item); err != nil {
		return fmt.Errorf("%w: label of %s: %w", errStore, id, err)
	}
	s.order = max(s.order, l.Order)
	if l.CutID != s.cutID {
		l.Order = -1
	}
	s.sealed[id] = sealedItem{item: item, label: l}
	return nil
}

// openSealed opens one sealed item at the start of its ciphertext.
func (s *store) openSealed(id string) (*os.File, label, error) {
	file, err := os.Open(s.path(id))
	if err != nil {
		return nil, label{}, fmt.Errorf("%w: %w", errStore, err)
	}
	l, err := readLabel(file)
	if err != nil {
		return nil, l, errors.Join(fmt.Errorf("%w: label of %s: %w", errStore, id, err), file.Close())
	}
	return file, l, nil
}

func readLabel(r io.Reader) (label, error) {
	var l label
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return l, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxLabel {
		return l, fs.ErrInvalid
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return l, err
	}
	return l, json.Unmarshal(text, &l)
}

func writeLabel(l label) ([]byte, error) {
	text, err := json.Marshal(l)
	if err == nil && len(text) > maxLabel {
		err = fs.ErrInvalid
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), err
}

func (s *store) path(id string) string { return filepath.Join(s.dir, id+suffix) }

// ids are all that have a sealed copy.
func (s *store) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.sealed))
	for id := range s.sealed {
		out = append(out, id)
	}
	return out
}

// all returns the sealed items of this cut, the newest first.
func (s *store) all() []sealedItem {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []sealedItem
	for _, i := range s.sealed {
		if i.Order >= 0 {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b sealedItem) int { return cmp.Compare(b.Order, a.Order) })
	return out
}

// remove destroys a sealed copy, if there is one.
func (s *store) remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sealed[id]; !ok {
		return nil
	}
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	delete(s.sealed, id)
	return s.sync()
}

// freeReserve gives up the room kept for this, if it is still there. Whoever
// comes second waits until the first is done: the name goes before the room is
// free.
func (s *store) freeReserve() {
	s.freeing.Lock()
	defer s.freeing.Unlock()
	_ = os.Remove(s.reserve)
}

func (s *store) sync() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}
