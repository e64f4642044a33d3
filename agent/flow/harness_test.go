package flow_test

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cutoff/agent/config"
	"cutoff/agent/enroll"
	"cutoff/agent/flow"
	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/scope"
	"cutoff/agent/uplink"
	"cutoff/platform/keystore"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// machine is a device: a state directory, a clock the test sets and a home whose
// secrets are files that a cut really renames or removes.
type machine struct {
	t     *testing.T
	state config.Dir
	home  string

	mu   sync.Mutex
	now  lease.Reading
	fail error
	hold chan struct{}
	// holdLift keeps a lift from beginning.
	holdLift chan struct{}
	runs     int
	lifts    int // tries
	later    bool
	locked   string // what a lift cannot put back yet
	scanned  int
	// tpm is what the machine's TPM says; without a counter there is none.
	tpm lease.Witness
	// told are the notices the users got.
	told []flow.Notice
	// enrolledAt is when, by the machine's clock.
	enrolledAt time.Time
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{
		t: t, state: config.Dir(filepath.Join(t.TempDir(), "state")), home: t.TempDir(),
		now: lease.Reading{Boot: time.Hour, BootID: "boot-1", Wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)},
	}
	m.write("credentials", "token", "notes")
	return m
}

func (m *machine) write(names ...string) {
	m.t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(m.home, name), []byte("secret of "+name), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
}

// has reports whether a file is in its place.
func (m *machine) has(name string) bool {
	_, err := os.Stat(filepath.Join(m.home, name))
	return err == nil
}

func (m *machine) clock() lease.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now
	now.Witness = m.tpm
	return now
}

func (m *machine) raise() error { m.set(func() { m.tpm.Counter++ }); return nil }

func (m *machine) tell(n flow.Notice) { m.set(func() { m.told = append(m.told, n) }) }

// passes lets time go by while the machine runs.
func (m *machine) passes(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Boot += d
	m.now.Wall = m.now.Wall.Add(d)
}

// reboots switches the machine off for a while; shown is what the wall clock
// says of it.
func (m *machine) reboots(bootID string, shown time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = lease.Reading{Boot: time.Second, BootID: bootID, Wall: m.now.Wall.Add(shown)}
}

var secrets = []string{"credentials", "token"}

// Run is flow.Purger: it seals by renaming and purges by removing, noting each.
func (m *machine) Run(ctx context.Context, w *journal.Warrant) (purge.Result, error) {
	m.mu.Lock()
	m.runs++
	fail, hold := m.fail, m.hold
	m.mu.Unlock()
	if !w.Valid() {
		return purge.Result{}, errors.New("no warrant")
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return purge.Result{}, ctx.Err()
		}
	}
	if fail != nil {
		return purge.Result{}, fail
	}
	sealing := w.Kind() == cutoffv1.OrderKind_ORDER_KIND_SEAL
	for _, name := range secrets {
		place, sealed := filepath.Join(m.home, name), filepath.Join(m.home, name+".sealed")
		item := &cutoffv1.Item{Id: "item_" + name, Product: "test", Path: place, Action: "delete",
			Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: "deleted", Sealed: sealing}
		if sealing {
			item.Detail = "sealed"
			if m.has(name) {
				if err := os.Rename(place, sealed); err != nil {
					return purge.Result{}, err
				}
			}
		} else {
			_ = os.Remove(place)
			_ = os.Remove(sealed)
		}
		if err := w.Note(item); err != nil {
			return purge.Result{}, err
		}
	}
	return m.result(w), nil
}

// Restore is flow.Purger.
func (m *machine) Restore(ctx context.Context, w *journal.Warrant, unseal purge.Unseal) (purge.Result, error) {
	m.mu.Lock()
	m.lifts++
	locked, hold := m.locked, m.holdLift
	m.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return purge.Result{}, ctx.Err()
		}
	}
	complete := true
	for id, item := range w.Noted() {
		if !item.GetSealed() {
			continue
		}
		if id == "item_"+locked {
			complete = false
			item.Outcome, item.Detail = cutoffv1.Outcome_OUTCOME_RETRYING, "locked"
			if err := w.Note(item); err != nil {
				return purge.Result{}, err
			}
			continue
		}
		if _, err := unseal(ctx, []*cutoffv1.SealedHeader{{ItemId: id, Header: []byte("header")}}); err != nil {
			return purge.Result{}, err
		}
		if err := os.Rename(item.GetPath()+".sealed", item.GetPath()); err != nil {
			return purge.Result{}, err
		}
		item.Sealed, item.Outcome, item.Detail = false, cutoffv1.Outcome_OUTCOME_VERIFIED, "restored"
		if err := w.Note(item); err != nil {
			return purge.Result{}, err
		}
	}
	r := m.result(w)
	r.Complete = complete
	return r, nil
}

