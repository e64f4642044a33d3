package purge_test

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cutoff/platform/platformtest"
)

// hanging is a file system of a user's: real, and as slow to answer as he likes.
type hanging struct {
	fs.Inode
	owner   platformtest.User
	release chan struct{}
	// reads and looks hang once they are set.
	reads, looks *atomic.Bool
}

func (h *hanging) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if h.looks.Load() {
		<-h.release
	}
	out.Mode, out.Uid, out.Gid, out.Size = 0o700, uint32(h.owner.UID), uint32(h.owner.GID), uint64(len(secret))
	return 0
}

func (h *hanging) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (h *hanging) Read(_ context.Context, _ fs.FileHandle, into []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	if h.reads.Load() {
		<-h.release
	}
	rest := secret[min(int(at), len(secret)):]
	return fuse.ReadResultData([]byte(rest[:min(len(into), len(rest))])), 0
}

func (h *hanging) OnAdd(ctx context.Context) {
	if h.IsRoot() {
		token := &hanging{owner: h.owner, release: h.release, reads: h.reads, looks: h.looks}
		h.AddChild(".vault-token", h.NewPersistentInode(ctx, token, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
}

// mountHanging mounts one on a user's home until the test ends.
func mountHanging(t *testing.T, b *bench, u platformtest.User) *hanging {
	t.Helper()
	needRoot(t)
	h := &hanging{owner: u, release: make(chan struct{}), reads: &atomic.Bool{}, looks: &atomic.Bool{}}
	server, err := fs.Mount(b.root.Path(u.Home), h, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true}})
	if err != nil {
		t.Fatalf("a file system in user space needs /dev/fuse: %v", err)
	}
	t.Cleanup(func() {
		close(h.release)
		if err := server.Unmount(); err != nil {
			_ = syscall.Unmount(b.root.Path(u.Home), syscall.MNT_DETACH)
		}
	})
	return h
}

// checkOthersDone purges and holds that the hanging home is reported and held up
// nobody: what is bob's is gone long before the end.
func checkOthersDone(t *testing.T, b *bench) {
	t.Helper()
	const within = 40 * time.Second
	alice, bob := user("alice"), user("bob")
	path := b.root.File(bob, bob.Home+"/.vault-token", secret)
	gone := make(chan time.Duration, 1)
	begun := time.Now()
	go func() {
		for time.Since(begun) < within {
			if _, err := os.Lstat(path); err != nil {
				gone <- time.Since(begun)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		close(gone)
	}()
	r := b.purge()
	if took := time.Since(begun); took > within {
		t.Errorf("the purge took %s", took)
	}
	early, ok := <-gone
	if !ok {
		t.Error("the other user's credential was not gone in time")
	}
	t.Logf("the other home was done after %s, all after %s", early, time.Since(begun))
	want(t, at(t, r.Items, alice.Home), "left", blocked, "not-answering")
	want(t, at(t, r.Items, bob.Home+"/.vault-token"), "delete", verified, "deleted")
}

// A child that waits for such a read can be killed by nobody: the parent goes on.
func TestAFileSystemWhoseReadsHangHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, platformtest.Users()...)
	b.config.Budget = time.Second
	mountHanging(t, b, user("alice")).reads.Store(true)
	checkOthersDone(t, b)
}

func TestAHomeThatDoesNotAnswerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, platformtest.Users()...)
	mountHanging(t, b, user("alice")).looks.Store(true)
	checkOthersDone(t, b)
}

func TestACredentialOnAFileSystemInUserSpaceGoesToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	mountHanging(t, b, u)
	i := at(t, b.plan(), u.Home+"/.vault-token")
	if i.GetAction() != "delete" {
		t.Errorf("%s %s", i.GetAction(), i.GetDetail())
	}
}
