package files_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/platform/files"
)

// access is a POSIX access control list as the system keeps it: the owner may
// read and write, named users and the group what is said, the rest nothing.
func access(group uint16, users map[uint32]uint16) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 2)
	add := func(tag, perm uint16, id uint32) {
		out = binary.LittleEndian.AppendUint16(out, tag)
		out = binary.LittleEndian.AppendUint16(out, perm)
		out = binary.LittleEndian.AppendUint32(out, id)
	}
	add(0x01, 6, ^uint32(0))
	for id, perm := range users {
		add(0x02, perm, id)
	}
	add(0x04, group, ^uint32(0))
	add(0x10, 6, ^uint32(0))
	add(0x20, 0, ^uint32(0))
	return out
}

func TestAnEditKeepsEverythingButTheBytes(t *testing.T) {
	d, dir := folder(t, "with", "without")
	// What is made here inherits rights for a stranger.
	if err := unix.Setxattr(dir, "system.posix_acl_default", access(4, map[uint32]uint16{4242: 6}), 0); err != nil {
		t.Fatalf("the temporary folder must be on a file system with access control lists: %v", err)
	}
	when := time.Date(2019, 1, 2, 3, 4, 5, 678, time.UTC)
	read := when.Add(time.Hour)
	for _, name := range []string{"with", "without"} {
		path := filepath.Join(dir, name)
		if name == "with" {
			for attribute, value := range map[string][]byte{"user.note": []byte("mine\x00"), "user.empty": nil, "system.posix_acl_access": access(0, map[uint32]uint16{1234: 4})} {
				if err := unix.Setxattr(path, attribute, value, 0); err != nil {
					t.Fatal(err)
				}
			}
		} else if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(path, 54321, 12345); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(path, read, when); err != nil {
			t.Fatal(err)
		}
		var was, is unix.Stat_t
		if err := unix.Lstat(path, &was); err != nil {
			t.Fatal(err)
		}
		file, info, err := d.OpenRegular(name)
		if err != nil {
			t.Fatal(err)
		}
		as, err := files.AttributesOf(file, info)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if err := d.Write(name, []byte("what is left"), as, &info); err != nil {
			t.Fatal(err)
		}
		if err := unix.Lstat(path, &is); err != nil {
			t.Fatal(err)
		}
		if was.Ino == is.Ino || was.Mode != is.Mode || was.Uid != is.Uid || was.Gid != is.Gid || was.Mtim != is.Mtim || was.Atim != is.Atim {
			t.Errorf("%s: is %+v, was %+v", name, is, was)
		}
		for attribute, want := range map[string][]byte{"user.note": as.Xattrs["user.note"], "user.empty": as.Xattrs["user.empty"], "system.posix_acl_access": as.Xattrs["system.posix_acl_access"]} {
			buf := make([]byte, 100)
			n, err := unix.Lgetxattr(path, attribute, buf)
			if _, had := as.Xattrs[attribute]; had != (err == nil) || had && !bytes.Equal(buf[:n], want) {
				t.Errorf("%s: %s is %q, %v; want %q", name, attribute, buf[:max(n, 0)], err, want)
			}
			if _, had := as.Xattrs[attribute]; had != (name == "with") {
				t.Errorf("%s: %s was read wrong", name, attribute)
			}
		}
	}
}
