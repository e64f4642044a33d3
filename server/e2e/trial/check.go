package trial

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
	"time"
)

// File is what a file was at a moment.
type File struct {
	Sum   [sha256.Size]byte
	Mode  fs.FileMode
	UID   uint32
	Mtime time.Time
	Lines []string
}

// Snapshot reads every file below dir, by its path below the root.
func (l *Laptop) Snapshot(dir string) map[string]File {
	files := map[string]File{}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		stat := info.Sys().(*syscall.Stat_t)
		files[strings.TrimPrefix(p, l.Root)] = File{
			Sum: sha256.Sum256(data), Mode: info.Mode(), UID: stat.Uid, Mtime: info.ModTime(),
			Lines: strings.SplitAfter(string(data), "\n"),
		}
		return nil
	})
	return files
}

// Live lists the files below dir that still hold a canary.
func (l *Laptop) Live(dir string) []string {
	var found []string
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		for canary := range l.Secrets {
			if bytes.Contains(data, []byte(canary)) {
				found = append(found, strings.TrimPrefix(p, l.Root))
				break
			}
		}
		return nil
	})
	slices.Sort(found)
	return found
}

// Harm compares the laptop with how it was and lists everything a purge must
// not have done: a document changed or gone, a mixed file that lost more than
// its secrets, a mode or owner changed, a file nobody asked for.
func (l *Laptop) Harm(before map[string]File) []string {
	after := l.Snapshot(filepath.Join(l.Root, "home"))
	var harm []string
	secret := map[string]bool{}
	for _, path := range l.Secrets {
		secret[path] = true
	}
	for path, was := range before {
		is, there := after[path]
		switch {
		case strings.Contains(path, "/share/keyrings/"):
			// A keyring rewrites its own file; who knows its items compares those.
		case !secret[path] && !there:
			harm = append(harm, path+": gone")
		case !secret[path] && (is.Sum != was.Sum || !is.Mtime.Equal(was.Mtime)):
			harm = append(harm, path+": changed")
		case secret[path] && l.Mixed[path] && !there:
			harm = append(harm, path+": gone, and only its secrets should be")
		case there && (is.Mode != was.Mode || is.UID != was.UID):
			harm = append(harm, fmt.Sprintf("%s: mode %v owner %d, was %v %d", path, is.Mode, is.UID, was.Mode, was.UID))
		case secret[path] && there:
			harm = append(harm, l.lost(path, was.Lines, is.Lines)...)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok && !strings.Contains(path, "/share/keyrings/") {
			harm = append(harm, path+": was not there before")
		}
	}
	slices.Sort(harm)
	return harm
}

// lost lists the lines without a secret that are not there any more, in order.
func (l *Laptop) lost(path string, was, is []string) []string {
	var harm []string
	at := 0
	for _, line := range was {
		if l.secretLine(line) {
			continue
		}
		i := slices.Index(is[at:], line)
		if i < 0 {
			harm = append(harm, fmt.Sprintf("%s: lost %q", path, line))
			continue
		}
		at += i + 1
	}
	return harm
}

func (l *Laptop) secretLine(line string) bool {
	for canary := range l.Secrets {
		if strings.Contains(line, canary) {
			return true
		}
	}
	return false
}

// Same lists how the laptop differs from how it was: after a lift, nothing.
func (l *Laptop) Same(before map[string]File) []string {
	after := l.Snapshot(filepath.Join(l.Root, "home"))
	var differs []string
	for path, was := range before {
		is, ok := after[path]
		if !ok || is.Sum != was.Sum || is.Mode != was.Mode || is.UID != was.UID || !is.Mtime.Equal(was.Mtime) {
			differs = append(differs, path)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			differs = append(differs, path)
		}
	}
	slices.Sort(differs)
	return differs
}
