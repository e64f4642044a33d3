package flow_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cutoff/server/ca"
	"cutoff/server/flow"
	"cutoff/server/operator"
	"cutoff/server/store"
)

// harness is a flow on the real store, with the real CA, a hub that counts wakes
// and a clock the test sets.
type harness struct {
	*flow.Flow
	t         testing.TB
	store     store.Flow
	authority *ca.Authority
	vault     *ca.Vault
	registry  registry
	// dir is the server's data directory, the database excepted.
	dir string
	// before is the store as flow sees it; config what flow was made with.
	before flow.Store
	config flow.Config

	mu    sync.Mutex
	now   time.Time
	wakes map[string]int
}

func newHarness(t testing.TB) *harness { return newHarnessWith(t, func(*harness, *flow.Config) {}) }

// newHarnessWith lets a test change the configuration, or put something before
// h.before, which is the store flow sees.
func newHarnessWith(t testing.TB, tweak func(*harness, *flow.Config)) *harness {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cutoff.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = db.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended; _ = db.Close() })

	h := &harness{
		t: t, store: store.Flow{Store: db}, wakes: map[string]int{},
		now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC),
	}
	h.dir = t.TempDir()
	if h.authority, err = ca.Open(h.dir, h.now); err != nil {
		t.Fatal(err)
	}
	if h.vault, err = ca.OpenVault(h.dir); err != nil {
		t.Fatal(err)
	}
	config := flow.Config{
		Signers: h.authority.Signers(),
		Hub:     h,
		Now:     h.Now,
		Log:     slog.New(slog.DiscardHandler),

		Authority:   h.authority,
		Vault:       h.vault,
		DataKey:     newDataKey(t),
		TrustDomain: h.authority.TrustDomain(),
		Registry:    &h.registry,
		// Cheap, for tests only.
		PasswordCost: operator.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1},
	}
	h.before = h.store
	tweak(h, &config)
	h.config = config
	h.Flow = flow.New(h.before, config)
	return h
}

func newDataKey(t testing.TB) *flow.LocalKey {
	t.Helper()
	raw := make([]byte, flow.DataKeySize)
	_, _ = rand.Read(raw)
	key, err := flow.NewLocalKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Now is the harness's clock.
func (h *harness) Now() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

// advance moves the clock.
func (h *harness) advance(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.now = h.now.Add(d) }

// Wake counts a hint.
func (h *harness) Wake(id string) { h.mu.Lock(); defer h.mu.Unlock(); h.wakes[id]++ }

// Connected says that no device has a stream.
func (h *harness) Connected(string) bool { return false }
