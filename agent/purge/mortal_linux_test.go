package purge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"cutoff/agent/journal"
	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// mortal is an agent in a process of its own, which can be killed like any: it
// resumes the journal, as after a restart, and carries out what is unfinished.
type mortal struct {
	Root, State, Self, Escrow string
}

// mortalArg is the first argument of a run as such an agent.
const mortalArg = "mortal-agent"

func mortalAgent(text string) int {
	if err := resumeAll(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func resumeAll(text string) error {
	var m mortal
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	escrow, err := age.ParseX25519Identity(m.Escrow)
	if err != nil {
		return err
	}
	j, err := journal.Open(filepath.Join(m.State, "journal.db"))
	if err != nil {
		return err
	}
	p, err := purge.New(purge.Config{Root: m.Root, State: m.State, Self: m.Self, Boot: boot})
	if err != nil {
		return err
	}
	all, err := j.Resume()
	if err != nil {
		return err
	}
	b := &bench{escrow: escrow}
	for _, w := range all {
		if w.Finished() {
			continue
		}
		if w.Kind() == lift {
			_, err = p.Restore(context.Background(), w, b.unseal)
		} else {
			_, err = p.Run(context.Background(), w)
		}
		if err == nil {
			err = j.Finish(w, []byte("receipt"))
		}
		if err != nil {
			return err
		}
	}
	return j.Close()
}

// killer ends an agent at some step of it.
type killer interface {
	// arm prepares; the agent's children run as self.
	arm(t *testing.T, b *bench) (self string)
	// watch kills the agent when its step comes, and returns when it has ended.
	watch(agent *os.Process, ended <-chan struct{})
	String() string
}

// agentDies has the mortal agent resume what the journal holds, killed by k. It
// reports whether it was.
func (b *bench) agentDies(t *testing.T, k killer) bool {
	t.Helper()
	if err := b.journal.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(mortal{Root: b.root.Dir, State: b.state, Self: k.arm(t, b), Escrow: b.escrow.String()})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	agent := exec.Command("/proc/self/exe", mortalArg, string(text))
	agent.Stderr = &said
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() { defer close(watched); k.watch(agent.Process, ended) }()
	err = agent.Wait()
	close(ended)
	<-watched
	killed := agent.ProcessState.Sys().(syscall.WaitStatus).Signaled()
	if err != nil && !killed {
		t.Fatalf("%s: %v: %s", k, err, said.String())
	}
	if b.journal, err = journal.Open(filepath.Join(b.state, "journal.db")); err != nil {
		t.Fatalf("%s: %v", k, err)
	}
	t.Cleanup(func() { b.journal.Close() })
	return killed
}

// atFrame has the child say when it comes to a frame of the talk, and kills the
// agent while the child holds it.
type atFrame struct {
	dying
	said net.Listener
}

func (k *atFrame) arm(t *testing.T, _ *bench) string {
	t.Helper()
	self := k.executable(t)
	var err error
	if k.said, err = net.Listen("unix", "@"+self); err != nil {
		t.Fatal(err)
	}
	return self
}

func (k *atFrame) watch(agent *os.Process, ended <-chan struct{}) {
	go func() { <-ended; _ = k.said.Close() }()
	if child, err := k.said.Accept(); err == nil {
		_ = agent.Kill()
		_ = child.Close()
	}
}

func (k *atFrame) String() string { return fmt.Sprintf("frame %s %d", k.frame, k.nth) }

// atChange kills the agent when so many changes were seen in the folders where
// sealed copies, the journal and the secrets lie.
type atChange struct {
	nth int
	fd  int
}

func (k *atChange) arm(t *testing.T, b *bench) string {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	k.fd = fd
	t.Cleanup(func() { _ = unix.Close(fd) })
	sealed := filepath.Join(b.state, "sealed")
	if err := os.MkdirAll(sealed, 0o700); err != nil {
		t.Fatal(err)
	}
	home := b.root.Path(user("alice").Home)
	const changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
	for _, dir := range []string{sealed, b.state, home, home + "/.aws"} {
		if _, err := unix.InotifyAddWatch(fd, dir, changes); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return ""
}

func (k *atChange) watch(agent *os.Process, ended <-chan struct{}) {
	buf := make([]byte, 4096)
	for seen := 0; ; {
		select {
		case <-ended:
			return
		default:
		}
		n, err := unix.Read(k.fd, buf)
		if err != nil {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}}, 5)
			continue
		}
		for at := 0; at < n; at += unix.SizeofInotifyEvent + int((*unix.InotifyEvent)(unsafe.Pointer(&buf[at])).Len) {
			seen++
		}
		if seen >= k.nth {
			_ = agent.Kill()
			return
		}
	}
}

