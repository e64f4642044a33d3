package purge_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A dying child is this test's executable under a name that says at which
// frame of its talk to kill itself: in is one from its parent, not taken any
// more; out one of its own, not sent any more; sent one of its own, just sent. Or
// it tells the test, on a socket named like the executable, to kill its parent,
// and holds that frame.
type dying struct {
	frame  string
	nth    int
	parent bool
}

func (d dying) executable(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), fmt.Sprintf("dying-%s-%d-%t", d.frame, d.nth, d.parent))
	if err := os.Link(self, name); err != nil {
		data, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// dyingChild puts the two ends of a child's talk behind pipes that count.
func dyingChild() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	var d dying
	words := strings.Split(filepath.Base(self), "-")
	if len(words) != 4 || words[0] != "dying" {
		return
	}
	d.frame, d.parent = words[1], words[3] == "true"
	if _, err := fmt.Sscan(words[2], &d.nth); err != nil {
		panic(err)
	}
	d.count(&os.Stdin, nil)
	d.count(nil, &os.Stdout)
}

func (d dying) count(in, out **os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	if in != nil {
		from := *in
		*in = r
		go d.frames(from, w, "in", "")
		return
	}
	to := *out
	*out = w
	go d.frames(r, to, "out", "sent")
}

func (d dying) frames(from, to *os.File, before, after string) {
	defer to.Close()
	for n := 1; ; n++ {
		head := make([]byte, 5)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		frame := append(head, make([]byte, binary.BigEndian.Uint32(head[1:]))...)
		if _, err := io.ReadFull(from, frame[5:]); err != nil {
			return
		}
		d.die(before, n)
		if _, err := to.Write(frame); err != nil {
			return
		}
		d.die(after, n)
	}
}

func (d dying) die(frame string, n int) {
	if frame == d.frame && n == d.nth {
		if self, err := os.Executable(); err == nil && d.parent {
			if _, err := net.Dial("unix", "@"+self); err == nil {
				select {}
			}
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
