//go:build system

package system

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	day    = 24 * time.Hour
	secret = "/home/alice/.vault-token"
)

// TestAMachinesClockAndSleepGainNothing: what the design states of time, on a
// machine whose clock is really put back, and which really sleeps.
func TestAMachinesClockAndSleepGainNothing(t *testing.T) {
	e := emulate(t)
	e.group("30s", "45s")
	e.on(0, true)
	e.until("a lease", func() bool { d, ok := e.known(); return ok && d.LeaseUntil != nil })
	e.until("the agent keeps it", func() bool { return strings.Contains(e.run("cutoff-agent status"), "trusting") })

	// Asleep over the deadline, out of reach: sealed within 5 s of waking.
	e.ask("set_link", map[string]any{"name": "net", "up": false})
	took := e.sleeps(50 * time.Second)
	t.Logf("sealed %.2f s after the machine woke", took.Seconds())
	if took > 5*time.Second {
		t.Errorf("sealed %s after the machine woke, want 5 s", took)
	}
	e.ask("set_link", map[string]any{"name": "net", "up": true})
	e.back("1h", "2h")
	e.off()

	// Ten days back at boot, without network: a clock below the mark is
	// tampering.
	e.on(-10*day, false)
	e.sealedAtLogin("a clock that was put back")
}

// TestAHardwareClockSetForwardByAMonthSealsTooEarlyAndContactLiftsIt: the agent
// takes the month for time switched off. Its clock is still wrong when it comes
// back; it proves its key, and is lifted without a person.
func TestAHardwareClockSetForwardByAMonthSealsTooEarlyAndContactLiftsIt(t *testing.T) {
	e := emulate(t)
	e.group("1h", "2h")
	e.on(0, true)
	e.until("a lease", func() bool { d, ok := e.known(); return ok && d.LeaseUntil != nil })
	e.until("the agent keeps it", func() bool { return strings.Contains(e.run("cutoff-agent status"), "trusting") })
	e.off()

	e.on(30*day, false)
	e.sealedAtLogin("a clock that was set forward")
	e.off()

	e.on(30*day, true)
	e.until("the server lifts", func() bool { d, ok := e.known(); return ok && d.State == "trusted" && d.LeaseUntil != nil })
	e.until("everything back", func() bool { return e.run("cat "+secret+" 2>&1") == "canary-aws" })
	e.until("trust", func() bool { return strings.Contains(e.run("cutoff-agent status"), "trusting") })
}

func (e *emulated) group(warn, seal string) {
	e.t.Helper()
	e.cli(nil, "group", "set", "default", "--warn", warn, "--seal", seal, "--renew", "5s")
}

func (e *emulated) known() (d device, ok bool) {
	e.t.Helper()
	ok = e.server.CLI(e.ctx(), "", &d, "device", "show", "laptop") == nil
	return d, ok
}

// sleeps puts the machine to sleep for a while and returns how long after it
// woke the secret was gone.
func (e *emulated) sleeps(asleep time.Duration) time.Duration {
	e.t.Helper()
	if out := e.run("ls " + secret); out != secret {
		e.t.Fatalf("the secret is gone before the machine sleeps: %q", out)
	}
	type answer struct {
		out string
		err error
	}
	said := make(chan answer, 1)
	go func() {
		// /proc/uptime counts sleep; the write returns when the machine wakes.
		out, err := e.call(`echo mem >/sys/power/state; read woke x </proc/uptime; for i in $(seq 600); do test -e `+secret+
			` || break; sleep 0.05; done; read gone x </proc/uptime; echo $woke $gone; ls `+secret+` 2>&1`, asleep+2*bootTime)
		said <- answer{out, err}
	}()
	e.until("sleep", func() bool { return e.ask("query-status", nil).Status == "suspended" })
	begun := time.Now()
	e.until("the end of the sleep", func() bool { return time.Since(begun) > asleep })
	e.ask("system_wakeup", nil)
	a := <-said
	var woke, gone float64
	if _, err := fmt.Sscan(a.out, &woke, &gone); err != nil || a.err != nil || !strings.Contains(a.out, "No such file") {
		e.t.Fatalf("not sealed after sleep: %q, %v, %v\n%s", a.out, err, a.err, e.run("journalctl -b -u cutoff-agent --no-pager -o cat"))
	}
	return time.Duration((gone - woke) * float64(time.Second))
}

// sealedAtLogin: a machine without network sealed itself before logins began.
func (e *emulated) sealedAtLogin(why string) {
	e.t.Helper()
	if got := e.run("ls " + secret + " 2>&1"); !strings.Contains(got, "No such file") {
		e.t.Errorf("%s: %s; %s", why, got, e.run("journalctl -b -u cutoff-agent --no-pager -o cat"))
	}
	agent := e.run("systemctl show -P ActiveEnterTimestampMonotonic cutoff-agent systemd-user-sessions")
	var ready, login int
	if _, err := fmt.Sscan(agent, &ready, &login); err != nil || ready == 0 || ready > login {
		e.t.Errorf("%s: the agent was ready and logins began at %q µs", why, agent)
	}
	if got := e.run("cat /var/at-login"); got != "" {
		e.t.Errorf("%s: when logins began alice had %q", why, got)
	}
}

// back waits until the server knows, lifts, and waits for a lease of the group's
// new length.
func (e *emulated) back(warn, seal string) {
	e.t.Helper()
	e.until("the server hears of the seal", func() bool { d, ok := e.known(); return ok && d.State == "sealed" })
	e.group(warn, seal)
	var list struct{ Cuts []cut }
	e.cli(&list, "cut", "list")
	e.cli(nil, "lift", list.Cuts[0].ID, "--reason", "test", "--wait")
	if got := e.run("cat " + secret); got != "canary-aws" {
		e.t.Errorf("a lift gave back %q", got)
	}
	e.until("a lease", func() bool {
		d, ok := e.known()
		return ok && d.LeaseUntil != nil && time.Until(*d.LeaseUntil) > 90*time.Minute
	})
	e.until("the agent keeps it", func() bool { return strings.Contains(e.run("cutoff-agent status"), "trusting") })
}
