// Package platformtest builds what tests of this system's parts need: a trial
// root with users and homes, pictures of a tree to compare, and a real keyring
// on a bus of its own. It is for tests only.
package platformtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// User is one account of a trial root.
type User struct {
	Name     string
	UID, GID int
	Home     string
}

// Users are what Root makes when run by root; anybody else gets one user, with
// his own uid.
func Users() []User {
	if os.Geteuid() != 0 {
		return []User{{Name: "alice", UID: os.Getuid(), GID: os.Getgid(), Home: "/home/alice"}}
	}
	return []User{
		{Name: "root", UID: 0, GID: 0, Home: "/root"},
		{Name: "alice", UID: 41001, GID: 41001, Home: "/home/alice"},
		{Name: "bob", UID: 41002, GID: 41002, Home: "/home/bob"},
	}
}

// Root is a trial root.
type Root struct {
	Dir string
	t   testing.TB
}

// NewRoot makes a trial root that every uid can get to.
func NewRoot(t testing.TB, users ...User) *Root {
	t.Helper()
	r := &Root{Dir: Open(t), t: t}
	var passwd, group strings.Builder
	for _, u := range users {
		fmt.Fprintf(&passwd, "%s:x:%d:%d:%s:%s:/bin/sh\n", u.Name, u.UID, u.GID, u.Name, u.Home)
		fmt.Fprintf(&group, "%s:x:%d:\n", u.Name, u.GID)
	}
	r.File(User{}, "/etc/passwd", passwd.String())
	r.File(User{}, "/etc/group", group.String())
	r.File(User{}, "/etc/machine-id", strings.Repeat("0", 32)+"\n")
	for _, u := range users {
		r.Folder(u, u.Home, 0o700)
	}
	return r
}

// Open makes a temporary folder that every uid can get to.
func Open(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { // other uids work below it
			t.Fatal(err)
		}
	}
	return dir
}

// Path is where a path of the root's own lies on the machine.
func (r *Root) Path(name string) string { return filepath.Join(r.Dir, name) }

// Folder makes a folder and those above it, in the user's home as the user's.
func (r *Root) Folder(u User, name string, mode os.FileMode) {
	r.t.Helper()
	at := r.Dir
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		at = filepath.Join(at, part)
		if err := os.Mkdir(at, 0o755); err != nil && !os.IsExist(err) { //nolint:gosec // as above
			r.t.Fatal(err)
		}
		if u.Home != "" && strings.HasPrefix(at+"/", r.Path(u.Home)+"/") {
			r.own(u, at)
		}
	}
	if err := os.Chmod(at, mode); err != nil {
		r.t.Fatal(err)
	}
}

// File writes a file of mode 0600 (0644 outside homes) and returns its path on
// the machine.
func (r *Root) File(u User, name, content string) string {
	r.t.Helper()
	mode := os.FileMode(0o600)
	if u.Home == "" {
		mode = 0o644
	}
	if _, err := os.Stat(filepath.Dir(r.Path(name))); err != nil {
		r.Folder(u, filepath.Dir(name), 0o755)
	}
	path := r.Path(name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		r.t.Fatal(err)
	}
	if u.Home != "" {
		r.own(u, path)
	}
	return path
}

// Link makes a symbolic link of the user's.
func (r *Root) Link(u User, name, target string) string {
	r.t.Helper()
	if _, err := os.Stat(filepath.Dir(r.Path(name))); err != nil {
		r.Folder(u, filepath.Dir(name), 0o755)
	}
	if err := os.Symlink(target, r.Path(name)); err != nil {
		r.t.Fatal(err)
	}
	r.own(u, r.Path(name))
	return r.Path(name)
}

func (r *Root) own(u User, path string) {
	r.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Lchown(path, u.UID, u.GID); err != nil {
		r.t.Fatal(err)
	}
}
