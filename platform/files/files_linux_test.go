package files_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cutoff/platform/files"
)

// folder makes a tree and opens it. A name that ends in / is a folder, one with
// -> a link.
func folder(t *testing.T, names ...string) (*files.Dir, string) {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		link, target, isLink := strings.Cut(n, "->")
		path := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(n, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(n), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, dir
}

func TestNamesNeverLeadOutOfTheFolder(t *testing.T) {
	d, _ := folder(t, "a/b", "out->/etc", "up->..", "a/abs->/etc/passwd", "loop->loop")
	for _, name := range []string{"out/passwd", "up/x", "a/abs/x", "loop/x"} {
		if _, err := d.Stat(name); !errors.Is(err, files.ErrLink) {
			t.Errorf("stat %s: %v, want a link in the way", name, err)
		}
	}
	for _, name := range []string{"../../../etc/passwd", "/etc/passwd"} {
		if _, err := d.Stat(name); !errors.Is(err, files.ErrNotExist) {
			t.Errorf("stat %s: %v, want a name below the folder that is not there", name, err)
		}
	}
	if _, _, err := d.Read("a/abs", 100); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("a link was read: %v", err)
	}
	if i, err := d.Stat("out"); err != nil || i.Kind != files.Link {
		t.Errorf("got %v, %v, want a link", i.Kind, err)
	}
	if _, err := d.Stat("a/b/c"); !errors.Is(err, files.ErrNotExist) {
		t.Errorf("below a file: %v", err)
	}
}

func TestMountsAreNotCrossed(t *testing.T) {
	d, err := files.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Stat("proc/self"); !errors.Is(err, files.ErrMount) {
		t.Errorf("got %v, want another file system", err)
	}
	if _, err := d.AcrossMounts().Stat("proc/version"); err != nil {
		t.Errorf("across mounts: %v", err)
	}
}

