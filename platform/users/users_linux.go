package users

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cutoff/platform/command"
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
		all = append(all, sitting(top, all)...)
	}
	groups := parseGroups(group)
	var out []User
	for n, found := range lookAll(top, all, root == "") {
		if found != nil {
			found.Groups = groups[all[n].Name]
			out = append(out, *found)
		}
	}
	order(out)
	return out, nil
}

// answerTime is how long the file system of a home may take to answer: whoever
// works there gives it more.
const answerTime = 250 * time.Millisecond

// lookAll looks at all homes at once: nil where there is none. One that does
// not answer in time is taken for its user's own; its look is left to itself.
func lookAll(top *files.Dir, all []User, machine bool) []*User {
	answers := make([]chan *User, len(all))
	for n, u := range all {
		answers[n] = make(chan *User, 1)
		own, err := top.Again() // the look may outlast ours
		if err != nil {
			answers[n] <- nil
			continue
		}
		go func() {
			defer own.Close()
			answers[n] <- lookAt(own, u, machine)
		}()
	}
	late, done := context.WithTimeout(context.Background(), answerTime)
	defer done()
	out := make([]*User, len(all))
	for n, u := range all {
		select {
		case out[n] = <-answers[n]:
			continue
		default:
		}
		select {
		case out[n] = <-answers[n]:
		case <-late.Done():
			u.OwnsHome = true
			out[n] = &u
		}
	}
	return out
}

// lookAt says what there is to say of a user's home; nil: there is none, and
// none to come.
func lookAt(top *files.Dir, u User, machine bool) *User {
	home, err := top.Below(u.Home)
	if err != nil {
		if machine && u.comesBack() {
			u.Away, u.OwnsHome = true, true
			return &u
		}
		return nil
	}
	defer home.Close()
	i, err := home.Self()
	if err != nil {
		return nil
	}
	u.OwnsHome = i.UID == u.UID
	if machine && !u.OwnsHome && u.comesBack() {
		names, err := home.Names(".")
		u.Away = err == nil && len(names) == 0 // a mount point
	}
	return &u
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

// unlisted returns owners of folders in /home that have no passwd entry, also
// one folder deeper, where a directory service keeps a folder for each domain,
// and those whose home systemd-homed keeps closed.
func unlisted(top *files.Dir, known []User) []User {
	taken := map[string]bool{}
	for _, u := range known {
		taken[u.Home] = true
	}
	var out []User
	add := func(folder string) (deeper []string) {
		dir, err := top.Below(folder)
		if err != nil {
			return nil
		}
		defer dir.Close()
		names, err := dir.AcrossMounts().Names(".")
		if err != nil {
			return nil
		}
		for _, name := range names {
			i, err := dir.AcrossMounts().Stat(name)
			home := "/" + folder + "/" + name
			closed, isClosed := strings.CutSuffix(home, ".homedir")
			if !isClosed {
				closed, isClosed = strings.CutSuffix(home, ".home")
			}
			switch {
			case err != nil || taken[home]:
			case isClosed && !taken[closed]:
				if _, err := top.AcrossMounts().Stat(closed[1:]); errors.Is(err, fs.ErrNotExist) {
					out = append(out, User{Name: path.Base(closed), Home: closed, UID: homed, GID: homed, shell: "/bin/sh"})
				}
			case i.Kind != files.Directory:
			case i.UID == 0:
				deeper = append(deeper, strings.TrimPrefix(home, "/"))
			default:
				out = append(out, User{Name: name, Home: home, UID: i.UID, GID: i.GID})
			}
		}
		return deeper
	}
	for _, folder := range add("home") {
		add(folder)
	}
	return out
}

// homed stands for a user whose uid is told when his home opens.
const homed = 60_001

// askTime bounds the question to the name service, which may ask a server.
const askTime = 2 * time.Second

// sitting returns who is logged in and was not found in any other way.
func sitting(top *files.Dir, known []User) []User {
	runtimes, err := top.AcrossMounts().Names("run/user")
	if err != nil {
		return nil
	}
	taken := map[string]bool{}
	for _, u := range known {
		taken[strconv.FormatUint(uint64(u.UID), 10)] = true
	}
	var out []User
	for _, uid := range runtimes {
		if _, err := strconv.ParseUint(uid, 10, 32); err != nil || taken[uid] {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		line, err := command.Run(ctx, "/usr/bin/getent", "passwd", uid)
		cancel()
		if err == nil {
			out = append(out, parsePasswd(line)...)
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
