package flow_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cutoff/agent/config"
	"cutoff/agent/enroll"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

func (m *machine) tryEnrol(s *server, token string, root string) (enroll.Result, error) {
	return enroll.Run(m.t.Context(), enroll.Input{
		State: m.state, Server: s.address, Token: token, Root: root, Version: "test", Now: time.Now(),
	})
}

func TestEnrolmentLeavesAPrivateStateDirectoryWithRoomReserved(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	if got := m.enrol(s); got.DeviceID != "dev_1" || got.Already {
		t.Fatalf("got %+v", got)
	}
	info, err := os.Stat(string(m.state))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(string(m.state))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if i, err := e.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), i.Mode(), err)
		}
	}
	want := "agent.yaml certificate.pem device.key grant.a grant.b reserve roster"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if i, err := os.Stat(filepath.Join(string(m.state), "reserve")); err != nil || i.Size() != 64<<20 {
		t.Errorf("reserve: %v, %v", i, err)
	}
}

func TestEnrollingAgainWithTheSameServerChangesNothing(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	before := snapshot(t, m.state)
	got := m.enrol(s)
	if !got.Already || got.DeviceID != "dev_1" || s.enrolled != 1 {
		t.Errorf("got %+v after %d enrolments", got, s.enrolled)
	}
	if after := snapshot(t, m.state); after != before {
		t.Error("something was changed")
	}
	other := newServer(t)
	if _, err := m.tryEnrol(other, other.token(), ""); !errors.Is(err, enroll.ErrOtherServer) {
		t.Errorf("got %v, want ErrOtherServer", err)
	}
	if after := snapshot(t, m.state); after != before {
		t.Error("another server changed something")
	}
}

func snapshot(t *testing.T, dir config.Dir) string {
	t.Helper()
	var all strings.Builder
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(string(dir), e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, _ := e.Info()
		sum := sha256.Sum256(raw)
		all.WriteString(e.Name() + info.ModTime().String() + base64.StdEncoding.EncodeToString(sum[:]) + "\n")
	}
	return all.String()
}

func TestTheSecretGoesToNobodyButThePinnedServer(t *testing.T) {
	real := newServer(t)
	cases := map[string]func(t *testing.T) *server{
		"another server with its own root": newServer,
		"a relay that shows the real roster but has no certificate of its CA": func(t *testing.T) *server {
			s := newServer(t)
			s.start("127.0.0.1:0", s.serverCertificate("/server"))
			s.root, s.order, s.lease = real.root, real.order, real.lease
			ca, key := s.ca, s.caKey
			s.ca = real.ca // what the roster says
			t.Cleanup(func() { s.ca, s.caKey = ca, key })
			return s
		},
		"a device of the trust domain that plays the server": func(t *testing.T) *server {
			s := newServer(t)
			s.root, s.order, s.lease, s.ca, s.caKey = real.root, real.order, real.lease, real.ca, real.caKey
			s.start("127.0.0.1:0", s.serverCertificate("/device/dev_7"))
			return s
		},
	}
	for name, impostor := range cases {
		t.Run(name, func(t *testing.T) {
			s, m := impostor(t), newMachine(t)
			s.secret = real.secret // it would take the token if it were sent
			_, err := m.tryEnrol(s, real.token(), "")
			if !errors.Is(err, enroll.ErrServer) {
				t.Errorf("got %v, want ErrServer", err)
			}
			if s.enrolled != 0 {
				t.Error("the secret was sent")
			}
			if _, err := m.state.Read(); !errors.Is(err, config.ErrNotEnrolled) {
				t.Errorf("state after the refusal: %v", err)
			}
		})
	}
}

func TestARefusedTokenLeavesTheDirectoryFreeForTheNextTry(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	right := s.token()
	wrong := right[:len(right)-43] + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	var refused *enroll.Refused
	if _, err := m.tryEnrol(s, wrong, ""); !errors.As(err, &refused) || !strings.Contains(err.Error(), "not known") {
		t.Fatalf("got %v", err)
	}
	m.enrol(s)
}

func TestARootThatItsUsersCannotReachIsRefusedByName(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s, m := newServer(t), newMachine(t)
	closed := filepath.Join(t.TempDir(), "closed")
	root := filepath.Join(closed, "root")
	for _, dir := range []string{"etc", "home/alice"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("alice:x:4711:4711::/home/alice:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(filepath.Join(root, "home/alice"), 4711, 4711), os.Chmod(closed, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, err := m.tryEnrol(s, s.token(), root)
	if !errors.Is(err, enroll.ErrInput) || s.enrolled != 0 {
		t.Fatalf("got %v", err)
	}
	// Test directories themselves may be closed to alice; the first closed one counts.
	if !strings.Contains(err.Error(), "alice") {
		t.Errorf("the error does not say who: %v", err)
	}
}

func TestACertificateIsRenewedAtTwoThirdsOfItsLifeAndUsedAtOnce(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	s.life = 30 * time.Second // of which a minute has passed: two thirds are over
	m.enrol(s)
	s.set(func() { s.life = 24 * time.Hour })
	m.boot()
	s.until("a hello with the new certificate", func(seen *seen) bool { return len(seen.hellos) == 1 && s.renewed == 1 })
}

func TestADeviceThatIsOnlyAllowedToReconcileStillGetsItsOrder(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	s.set(func() { s.noStream, s.pending = true, []byte("cut_1") })
	m.boot()
	m.eventually("the purge", func() bool { return !m.has("credentials") })
	s.until("the receipt", receipts(1))
}

func TestOnlyARosterOfAHigherVersionByTheKnownRootIsTaken(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	s.version = 5
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	push := func(roster []byte) {
		s.push(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Roster{Roster: roster}})
	}
	kept := func() []byte { raw, _ := m.state.Roster(); return raw }
	before := kept()

	push(s.rosterOf(4))
	s.until("a refusal", func(s *seen) bool { return len(s.refusals) == 1 && s.refusals[0].GetReason() == "stale" })
	good := s.root
	s.root = newKey(t)
	push(s.rosterOf(9))
	s.until("a refusal", func(s *seen) bool { return len(s.refusals) == 2 && s.refusals[1].GetReason() == "forged" })
	if !bytes.Equal(kept(), before) {
		t.Fatal("a refused roster was kept")
	}
	s.root = good
	next := s.rosterOf(6)
	push(next)
	m.eventually("the new roster is kept", func() bool { return bytes.Equal(kept(), next) })
}

func TestAnAgentFindsItsServerAgainAfterALoss(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	m.boot()
	s.until("a connection", connected)
	m.eventually("the lease is kept", func() bool { _, err := m.state.Lease(); return err == nil })
	m.settled()
	s.grpc.Stop()
	s.start(s.address, s.serverCertificate("/server"))
	s.until("a second hello", func(s *seen) bool { return len(s.hellos) >= 2 })
	if s.seen.hellos[1].GetHighestLease() != 1 {
		t.Errorf("hello: %v", s.seen.hellos[1])
	}
}

func TestAnAgentDoesNotTalkToAnotherServerAtTheSameAddress(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	s.grpc.Stop()
	other := newServer(t)
	other.grpc.Stop()
	other.deviceKey, other.deviceID = s.deviceKey, s.deviceID
	other.start(s.address, other.serverCertificate("/server"))
	m.boot()
	m.eventually("some tries", func() bool { return contains([]byte(m.status()), `"connected":false`) })
	other.grpc.Stop()
	s.start(s.address, s.serverCertificate("/server"))
	s.until("the right server", connected)
	if len(other.seen.hellos) > 0 {
		t.Error("the wrong server was greeted")
	}
}
