package watch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// errFull: as many folders are watched as one Watcher takes.
var errFull = errors.New("too many folders to watch")

type watcher struct {
	file *os.File
	fd   int // file's own; its method would make reads block for good

	mu     sync.Mutex
	closed bool
	wanted map[int]map[string]bool // by watch; nil: every name
}

const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR

func newWatcher() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch folders: %w", err)
	}
	return &Watcher{watcher{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, wanted: map[int]map[string]bool{}}}, nil
}

func (w *watcher) add(folder *os.File, names []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if len(w.wanted) >= Most {
		return errFull
	}
	// By its descriptor: no name on the way to it can lead elsewhere.
	at, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(int(folder.Fd())), events)
	if err != nil {
		return fmt.Errorf("watch folder: %w", err)
	}
	known, again := w.wanted[at]
	switch {
	case len(names) == 0 || again && known == nil:
		w.wanted[at] = nil
		return nil
	case !again:
		known = map[string]bool{}
		w.wanted[at] = known
	}
	for _, n := range names {
		known[n] = true
	}
	return nil
}

func (w *watcher) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := range w.wanted {
		if w.closed {
			break
		}
		_, _ = unix.InotifyRmWatch(w.fd, uint32(at)) // the folder may be gone, and its watch with it
	}
	clear(w.wanted)
}

func (w *watcher) run(ctx context.Context, touched func()) error {
	stop := context.AfterFunc(ctx, w.close)
	defer stop()
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buffer)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("watch folders: %w", err)
		}
		if w.matters(buffer[:n]) {
			touched()
		}
	}
}

// matters reports whether one of the events is about a wanted name. When events
// were lost, any of them may have been.
func (w *watcher) matters(data []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(data) >= unix.SizeofInotifyEvent {
		at := int(int32(binary.NativeEndian.Uint32(data)))
		mask := binary.NativeEndian.Uint32(data[4:])
		size := int(binary.NativeEndian.Uint32(data[12:]))
		end := unix.SizeofInotifyEvent + size
		if end > len(data) {
			return false
		}
		name := bytes.TrimRight(data[unix.SizeofInotifyEvent:end], "\x00")
		data = data[end:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			return true
		}
		if mask&unix.IN_IGNORED != 0 {
			delete(w.wanted, at)
			continue
		}
		if names, known := w.wanted[at]; known && (names == nil || names[string(name)]) {
			return true
		}
	}
	return false
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		_ = w.file.Close() // ends a read that waits
	}
}
