package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"cutoff/agent/config"
	"cutoff/agent/lease"
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

func TestOnAFullDiskALeaseIsKeptAtTheReservesCost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small disk")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "mode=0700,size=80m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	d := config.Dir(filepath.Join(disk, "state"))
	reserved := func() int64 {
		info, err := os.Stat(filepath.Join(string(d), "reserve"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if err := errors.Join(d.Make(), d.Reserve(), d.KeepLease([]byte("old")), d.KeepMark([]byte("old\n"))); err != nil {
		t.Fatal(err)
	}
	whole := reserved()
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = filler.Write(block)
	}
	if err := errors.Join(filler.Close(), d.KeepMark([]byte("new\n")), d.KeepLease([]byte("new"))); err != nil {
		t.Fatal(err)
	}
	if raw, err := d.Lease(); err != nil || string(raw) != "new" || whole-reserved() != 64<<10 {
		t.Errorf("lease %q, %v; the reserve gave %d", raw, err, whole-reserved())
	}
	if err := os.WriteFile(filepath.Join(disk, "more"), make([]byte, 128<<10), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	if err := d.Reserve(); err == nil || reserved() < whole-(64<<10) {
		t.Errorf("reserved again on a full disk: %v, %d left", err, reserved())
	}
}

// BenchmarkKeepMark is what an agent does once a minute for its lease.
func BenchmarkKeepMark(b *testing.B) {
	d := config.Dir(filepath.Join(b.TempDir(), "state"))
	if err := d.Make(); err != nil {
		b.Fatal(err)
	}
	m := lease.Mark{Lease: 1, Last: lease.Reading{Boot: 1, BootID: "11111111-0000-0000-0000-000000000000", Wall: time.Unix(1_800_000_000, 0)}}
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := cpu()
	for b.Loop() {
		now := m.Last
		now.Boot += time.Minute
		m = m.Advance(now, 0)
		if state, _ := lease.Judge(lease.Terms{Warn: 1, Seal: 2}, m); state != lease.Expired {
			b.Fatal(state)
		}
		raw, err := m.Encode()
		if err != nil {
			b.Fatal(err)
		}
		if err := d.KeepMark(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N)*60/1e6, "cpu-ms/hour")
}
