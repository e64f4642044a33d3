package watch_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cutoff/platform/watch"
)

func TestOnlyTheNamesThatMatterAreTold(t *testing.T) {
	dir := t.TempDir()
	w, err := watch.New()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := w.Add(folder, "credentials"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	touched, ended := make(chan struct{}, 64), make(chan error, 1)
	go func() { ended <- w.Run(ctx, func() { touched <- struct{}{} }) }()
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("notes")
	write("credentials")
	told(t, touched)
	for drained := false; !drained; {
		select {
		case <-touched:
		default:
			drained = true
		}
	}
	if err := os.Rename(filepath.Join(dir, "notes"), filepath.Join(dir, "credentials")); err != nil {
		t.Fatal(err)
	}
	told(t, touched)
	w.Clear()
	if err := w.Add(folder); err != nil {
		t.Fatal(err)
	}
	write("anything")
	told(t, touched)
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended without a reason")
	}
}

func told(t *testing.T, touched chan struct{}) {
	t.Helper()
	select {
	case <-touched:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was told")
	}
}
