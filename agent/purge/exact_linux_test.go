package purge_test

import (
	"encoding/binary"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/platform/platformtest"
)

// acl is a POSIX ACL as the file system takes it: its owner may read and write,
// another user read, the group nothing, others nothing.
func acl(other int) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct{ tag, perm, id uint32 }{
		{0x01, 6, ^uint32(0)}, {0x02, 4, uint32(other)}, {0x04, 0, ^uint32(0)}, {0x10, 4, ^uint32(0)}, {0x20, 0, ^uint32(0)},
	} {
		out = binary.LittleEndian.AppendUint16(out, uint16(e.tag))
		out = binary.LittleEndian.AppendUint16(out, uint16(e.perm))
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out
}

// times are the modification times of all folders, and the inode of each file
// with several names.
func times(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			var info fs.FileInfo
			info, err = d.Info()
			out[path] = info.ModTime().UnixNano()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSealAndLiftGiveBackEveryBit(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	furnish(b.root, u)
	decorate(t, b.root, u)
	home := func(name string) string { return b.root.Path(u.Home + "/" + name) }
	set := func(name, attribute string) {
		t.Helper()
		if err := unix.Setxattr(home(name), attribute, acl(user("bob").UID), 0); err != nil {
			t.Fatalf("the temporary folder must be on a file system with ACLs: %v", err)
		}
	}
	link := func(existing, name string) {
		t.Helper()
		if err := os.Link(home(existing), home(name)); err != nil {
			t.Fatal(err)
		}
	}
	set(".vault-token", "system.posix_acl_access")
	set(".npmrc", "system.posix_acl_access")
	set(".aws/sso/cache", "system.posix_acl_default") // for new files: not for what was there
	set(".ssh", "system.posix_acl_default")
	link(".ssh/id_ed25519", ".ssh/id_same")
	link(".aws/sso/cache/1.json", ".aws/sso/cache/same.json")
	b.root.Folder(u, u.Home+"/.aws/sso/cache/empty", 0o710)
	b.root.Link(u, u.Home+"/.aws/sso/cache/link", "1.json")
	b.root.File(u, u.Home+"/dotfiles/pgpass", "h:1:d:u:"+secret)
	if err := os.Remove(home(".pgpass")); err != nil {
		t.Fatal(err)
	}
	b.root.Link(u, u.Home+"/.pgpass", "dotfiles/pgpass")
	old := time.Date(2019, 8, 7, 6, 5, 4, 321, time.UTC)
	for _, name := range []string{"", ".ssh", ".aws", ".aws/sso/cache", ".aws/sso/cache/empty", ".config/gh", "dotfiles"} {
		if err := os.Chtimes(home(name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	before, folders := platformtest.Take(t, b.root.Dir), times(t, b.root.Dir)
	for _, i := range b.seal().Items {
		if !i.GetSealed() {
			t.Errorf("%s: %s %s", i.GetPath(), i.GetAction(), i.GetDetail())
		}
	}
	noSecretBelow(t, b.root.Dir)
	if at, err := os.Stat(home(".ssh")); err != nil || !at.ModTime().Equal(old) {
		t.Errorf("a seal changed a folder's time: %v, %v", at, err)
	}
	for _, i := range b.lift().Items {
		if i.GetDetail() != "restored" {
			t.Errorf("%s: %s %s", i.GetPath(), i.GetAction(), i.GetDetail())
		}
	}
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
	if now := times(t, b.root.Dir); !maps.Equal(folders, now) {
		for name, was := range folders {
			if now[name] != was {
				t.Errorf("%s has another time", name)
			}
		}
	}
	for one, other := range map[string]string{".ssh/id_ed25519": ".ssh/id_same", ".aws/sso/cache/1.json": ".aws/sso/cache/same.json"} {
		a, err := os.Stat(home(one))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.Stat(home(other)); err != nil || !os.SameFile(a, b) {
			t.Errorf("%s and %s were one file: %v", one, other, err)
		}
	}
}
