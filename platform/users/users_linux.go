package users

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"cutoff/platform/files"
)

// maxFile bounds passwd and group.
const maxFile = 16 << 20

func list(root string) ([]User, error) {
	top, err := files.Open(or(root))
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	defer top.Close()
	passwd, err := read(top, "etc/passwd")
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	group, err := read(top, "etc/group")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	all := parsePasswd(passwd)
	if root == "" {
		all = append(all, unlisted(top, all)...)
	}
	groups := parseGroups(group)
	var out []User
	for _, u := range all {
		home, err := top.Below(u.Home)
		if err != nil {
			continue // no such home
		}
		if i, err := home.Self(); err == nil {
			u.OwnsHome = i.UID == u.UID
			u.Groups = groups[u.Name]
			out = append(out, u)
		}
		_ = home.Close()
	}
	order(out)
	return out, nil
}

func current(root string) ([]User, error) {
	all, err := list(root)
	if err != nil {
		return nil, err
	}
	var own []User
	for _, u := range all {
		if u.UID == uint32(os.Geteuid()) {
			own = append(own, u)
		}
	}
	return own, nil
}

// unlisted returns owners of folders in /home that have no passwd entry.
func unlisted(top *files.Dir, known []User) []User {
	homes, err := top.Below("home")
	if err != nil {
		return nil
	}
	defer homes.Close()
	names, err := homes.AcrossMounts().Names(".")
	if err != nil {
		return nil
	}
	taken := map[string]bool{}
	for _, u := range known {
		taken[u.Home] = true
	}
	var out []User
	for _, name := range names {
		i, err := homes.AcrossMounts().Stat(name)
		if home := "/home/" + name; err == nil && i.Kind == files.Directory && !taken[home] && i.UID != 0 {
			out = append(out, User{Name: name, Home: home, UID: i.UID, GID: i.GID})
		}
	}
	return out
}

func read(top *files.Dir, name string) ([]byte, error) {
	data, _, err := top.AcrossMounts().Read(name, maxFile)
	return data, err
}

func reach(root string, users []User) error {
	if root == "" || os.Geteuid() != 0 {
		return nil
	}
	dir, err := filepath.Abs(root)
	if err != nil {
		return fmt.Errorf("trial root: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("trial root: %w", err)
	}
	var way []Search
	for {
		fi, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("trial root: %w", err)
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			way = append(way, Search{Path: dir, UID: st.Uid, GID: st.Gid, Mode: fi.Mode().Perm()})
		}
		above := filepath.Dir(dir)
		if above == dir {
			return firstUnsearchable(way, users)
		}
		dir = above
	}
}

func or(root string) string {
	if root == "" {
		return "/"
	}
	return root
}
