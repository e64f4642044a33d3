package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cutoff/agent/config"
)

func TestAMarkIsKeptTwiceAndInItsPlace(t *testing.T) {
	d := config.Dir(filepath.Join(t.TempDir(), "state"))
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	if all, exist := d.Marks(); len(all) != 0 || exist {
		t.Fatalf("an empty directory has %d marks, exist %v", len(all), exist)
	}
	keep := func(text string) {
		t.Helper()
		if err := d.KeepMark([]byte(text + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(string(d), "mark.a"), filepath.Join(string(d), "mark.b")
	keep("a first mark that is rather long")
	first, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	keep("second")
	second, err := os.Stat(a)
	if err != nil || !os.SameFile(first, second) || second.Size() != first.Size() {
		t.Errorf("the file was replaced, which a full disk forbids: %v, %v", second, err)
	}
	for _, spoil := range []func() error{
		func() error { return os.Remove(a) },
		func() error { return os.Truncate(b, 3) },
		func() error { return os.Chmod(a, 0o666) },
		func() error { return os.Remove(b) },
		func() error { return errors.Join(os.Remove(b), os.Symlink(a, b)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		keep("third")
		all, _ := d.Marks()
		if len(all) != 2 || string(all[0][:6]) != "third\n" || string(all[1]) != string(all[0]) {
			t.Errorf("got %q", all)
		}
	}
	if err := d.DropLease(); err != nil {
		t.Fatal(err)
	}
	if _, exist := d.Marks(); exist {
		t.Error("the mark outlived its lease")
	}
	if err := d.KeepMark(make([]byte, 5000)); err == nil {
		t.Error("a mark of 5000 bytes was kept")
	}
}