func (m *machine) result(w *journal.Warrant) purge.Result {
	r := purge.Result{Complete: true, Later: m.later && !w.Finished(), CatalogueVersion: "test", FirstRemovedBoot: m.clock().Boot, FinishedBoot: m.clock().Boot}
	for _, item := range w.Noted() {
		r.Items = append(r.Items, item)
	}
	return r
}

func (m *machine) plan(context.Context, catalogue.Scope) ([]*cutoffv1.Item, error) {
	m.mu.Lock()
	m.scanned++
	m.mu.Unlock()
	return []*cutoffv1.Item{{Id: "item_token", Product: "test", Path: filepath.Join(m.home, "token")}}, nil
}

func (m *machine) set(change func()) { m.mu.Lock(); defer m.mu.Unlock(); change() }

func (m *machine) enrol(s *server) enroll.Result {
	m.t.Helper()
	result, err := enroll.Run(m.t.Context(), enroll.Input{
		State: m.state, Server: s.address, Token: s.token(), Version: "test", Now: time.Now(),
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.enrolledAt = m.clock().Wall
	return result
}

// agent is a running one.
type agent struct {
	stop func()
	flow *flow.Flow
}

// boot starts the agent on this machine, as daemon does.
func (m *machine) boot() *agent {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	key, f, u, j := m.assemble()
	_ = key
	go func() {
		defer close(ended)
		var wait sync.WaitGroup
		wait.Go(func() { _ = f.Run(ctx) })
		if u != nil {
			wait.Go(func() { _ = u.Run(ctx) })
		}
		wait.Wait()
		_ = j.Close()
	}()
	var once sync.Once
	a := &agent{flow: f, stop: func() { once.Do(func() { cancel(); <-ended }) }}
	m.t.Cleanup(a.stop)
	return a
}

func (m *machine) assemble() (crypto.Signer, *flow.Flow, *uplink.Uplink, *journal.Journal) {
	m.t.Helper()
	return m.assembleWith(m)
}

func (m *machine) assembleWith(purger flow.Purger) (crypto.Signer, *flow.Flow, *uplink.Uplink, *journal.Journal) {
	m.t.Helper()
	enrolled, err := m.state.Read()
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := keystore.Open(m.state.Key())
	if err != nil {
		m.t.Fatal(err)
	}
	j, err := journal.Open(m.state.Journal())
	if err != nil {
		m.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testLog{m.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var f *flow.Flow
	u, err := uplink.New(uplink.Config{
		State: m.state, Server: enrolled.Server, Device: enrolled.DeviceID, Domain: enrolled.TrustDomain,
		RootKey: enrolled.RootKey, Key: key, Version: "test", Now: time.Now, Log: log,
		Handler: uplink.Handler{
			Greet:         func() (uplink.Greeting, error) { g, err := f.Greet(); return uplink.Greeting(g), err },
			Opened:        func(s *uplink.Stream, w *cutoffv1.Welcome) { f.Opened(s, w) },
			Received:      func(r *cutoffv1.ConnectResponse) { f.Received(r) },
			Closed:        func() { f.Closed() },
			Receipts:      func() ([][]byte, error) { return f.Receipts() },
			RosterRefused: func(reason string, version uint64) { f.RosterRefused(reason, version) },
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	keeper := scope.Open(scope.Config{
		State: m.state, DeviceID: enrolled.DeviceID, TrustDomain: enrolled.TrustDomain, Log: log,
		Keys: func() signed.Keys { return u.Roster().OrderKeys },
	})
	f, err = flow.New(flow.Config{
		Scope: keeper, DeviceID: enrolled.DeviceID, Version: "test", State: m.state, Journal: j, Key: key, Purger: purger, Plan: m.plan,
		EnrolledAt: m.enrolledAt,
		Keys:       func() (signed.Keys, signed.Keys) { r := u.Roster(); return r.OrderKeys, r.LeaseKeys },
		Posture:    func(context.Context) []*cutoffv1.Fact { return nil },
		Unseal:     u.Unseal, Clock: m.clock, Raise: m.raise, Tell: m.tell, MaxWait: 3 * time.Millisecond, Log: log,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return key, f, u, j
}

// eventually waits for a condition of the machine.
func (m *machine) eventually(what string, ok func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			m.t.Fatalf("never: %s", what)
		}
		pause()
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) { l.t.Helper(); l.t.Log(string(p)); return len(p), nil }
