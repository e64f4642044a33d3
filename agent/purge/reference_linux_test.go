package purge_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/reference"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// allowedBy is a scope that allows every second policy, others with each seed.
func allowedBy(seed uint64) catalogue.Scope {
	s := catalogue.Scope{WorkTrees: []string{reference.Trees}}
	for i, p := range catalogue.Policies() {
		if (uint64(i)+seed)%2 == 0 {
			s.Policies = append(s.Policies, p)
		}
	}
	return s
}

// homes are reference homes in a trial root.
type homes struct {
	*bench
	made   *reference.Homes
	was    platformtest.Picture
	byName map[string]*reference.File
}

// made makes up homes; of every part of the catalogue, or of one of several.
func made(t testing.TB, seed uint64, scope catalogue.Scope, parts uint64, each int) *reference.Homes {
	t.Helper()
	all, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	var users []reference.User
	for _, u := range platformtest.Users() {
		users = append(users, reference.User{UID: u.UID, Home: u.Home})
	}
	return reference.New(reference.Config{Seed: seed, Users: users, Catalogue: all, Scope: scope,
		Only: func(n int) bool { return uint64(n)%parts == seed%parts },
		Database: func(table, column string, rows []reference.Row) map[string][]byte {
			return running(t, table, column, rows)
		}})
}

// running is a database of a program that runs: half of it is in the log.
func running(t testing.TB, table, column string, rows []reference.Row) map[string][]byte {
	t.Helper()
	dir, err := os.MkdirTemp("", "reference")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	from := filepath.Join(dir, "db")
	db := opened(t, from)
	defer db.Close()
	exec := func(statement string, args ...any) {
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA synchronous=OFF")
	exec("CREATE TABLE " + table + " (" + column + " TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)")
	for i, r := range rows {
		if i == len(rows)/2 {
			exec("PRAGMA journal_mode=WAL")
			exec("BEGIN")
		}
		exec("INSERT INTO "+table+" VALUES (?, ?)", r.Key, r.Value)
	}
	exec("COMMIT")
	out := map[string][]byte{}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if out[suffix], err = os.ReadFile(from + suffix); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// newHomes lays reference homes, with odd modes, times and attributes.
func newHomes(t testing.TB, seed, parts uint64, each int) *homes {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs files of several owners, which only root can make")
	}
	scope := allowedBy(seed)
	h := &homes{bench: newBench(t, platformtest.Users()...), made: made(t, seed, scope, parts, each), byName: map[string]*reference.File{}}
	h.config.Scope = func() catalogue.Scope { return scope }
	h.root.Folder(platformtest.User{}, "/tmp", 0o777)
	for i := range h.made.Files {
		f := &h.made.Files[i]
		h.byName[strings.TrimPrefix(f.Name, "/")] = f
		h.write(f, i)
	}
	h.was = platformtest.Take(t, h.root.Dir)
	return h
}

func (h *homes) write(f *reference.File, n int) {
	h.t.Helper()
	var u platformtest.User
	if f.Owner != nil {
		u = platformtest.User{UID: f.Owner.UID, GID: f.Owner.UID, Home: f.Owner.Home}
		if runtime := fmt.Sprintf("/run/user/%d", u.UID); strings.HasPrefix(f.Name, runtime+"/") {
			u.Home = runtime
		}
		if parent := filepath.Dir(f.Name); !strings.HasPrefix(f.Name, u.Home+"/") {
			h.root.Folder(u, parent, 0o777)
			if parent != "/tmp" {
				h.must(os.Lchown(h.root.Path(parent), u.UID, u.GID))
			}
		}
	}
	if f.Target != "" {
		h.root.Link(u, f.Name, f.Target)
		return
	}
	path := h.root.File(u, f.Name, string(f.Data))
	h.must(os.Chmod(path, []os.FileMode{0o600, 0o644, 0o640, 0o400}[n%4]))
	if n%3 == 0 {
		h.must(unix.Setxattr(path, "user.note", []byte(f.Variant), 0))
	}
	when := time.Date(2020, 2, 3, 4, 5, 6, 789+n, time.UTC)
	h.must(os.Chtimes(path, when, when))
}

func (h *homes) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// cut runs an order and, once its receipt is sent, the sweep that takes what
// comes last.
func (h *homes) cut(kind cutoffv1.OrderKind, cut string) purge.Result {
	h.t.Helper()
	p, err := purge.New(h.config)
	h.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	w := h.warrant(kind, cut)
	first, err := p.Run(ctx, w)
	h.must(err)
	h.must(h.journal.Finish(w, []byte("receipt")))
	r, err := p.Run(ctx, w)
	h.must(err)
	r.Items = append(first.Items, r.Items...)
	return r
}

// anyCanary is so much of one as no sealed file has by chance: its head is text.
var anyCanary = regexp.MustCompile(reference.Canary + `[a-z2-9]{8}`)

// gone holds a tree after a cut to what was to become of each file.
func (h *homes) gone(t *testing.T, r purge.Result, kind cutoffv1.OrderKind) {
	t.Helper()
	fate := func(f *reference.File) reference.Fate {
		if f.Encrypted && kind == cutoffv1.OrderKind_ORDER_KIND_PURGE {
			return reference.Stays
		}
		return f.Fate
	}
	now := platformtest.Take(t, h.root.Dir)
	for _, i := range r.Items {
		if i.GetProduct() == "home" {
			t.Errorf("%s of %s: %s", i.GetPath(), i.GetUser(), i.GetDetail())
		}
		if anyCanary.MatchString(i.String()) {
			t.Errorf("an item names a secret: %s", i)
		}
	}
	said := func(f *reference.File) string {
		for _, i := range r.Items {
			if i.GetPath() == f.Name {
				return fmt.Sprintf(" (%s, %s; %s %s %s)", f.Entry, f.Variant, i.GetProduct(), i.GetAction(), i.GetDetail())
			}
		}
		return fmt.Sprintf(" (%s, %s; no item)", f.Entry, f.Variant)
	}
	for name, was := range h.was {
		f, line := h.byName[name], now[name]
		switch _, there := now[name]; {
		case f == nil && !there:
			if !slices.ContainsFunc(h.made.Folders, func(d string) bool { return "/"+name == d || strings.HasPrefix("/"+name, d+"/") }) {
				t.Errorf("/%s is gone", name)
			}
		case f == nil:
			if line != was {
				t.Errorf("/%s is %s, was %s", name, line, was)
			}
		case (fate(f) == reference.Goes) == there:
			t.Errorf("/%s: there=%t%s", name, there, said(f))
		case fate(f) == reference.Stays && line != was:
			t.Errorf("/%s is %s, was %s%s", name, line, was, said(f))
		case f.Fate == reference.Cut && (line == was || notItsBytes(line) != notItsBytes(was)):
			t.Errorf("/%s is %s, was %s%s", name, line, was, said(f))
		case f.Fate == reference.Cut:
			data, err := os.ReadFile(h.root.Path(name))
			h.must(err)
			for _, k := range f.Kept {
				if !bytes.Contains(data, []byte(k)) {
					t.Errorf("/%s lost %s%s:\n%s\nwas\n%s", name, k, said(f), short(data), short(f.Data))
					break
				}
			}
		}
	}
	for name := range now {
		if _, before := h.was[name]; !before {
			t.Errorf("/%s came", name)
		}
	}
	h.noCanary(t, h.root.Dir, func(name string) bool {
		f := h.byName[name]
		return f != nil && fate(f) == reference.Stays
	}, said)
	h.noCanary(t, h.state, func(string) bool { return false }, nil)
}

// short is so much of a file as helps a reader.
func short(data []byte) string {
	if !utf8.Valid(data) {
		return "(binary)"
	}
	return string(data[:min(len(data), 1500)])
}

var itsBytes = regexp.MustCompile(` sha=[0-9a-f]+`)

func notItsBytes(line string) string { return itsBytes.ReplaceAllString(line, "") }

// noCanary looks at names, attributes and raw bytes.
func (h *homes) noCanary(t *testing.T, dir string, may func(string) bool, said func(*reference.File) string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || may(name) {
			return err
		}
		var data []byte
		if d.Type().IsRegular() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		if c := anyCanary.Find(append([]byte(name+"\x00"), data...)); c != nil {
			of := ""
			if f := h.byName[name]; f != nil && said != nil {
				of = said(f) + ":\n" + short(data) + "\nwas\n" + short(f.Data)
			}
			t.Errorf("%s: %s is left%s", name, c, of)
		}
		return nil
	})
	h.must(err)
}

