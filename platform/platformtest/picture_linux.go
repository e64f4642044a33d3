package platformtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Picture is a tree by path: kind, mode, owner, modification time, links,
// extended attributes and a hash of the content, a line each. Folders' times
// are left out: they change with what is in them.
type Picture map[string]string

// Take takes a picture of the tree at dir, without what skip names.
func Take(t testing.TB, dir string, skip ...string) Picture {
	t.Helper()
	p := Picture{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		for _, s := range skip {
			if name == s || strings.HasPrefix(name, s+"/") {
				return nil
			}
		}
		line, err := describe(path)
		p[name] = line
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%s uid=%d gid=%d", info.Mode(), st.Uid, st.Gid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return line + " -> " + target, err
	case info.Mode().IsRegular():
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" mtime=%d sha=%x", info.ModTime().UnixNano(), sha256.Sum256(data))
	}
	attributes, err := xattrs(path)
	return line + attributes, err
}

func xattrs(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		return "", nil //nolint:nilerr // not on this file system
	}
	var out []string
	for name := range bytes.SplitSeq(bytes.TrimRight(buf[:n], "\x00"), []byte{0}) {
		value := make([]byte, 64<<10)
		size, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			return "", err
		}
		out = append(out, fmt.Sprintf(" %s=%q", name, value[:size]))
	}
	slices.Sort(out)
	return strings.Join(out, ""), nil
}

// Diff lists what differs, a line each, sorted: "+" came, "-" went, "~" changed.
func (p Picture) Diff(now Picture) []string {
	var out []string
	for name, was := range p {
		is, ok := now[name]
		switch {
		case !ok:
			out = append(out, "- "+name)
		case is != was:
			out = append(out, fmt.Sprintf("~ %s: %s, was %s", name, is, was))
		}
	}
	for name := range now {
		if _, ok := p[name]; !ok {
			out = append(out, "+ "+name)
		}
	}
	slices.Sort(out)
	return out
}
