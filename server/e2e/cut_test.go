package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cutoff/server/e2e/stack"
)

func TestADeviceIsEnrolledReportsAndHoldsALease(t *testing.T) {
	w := newWorld(t)
	w.until("posture", func() bool { return len(w.device().Posture) > 0 })
	d := w.device()
	if d.State != "trusted" || !d.Trial || d.Hostname != "alice-laptop" || d.LastContact == nil {
		t.Errorf("device is %+v", d)
	}
	facts := map[string]bool{}
	for _, f := range d.Posture {
		facts[f.Name] = true
		if !f.Known && f.Reason == "" {
			t.Errorf("%s is unknown without a reason", f.Name)
		}
	}
	for _, name := range []string{"os", "os_version", "hostname", "serial", "boot_time", "disk_encrypted", "firewall_on", "agent_version"} {
		if !facts[name] {
			t.Errorf("posture lacks %s", name)
		}
	}
	// The same enrolment again changes nothing.
	if err := w.stack.Enroll(w.ctx(), w.state, w.server.Agents, "cutoff1.unused.unused.unused", w.laptop.Root); err != nil {
		t.Errorf("enrol again: %v", err)
	}
	// Another server is refused.
	var exit *stack.Exit
	if err := w.stack.Enroll(w.ctx(), w.state, "127.0.0.1:1", w.token(), w.laptop.Root); !errors.As(err, &exit) || exit.Status != 2 {
		t.Errorf("enrol at another server: %v, want exit status 2", err)
	}
}

func TestAPurgeRemovesEverySecretAndNothingElse(t *testing.T) {
	w := newWorld(t)
	id := w.open("purge")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	w.purged()
	for _, item := range w.cut(id).Items {
		if item.Outcome != "verified" {
			t.Errorf("%s %s: %s %s", item.Product, item.Path, item.Outcome, item.Detail)
		}
	}
	if d := w.device(); d.State != "purged" || d.CutID != id {
		t.Errorf("device is %s with cut %s, want purged with %s", d.State, d.CutID, id)
	}
}

func TestASealTakesSecretsAwayAndALiftBringsThemBackBitForBit(t *testing.T) {
	w := newWorld(t)
	id := w.open("seal")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	if live := w.laptop.Live(w.laptop.Root); len(live) > 0 {
		t.Errorf("secrets are left in %v", live)
	}
	if live := w.laptop.Live(w.state); len(live) > 0 {
		t.Errorf("the agent keeps secrets in the clear in %v", live)
	}
	if d := w.device(); d.State != "sealed" {
		t.Errorf("device is %s, want sealed", d.State)
	}
	w.cli(nil, "lift", id, "--reason", "found", "--wait", "--timeout", "60s")
	for _, path := range w.laptop.Same(w.before) {
		t.Errorf("%s is not as it was", path)
	}
	w.until("trusted", func() bool { return w.device().State == "trusted" })
	// The next cut works too: a new reserved cut and escrow key came with the lift.
	again := w.open("purge")
	if again == id {
		t.Fatal("the next cut has the id of the lifted one")
	}
	w.until("settled", func() bool { return w.cut(again).State == "settled" })
	w.purged()
}

func TestAnOrderReachesADeviceThatWasOfflineAfterBothSidesRestarted(t *testing.T) {
	w := newWorld(t)
	w.agent.Kill()
	id := w.open("purge")
	if c := w.cut(id); c.State != "open" || c.Exposure != "unbounded" {
		t.Errorf("cut is %s with exposure %s, want open and unbounded", c.State, c.Exposure)
	}
	w.restartServer()
	if live := w.laptop.Live(w.laptop.Root); len(live) == 0 {
		t.Error("secrets are gone without an agent")
	}
	w.restartAgent()
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	w.purged()
}

func TestADeviceWhoseLeaseRunsOutSealsItselfAndComesBack(t *testing.T) {
	w := newWorld(t)
	w.cli(nil, "group", "set", "default", "--renew", "1s", "--warn", "2s", "--seal", "4s", "--purge", "1h")
	// The next renewal carries the new deadlines.
	w.restartAgent()
	w.until("a short lease", func() bool {
		left := w.status().left()
		return left > 0 && left < 10*time.Second
	})
	w.server.Kill()
	w.until("the agent's own seal", func() bool { return len(w.laptop.Live(w.laptop.Root)) == 0 })
	w.cutServer()
	w.until("the seal is known", func() bool { return w.device().State == "sealed" })
	d := w.device()
	if c := w.cut(d.CutID); c.Cause != "expiry" || c.Level != "seal" {
		t.Errorf("cut has cause %s and level %s, want expiry and seal", c.Cause, c.Level)
	}
	w.cli(nil, "lift", d.CutID, "--reason", "server was down", "--wait", "--timeout", "60s")
	for _, path := range w.laptop.Same(w.before) {
		t.Errorf("%s is not as it was", path)
	}
}

// cutServer starts a killed server again with deadlines of a normal length, so
// that the lift is not overtaken by the next expiry.
func (w *world) cutServer() {
	w.t.Helper()
	server, err := w.stack.Serve(w.ctx(), w.server.Data, "--agents", w.server.Agents, "--console", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
	w.cli(nil, "group", "set", "default", "--renew", "5m", "--warn", "48h", "--seal", "72h", "--purge", "336h")
}

func TestKillingServerOrAgentAtAnyMomentEndsWithTheCutSettled(t *testing.T) {
	moments := 4
	if os.Getenv("CUTOFF_HEAVY") != "" { // make test-all
		moments = 20
	}
	for i := range moments {
		killOnce(t, rand.N(600*time.Millisecond), i%2 == 0)
	}
}

func killOnce(t *testing.T, after time.Duration, server bool) {
	t.Helper()
	who := "agent"
	if server {
		who = "server"
	}
	t.Run(who+" after "+after.String(), func(t *testing.T) {
		w := newWorld(t)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			time.Sleep(after)
			if server {
				w.server.Kill()
			} else {
				w.agent.Kill()
			}
		}()
		// The command may be interrupted; then nobody knows whether the cut was
		// accepted, and asking again is free.
		_ = w.server.CLI(w.ctx(), "", nil, "cut", "alice-laptop", "--level", "purge", "--reason", "test")
		<-killed
		if server {
			w.restartServer()
		} else {
			w.restartAgent()
		}
		id := w.open("purge")
		w.until("settled", func() bool { return w.cut(id).State == "settled" })
		w.purged()
	})
}

func TestEvidenceOfACutVerifiesWithoutTheServerAndAnyChangeIsFound(t *testing.T) {
	w := newWorld(t)
	id := w.open("purge")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	file, key := filepath.Join(w.dir, "evidence"), filepath.Join(w.dir, "key")
	w.cli(nil, "evidence", "export", id, "-o", file)
	out, err := w.stack.Run(w.ctx(), "", "cutoff-server", "evidence", "key", "--data", w.server.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, out, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := w.stack.Run(w.ctx(), "", "cutoff-server", "evidence", "verify", file, "--key", key); err != nil {
		t.Errorf("verify: %v", err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		bad := append([]byte{}, good...)
		bad[rand.N(len(bad))] ^= 1
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var exit *stack.Exit
		if _, err := w.stack.Run(w.ctx(), "", "cutoff-server", "evidence", "verify", file, "--key", key); !errors.As(err, &exit) || exit.Status != 1 {
			t.Errorf("a changed export verified: %v", err)
		}
	}
}