// Five seeds with a fifth of the catalogue each; fifty with all of it when the
// machine has time.
func TestPropertyReferenceHomesLoseTheirCanariesAndGetThemBack(t *testing.T) {
	seeds, parts, each := uint64(5), uint64(5), 1
	if os.Getenv("CUTOFF_HEAVY") != "" {
		seeds, parts, each = 50, 1, 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newHomes(t, seed, parts, each)
			h.gone(t, h.cut(cutoffv1.OrderKind_ORDER_KIND_SEAL, "cut_1"), cutoffv1.OrderKind_ORDER_KIND_SEAL)
			for _, i := range h.lift().Items {
				if i.GetOutcome() != verified && i.GetAction() != "left" {
					t.Errorf("%s: %s %s %s", i.GetPath(), i.GetAction(), i.GetOutcome(), i.GetDetail())
				}
			}
			if diff := h.was.Diff(platformtest.Take(t, h.root.Dir)); len(diff) > 0 {
				t.Fatalf("after the lift %d differ:\n%s", len(diff), strings.Join(diff[:min(len(diff), 40)], "\n"))
			}
			r := h.cut(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_2")
			h.gone(t, r, cutoffv1.OrderKind_ORDER_KIND_PURGE)
			t.Logf("%d files, %d items", len(h.made.Files), len(r.Items))
		})
	}
}

// A new entry of the catalogue is in the reference homes by itself; one that
// cannot be is found here.
func TestEveryEntryIsInTheReferenceHomesInTwoVariants(t *testing.T) {
	all, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	variants := map[string]map[string]bool{}
	shadowed := map[string][]string{}
	files := 0
	for seed := range uint64(2) {
		h := made(t, seed, allowedBy(seed), 1, 1)
		files += len(h.Files)
		for id, list := range h.Variants {
			if variants[id] == nil {
				variants[id] = map[string]bool{}
			}
			for n, v := range list {
				variants[id][fmt.Sprint(seed, n, v)] = true
			}
		}
		for id, list := range h.Shadowed {
			shadowed[id] = append(shadowed[id], list...)
		}
	}
	var poor []string
	for i := range all {
		c := &all[i]
		if c.Action == catalogue.KernelKey || c.Action == catalogue.AgentClear || c.Action == catalogue.End {
			continue
		}
		if n := len(variants[c.ID]); n < 2 {
			poor = append(poor, fmt.Sprintf("%s: %d variants; %s", c.ID, n, strings.Join(shadowed[c.ID][:min(len(shadowed[c.ID]), 3)], ", ")))
		}
	}
	slices.SortFunc(poor, cmp.Compare[string])
	if len(poor) > 0 {
		t.Errorf("%d entries are not exercised:\n%s", len(poor), strings.Join(poor, "\n"))
	}
	t.Logf("%d files in two homes, %d entries", files, len(variants))
}