func TestLinksThatStayInsideAreResolved(t *testing.T) {
	d, _ := folder(t, "real/file", "one->real/file", "dir->real", "two->dir/file", "deep/back->../real/file", "abs->/home/u/real/file",
		"out->/etc/passwd", "climb->../x", "wander->real/../../x", "dangle->nothing", "deep/dangle->../nothing", "loop->loop", "ring1->ring2", "ring2->ring1", "via->out/x")
	inside := func(absolute string) (string, bool) { return strings.CutPrefix(absolute, "/home/u/") }
	for _, c := range []struct {
		name, want                     string
		linked, outside, last, dangles bool
	}{
		{name: "real/file", want: "real/file"},
		{name: "one", want: "real/file", linked: true},
		{name: "dir/file", want: "real/file", linked: true},
		{name: "two", want: "real/file", linked: true},
		{name: "deep/back", want: "real/file", linked: true},
		{name: "abs", want: "real/file", linked: true},
		{name: "out", want: "out", linked: true, outside: true, last: true},
		{name: "out/x", want: "out", linked: true, outside: true},
		{name: "via", want: "out", linked: true, outside: true},
		{name: "climb", want: "climb", linked: true, outside: true, last: true},
		{name: "wander", want: "wander", linked: true, outside: true, last: true},
		{name: "dangle", want: "dangle", linked: true, dangles: true},
		{name: "deep/dangle", want: "deep/dangle", linked: true, dangles: true},
		{name: "loop", want: "loop", linked: true, outside: true, last: true},
		{name: "ring1", want: "ring1", linked: true, outside: true, last: true},
	} {
		got, err := d.Resolve(c.name, inside)
		if err != nil || got.Name != c.want || got.Linked != c.linked || got.Outside != c.outside || got.Last != c.last || got.Dangling != c.dangles {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
	if _, err := d.Resolve("nothing", inside); !errors.Is(err, files.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	d, dir := folder(t, "file", "folder/")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "folder"} {
		if _, _, err := d.Read(name, 100); !errors.Is(err, files.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := d.Read("file", 3); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("a file over the limit was read: %v", err)
	}
}

func TestAWriteIsWholeOrNotAtAll(t *testing.T) {
	d, dir := folder(t, "file", "other")
	_, info, err := d.Read("file", 100)
	if err != nil {
		t.Fatal(err)
	}
	as := files.Attributes{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Mode: 0o640, ModTime: time.Unix(1e9, 5), AccessTime: time.Unix(1e9, 6)}
	if err := d.Write("file", []byte("new"), as, &info); err != nil {
		t.Fatal(err)
	}
	got, now, err := d.Read("file", 100)
	if err != nil || string(got) != "new" || now.Mode != 0o640 || !now.ModTime.Equal(as.ModTime) || now.Inode == info.Inode {
		t.Errorf("got %q %+v, %v", got, now, err)
	}
	if err := d.Write("file", []byte("late"), as, &info); !errors.Is(err, files.ErrChanged) {
		t.Errorf("a file that changed was written over: %v", err)
	}
	if err := d.Write("other", []byte("x"), as, nil); !errors.Is(err, files.ErrExist) {
		t.Errorf("a file that is there was written over: %v", err)
	}
	if err := os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	_, linked, err := d.Read("file", 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write("file", []byte("x"), as, &linked); !errors.Is(err, files.ErrChanged) {
		t.Errorf("a hard link was written: %v", err)
	}
	names, err := d.Names(".")
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"file", "other", "second"}) {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestOnlyWhatWasLookedAtIsRemoved(t *testing.T) {
	d, dir := folder(t, "file")
	info, err := d.Stat("file")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove("file", info); !errors.Is(err, files.ErrChanged) {
		t.Errorf("got %v", err)
	}
	now, err := d.Stat("file")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Remove("file", now); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stat("file"); !errors.Is(err, files.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestPatternsMatchAsAShellDoes(t *testing.T) {
	d, _ := folder(t, "a/1.json", "a/2.json", "a/.hidden", "b/1.json", "link->a")
	for pattern, want := range map[string][]string{
		"a/*.json": {"a/1.json", "a/2.json"}, "*/1.json": {"a/1.json", "b/1.json", "link/1.json"}, "a/*": {"a/1.json", "a/2.json"},
		"a/.*": {"a/.hidden"}, "none/here": {"none/here"}, "none/*": nil, "link/*": nil,
	} {
		if got := d.Glob(pattern); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", pattern, got, want)
		}
	}
}

func TestWhatAKilledWriterLeftIsReplacedAndWhatIsPlantedIsPassedBy(t *testing.T) {
	d, dir := folder(t, "file")
	as := files.Attributes{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Mode: 0o600, ModTime: time.Unix(1e9, 0), AccessTime: time.Unix(1e9, 0)}
	// The temporary file's name: seen by making the write fail after it.
	sum := sha256.Sum256([]byte("file"))
	temp := filepath.Join(dir, ".cutoff-"+hex.EncodeToString(sum[:8]))
	write := func(text string) {
		t.Helper()
		_, info, err := d.Read("file", 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write("file", []byte(text), as, &info); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(temp, []byte("half a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("first")
	if _, err := os.Lstat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed writer left is still there: %v", err)
	}
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	write("second")
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "second" {
		t.Errorf("a planted folder kept the write away: %q, %v", got, err)
	}
}

func TestLooseningAddsBitsToTheOwnersOwnAndFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	d, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	name := filepath.Join(dir, "a")
	if err := errors.Join(os.WriteFile(name, []byte("x"), 0o600), os.Chmod(name, 0o040), os.Symlink("a", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	me := uint32(os.Geteuid())
	for _, c := range []struct {
		name  string
		owner uint32
	}{{"link", me}, {"a", me + 1}} {
		if _, _, err := d.Loosen(c.name, c.owner, 0o400); !errors.Is(err, files.ErrPermission) {
			t.Errorf("%s for %d: got %v", c.name, c.owner, err)
		}
	}
	mode, restore, err := d.Loosen("a", me, 0o400)
	if err != nil || mode != 0o040 || restore == nil {
		t.Fatalf("got %o, %v", mode, err)
	}
	if i, err := d.Stat("a"); err != nil || i.Mode != 0o440 {
		t.Errorf("loosened: got %o, %v", i.Mode, err)
	}
	if err := os.Rename(name, filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	restore()
	if i, err := d.Stat("b"); err != nil || i.Mode != 0o040 {
		t.Errorf("restored: got %o, %v", i.Mode, err)
	}
}
