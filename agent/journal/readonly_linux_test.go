package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cutoff/agent/journal"
)

func TestAJournalThatMayNotBeWrittenIsSaidToBeThatAndNotBroken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
	} else { // modes keep root from nothing
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("no mount here: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Skipf("no read-only mount here: %v", err)
		}
	}
	if j, err := journal.Open(path); !errors.Is(err, journal.ErrUnwritable) {
		if err == nil {
			_ = j.Close()
		}
		t.Errorf("got %v", err)
	}
}
