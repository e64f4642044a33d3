package sshkrl_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"cutoff/server/flow"
	"cutoff/server/revoke"
	"cutoff/server/store"
)

// newLists is the real store behind flow's own Lists.
func newLists(t *testing.T) flow.Lists {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cutoff.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return flow.Lists{Flow: flow.New(store.Flow{Store: s}, flow.Config{Now: time.Now})}
}

func TestVersionsOnlyRise(t *testing.T) {
	lists := newLists(t)
	var last uint64
	for range 5 {
		made, err := lists.Change(t.Context(), "hosts", revoke.ListChange{Render: func(version uint64, _ []revoke.ListEntry) (revoke.List, error) {
			return revoke.List{Version: version, Bytes: []byte("x"), Signature: []byte("y"), MadeAt: time.Now()}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if made.Version <= last || made.Version < uint64(time.Now().Add(-time.Hour).Unix()) {
			t.Errorf("version %d after %d", made.Version, last)
		}
		last = made.Version
	}
	if got, err := lists.Published(t.Context(), "hosts"); err != nil || got.Version != last {
		t.Errorf("published %d %v, want %d", got.Version, err, last)
	}
}
