// Package users lists who has a home on this machine, or in a trial root. It
// must not look into the homes.
package users

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// User is one entry with a home that exists.
type User struct {
	Name string
	// Home is the absolute path as the user sees it.
	Home     string
	UID, GID uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// OwnsHome is false for a service account whose home is some system folder.
	OwnsHome bool
	// Away: a person's home that is not there now, such as one that is mounted at
	// login. Nothing can be done in it until it is.
	Away  bool
	shell string
}

// maxEntries bounds a passwd or group file that got out of hand.
const maxEntries = 100_000

// List returns the users of the machine, or of the trial root, whose home
// exists, those who own their home first, people before system accounts. On the machine itself
// the owners of folders in /home count too, and who has a runtime folder:
// accounts of a directory service are in no passwd file. There, people whose
// home is not mounted are listed as well.
func List(root string) ([]User, error) { return list(root) }

// Current is the user this process runs as.
func Current(root string) ([]User, error) { return current(root) }

// parsePasswd reads passwd(5); lines that are not seven fields are skipped.
func parsePasswd(data []byte) []User {
	var out []User
	for line := range entries(data) {
		f := strings.Split(line, ":")
		if len(f) != 7 || f[0] == "" || !strings.HasPrefix(f[5], "/") {
			continue
		}
		uid, uerr := strconv.ParseUint(f[2], 10, 32)
		gid, gerr := strconv.ParseUint(f[3], 10, 32)
		if uerr != nil || gerr != nil {
			continue
		}
		out = append(out, User{Name: f[0], Home: path.Clean(f[5]), UID: uint32(uid), GID: uint32(gid), shell: f[6]})
	}
	return out
}

// parseGroups returns the supplementary groups by user name, from group(5).
func parseGroups(data []byte) map[string][]uint32 {
	out := map[string][]uint32{}
	for line := range entries(data) {
		f := strings.Split(line, ":")
		if len(f) != 4 {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		for name := range strings.SplitSeq(f[3], ",") {
			if name != "" {
				out[name] = append(out[name], uint32(gid))
			}
		}
	}
	return out
}

// comesBack reports whether u is a person, who will bring his home when he logs
// in: no account of the system's, and none that cannot log in.
func (u User) comesBack() bool {
	closed := u.shell == "" || strings.HasSuffix(u.shell, "/nologin") || strings.HasSuffix(u.shell, "/false")
	return u.UID >= 1000 && u.UID <= 60_513 && !closed
}

func entries(data []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		lines := bufio.NewScanner(bytes.NewReader(data))
		for n := 0; lines.Scan() && n < maxEntries; n++ {
			line := strings.TrimRight(lines.Text(), "\r")
			if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "+") {
				continue
			}
			if !yield(line) {
				return
			}
		}
	}
}

// order sorts: own home before system folder, people before the system's own,
// then by uid.
func order(users []User) {
	rank := func(u User) int {
		switch {
		case u.OwnsHome && u.UID >= 1000 && u.UID < 60000:
			return 0
		case u.OwnsHome && u.UID == 0:
			return 1
		case u.OwnsHome:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(users, func(a, b User) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.UID, b.UID), strings.Compare(a.Name, b.Name))
	})
}

// Search is a folder on the way to a trial root.
type Search struct {
	Path     string
	UID, GID uint32
	Mode     fs.FileMode
}

// Searchable reports whether u may pass through the folder.
func (u User) Searchable(s Search) bool {
	switch {
	case u.UID == 0:
		return true
	case s.UID == u.UID:
		return s.Mode&0o100 != 0
	case s.GID == u.GID || slices.Contains(u.Groups, s.GID):
		return s.Mode&0o010 != 0
	}
	return s.Mode&0o001 != 0
}

// UnsearchableError names the folder above a trial root that a user of it cannot
// pass through.
type UnsearchableError struct {
	Folder string
	User   string
}

func (e *UnsearchableError) Error() string {
	return fmt.Sprintf("folder %s cannot be searched by user %s of the trial root; chmod o+x it", e.Folder, e.User)
}

// Reach refuses a trial root that one of the users cannot get to.
func Reach(root string, users []User) error { return reach(root, users) }

func firstUnsearchable(way []Search, users []User) error {
	for _, s := range way {
		for _, u := range users {
			if !u.Searchable(s) {
				return &UnsearchableError{Folder: s.Path, User: u.Name}
			}
		}
	}
	return nil
}
