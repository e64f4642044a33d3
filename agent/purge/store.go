package purge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

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

// store keeps sealed items: State/sealed/<item>.age, the ciphertext as age
// writes it, and <item>.json, what the receipt says of it, without a secret.
type store struct {
	dir     string
	reserve string
	cutID   string

	mu     sync.Mutex
	sealed map[string]sealedItem
	open   map[uint32]*incoming
	order  int64
}

// sealedItem is one item of this cut.
type sealedItem struct {
	item *cutoffv1.Item
	user users.User
	// order counts the items of a cut: a later copy of one place goes back first.
	order int64
}

// label is the content of <item>.json.
type label struct {
	CutID string     `json:"cut_id"`
	User  users.User `json:"user"`
	Order int64      `json:"order"`
	Item  []byte     `json:"item"`
}

func openStore(state, cutID string) (*store, error) {
	s := &store{dir: filepath.Join(state, "sealed"), reserve: filepath.Join(state, "reserve"), cutID: cutID,
		sealed: map[string]sealedItem{}, open: map[uint32]*incoming{}}
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
		if id, ok := strings.CutSuffix(n.Name(), ".age"); ok {
			if err := s.load(id); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// load reads the label of one sealed item; one of another cut is not this
// store's to give back, but its id is taken all the same.
func (s *store) load(id string) error {
	raw, err := os.ReadFile(s.path(id, ".json"))
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	var l label
	item := &cutoffv1.Item{}
	if err := json.Unmarshal(raw, &l); err != nil {
		return fmt.Errorf("%w: label of %s: %w", errStore, id, err)
	}
	if err := proto.Unmarshal(l.Item, item); err != nil {
		return fmt.Errorf("%w: label of %s: %w", errStore, id, err)
	}
	kept := sealedItem{item: item, user: l.User, order: l.Order}
	if l.CutID != s.cutID {
		kept.order = -1
	}
	s.sealed[id] = kept
	s.order = max(s.order, l.Order)
	return nil
}

const tempMark = ".new-"

func (s *store) path(id, suffix string) string { return filepath.Join(s.dir, id+suffix) }

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

func (s *store) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sealed[id]
	return ok
}

// all returns the sealed items of this cut, the newest first.
func (s *store) all() []sealedItem {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []sealedItem
	for _, i := range s.sealed {
		if i.order >= 0 {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b sealedItem) int { return cmp.Compare(b.order, a.order) })
	return out
}

// remove destroys a sealed copy, if there is one.
func (s *store) remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sealed[id]; !ok {
		return nil
	}
	for _, suffix := range []string{".age", ".json"} { // never a copy without its label
		if err := os.Remove(s.path(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", errStore, err)
		}
	}
	delete(s.sealed, id)
	return s.sync()
}

// freeReserve gives up the room kept for this; false: it is given up already.
func (s *store) freeReserve() bool { return os.Remove(s.reserve) == nil }

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

// incoming is one item that is being received.
type incoming struct {
	store *store
	user  users.User
	item  *cutoffv1.Item
	file  *os.File
	size  int64
	err   error
}

// maxSealedFile bounds one sealed item on disk.
const maxSealedFile = 72 << 20

// begin opens a temporary file for an item.
func (s *store) begin(u users.User, item *cutoffv1.Item) (*incoming, error) {
	if s.has(item.GetId()) {
		return nil, errTwice
	}
	in := &incoming{store: s, user: u, item: item}
	in.file, in.err = os.CreateTemp(s.dir, tempMark+"*")
	s.mu.Lock()
	s.open[u.UID] = in
	s.mu.Unlock()
	return in, nil
}

// drop forgets what a child left half said.
func (s *store) drop(uid uint32) {
	s.mu.Lock()
	in := s.open[uid]
	delete(s.open, uid)
	s.mu.Unlock()
	if in != nil {
		in.discard()
	}
}

func (in *incoming) write(p []byte) {
	if in.err != nil || in.file == nil {
		return
	}
	if in.size += int64(len(p)); in.size > maxSealedFile {
		in.err = fmt.Errorf("%w: too large", errStore)
		return
	}
	_, in.err = in.file.Write(p)
}

func (in *incoming) discard() {
	if in.file != nil {
		_ = in.file.Close()
		_ = os.Remove(in.file.Name())
		in.file = nil
	}
}

// commit makes the item durable: label, ciphertext, folder, in that order.
func (in *incoming) commit() error {
	err := in.err
	if err == nil && in.file == nil {
		err = errStore
	}
	if err == nil {
		err = in.file.Sync()
	}
	if err == nil {
		err = in.store.keep(in)
	}
	if err == nil {
		in.file = nil
		return nil
	}
	in.discard()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errNoRoom
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

func (s *store) keep(in *incoming) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := in.item.GetId()
	if _, twice := s.sealed[id]; twice {
		return errTwice
	}
	raw, err := proto.Marshal(in.item)
	if err != nil {
		return err
	}
	s.order++
	text, err := json.Marshal(label{CutID: s.cutID, User: in.user, Order: s.order, Item: raw})
	if err != nil {
		return err
	}
	if err := writeDurably(s.path(id, ".json"), filepath.Join(s.dir, tempMark+id), text); err != nil {
		return err
	}
	if err := in.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(in.file.Name(), s.path(id, ".age")); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.sealed[id] = sealedItem{item: in.item, user: in.user, order: s.order}
	delete(s.open, in.user.UID)
	return nil
}

func writeDurably(name, temp string, data []byte) error {
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, name)
}
