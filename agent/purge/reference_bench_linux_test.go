package purge_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/reference"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// BenchmarkPurgeOfReferenceHomes measures a purge of three users' homes, with
// children started cold, against rm of the same files in the same homes, and
// when the ten most dangerous files are gone: of those at their usual places,
// which are looked at first, and of all.
func BenchmarkPurgeOfReferenceHomes(b *testing.B) {
	var rm, purged, cpu, usual, all []time.Duration
	items := 0
	for seed := uint64(0); b.Loop(); seed++ {
		b.StopTimer()
		twin := newHomes(b, seed, 2, 1)
		rm = append(rm, twin.removed())
		h := newHomes(b, seed, 2, 1)
		usually, any := h.dangerous()
		w := h.watch(append(usually, any...))
		p, err := purge.New(h.config)
		h.must(err)
		warrant := h.warrant(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_1")
		b.StartTimer()
		began, before := boot(), processors()
		r, err := p.Run(context.Background(), warrant)
		b.StopTimer()
		h.must(err)
		cpu = append(cpu, processors()-before)
		purged = append(purged, r.FinishedBoot-began)
		items = len(r.Items)
		usual = append(usual, w.until(b, usually))
		all = append(all, w.until(b, any))
		b.StartTimer()
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(float64(items), "items")
	b.ReportMetric(median(rm), "rm-ms")
	b.ReportMetric(median(purged), "purge-ms")
	b.ReportMetric(median(purged)/(1.5*median(rm)+150), "of-1.5rm+150ms")
	b.ReportMetric(median(cpu), "purge-cpu-ms")
	b.ReportMetric(median(usual), "ten-most-dangerous-ms")
	b.ReportMetric(median(all), "ten-anywhere-ms")
}

// processors is the time that this process and its children took of them: what
// a busy machine does not change.
func processors() time.Duration {
	var all time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return all
}

// removed is how long rm takes for what a purge would take or edit.
func (h *homes) removed() time.Duration {
	var names bytes.Buffer
	for _, f := range h.made.Files {
		if f.Fate != reference.Stays && !f.Encrypted {
			names.WriteString(h.root.Path(f.Name) + "\x00")
		}
	}
	for _, d := range h.made.Folders {
		names.WriteString(h.root.Path(d) + "\x00")
	}
	began := boot()
	cmd := exec.Command("xargs", "-0", "rm", "-rf", "--")
	cmd.Stdin = &names
	h.must(cmd.Run())
	return boot() - began
}

// dangerous are the files of the ten most dangerous items: at usual places, and
// anywhere. A keyring's file is not among the first: it waits until it is known
// that no keyring has it open.
func (h *homes) dangerous() (usual, anywhere []string) {
	entries, err := catalogue.Load("linux")
	h.must(err)
	for i := range entries {
		for _, f := range h.made.Files {
			if f.Entry != entries[i].ID || f.Fate == reference.Stays || f.Encrypted || f.Owner == nil {
				continue
			}
			if len(anywhere) < 10 {
				anywhere = append(anywhere, f.Name)
			}
			if len(usual) < 10 && f.Variant == "usual" && entries[i].Action != catalogue.KeyringFile {
				usual = append(usual, f.Name)
			}
		}
	}
	return usual, anywhere
}

// watcher notes when names go or are replaced, and when the first child starts.
type watcher struct {
	fd      int
	root    string
	folders map[int32]string
	program int32 // the watch of what children run
	started time.Duration
	gone    map[string]time.Duration
	done    chan struct{}
}

func (h *homes) watch(names []string) *watcher {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	h.must(err)
	w := &watcher{fd: fd, root: h.root.Dir, folders: map[int32]string{}, gone: map[string]time.Duration{}, done: make(chan struct{})}
	self, err := os.Executable()
	h.must(err)
	h.config.Self = filepath.Join(h.t.TempDir(), "agent")
	data, err := os.ReadFile(self)
	h.must(err)
	h.must(os.WriteFile(h.config.Self, data, 0o755))
	add := func(path string, mask uint32) int32 {
		n, err := unix.InotifyAddWatch(fd, path, mask)
		h.must(err)
		w.folders[int32(n)] = path
		return int32(n)
	}
	w.program = add(h.config.Self, unix.IN_OPEN)
	for _, n := range names {
		add(filepath.Dir(h.root.Path(n)), unix.IN_DELETE|unix.IN_MOVED_TO)
	}
	go w.read()
	return w
}

func (w *watcher) read() {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		now := boot()
		if err != nil || n < unix.SizeofInotifyEvent {
			return
		}
		for at := buf[:n]; len(at) >= unix.SizeofInotifyEvent; {
			folder, mask := w.folders[int32(binary.NativeEndian.Uint32(at))], binary.NativeEndian.Uint32(at[4:])
			length := int(binary.NativeEndian.Uint32(at[12:]))
			name := string(bytes.TrimRight(at[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+length], "\x00"))
			at = at[unix.SizeofInotifyEvent+length:]
			switch path := folder + "/" + name; {
			case mask&unix.IN_IGNORED != 0 && folder == w.folders[w.program]:
				return
			case mask&unix.IN_OPEN != 0 && w.started == 0:
				w.started = now
			case w.gone[path] == 0:
				w.gone[path] = now
			}
		}
	}
}

// until is when the last of these names was gone, since the first child began.
func (w *watcher) until(b *testing.B, names []string) time.Duration {
	b.Helper()
	w.end()
	var last time.Duration
	for _, n := range names {
		at := w.gone[w.root+n]
		if at == 0 {
			b.Fatalf("%s was not seen to go", n)
		}
		last = max(last, at)
	}
	return last - w.started
}

// end waits for all that happened before it.
func (w *watcher) end() {
	_, _ = unix.InotifyRmWatch(w.fd, uint32(w.program)) // nothing, the second time
	<-w.done
}