func (k *atChange) String() string { return fmt.Sprintf("change %d", k.nth) }

// deaths are all the ways and steps at which an agent is killed: next returns
// the following one until done says that the last way had no such step.
func deaths(try func(k killer) (killed bool)) {
	for _, frame := range []string{"in", "out", "sent"} {
		for nth := 1; try(&atFrame{dying: dying{frame, nth, true}}); nth += parentStride() {
		}
	}
	for nth := 1; try(&atChange{nth: nth}); nth += parentStride() {
	}
}

// parentStride is how many steps lie between two kills: none in the heavy run.
func parentStride() int {
	if os.Getenv("CUTOFF_HEAVY") != "" {
		return 1
	}
	return 23
}

func TestAnAgentKilledAtAnyStepOfASealLosesNothing(t *testing.T) {
	deaths(func(k killer) bool {
		b := newBench(t, user("alice"))
		u := user("alice")
		mortalHome(b, u)
		before := platformtest.Take(t, b.root.Dir)
		b.warrant(cutoffv1.OrderKind_ORDER_KIND_SEAL, "cut_1")
		killed := b.agentDies(t, k)
		r := b.seal()
		checkOnce(t, r.Items, 4)
		noSecretBelow(t, b.root.Dir)
		noSecretBelow(t, b.state)
		checkBack(t, b, before, b.lift(), k)
		return killed
	})
}

func TestAnAgentKilledAtAnyStepOfALiftLosesNothing(t *testing.T) {
	deaths(func(k killer) bool {
		b := newBench(t, user("alice"))
		u := user("alice")
		mortalHome(b, u)
		before := linkedHome(t, b, u)
		b.seal()
		if err := os.RemoveAll(b.root.Path(u.Home + "/.aws")); err != nil {
			t.Fatal(err)
		}
		b.warrant(lift, "cut_1")
		killed := b.agentDies(t, k)
		checkBack(t, b, before, b.lift(), k)
		return killed
	})
}

func TestAChildKilledAtAnyFrameOfALiftCostsNothing(t *testing.T) {
	for _, frame := range []string{"in", "out", "sent"} {
		for nth := 1; ; nth += stride() {
			b := newBench(t, user("alice"))
			u := user("alice")
			mortalHome(b, u)
			before := linkedHome(t, b, u)
			b.seal()
			k := dying{frame, nth, false}
			var log bytes.Buffer
			b.config.Log = slog.New(slog.NewTextHandler(&log, nil))
			b.config.Self = k.executable(t)
			b.lift() // each child dies at that frame of its own, if it comes to it
			b.config.Self = ""
			checkBack(t, b, before, b.lift(), k)
			if !strings.Contains(log.String(), "child stopped") {
				break
			}
		}
	}
}

// linkedHome adds two keys that are one file, and folders of odd modes.
func linkedHome(t *testing.T, b *bench, u platformtest.User) platformtest.Picture {
	t.Helper()
	b.root.File(u, u.Home+"/.ssh/id_work", pemKey)
	err := errors.Join(os.Link(b.root.Path(u.Home+"/.ssh/id_work"), b.root.Path(u.Home+"/.ssh/id_same")),
		os.Chmod(b.root.Path(u.Home+"/.aws"), 0o750), os.Chmod(b.root.Path(u.Home+"/.aws/sso"), 0o711))
	if err != nil {
		t.Fatal(err)
	}
	return platformtest.Take(t, b.root.Dir)
}

// checkBack holds that after a lift all is as it was, and no copy is left.
func checkBack(t *testing.T, b *bench, before platformtest.Picture, r purge.Result, at any) {
	t.Helper()
	if !r.Complete {
		t.Errorf("%s: not complete: %s", at, list(r.Items))
	}
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("%s: not as it was:\n%s\n%s", at, strings.Join(diff, "\n"), list(r.Items))
	}
	one, err := os.Stat(b.root.Path("/home/alice/.ssh/id_work"))
	if other, err2 := os.Stat(b.root.Path("/home/alice/.ssh/id_same")); err == nil && (err2 != nil || !os.SameFile(one, other)) {
		t.Errorf("%s: two names of one file are two files: %v", at, err2)
	}
	left, err := os.ReadDir(filepath.Join(b.state, "sealed"))
	if err != nil || len(left) > 0 {
		t.Errorf("%s: %d sealed copies left, %v", at, len(left), err)
	}
	if t.Failed() {
		t.FailNow()
	}
}
