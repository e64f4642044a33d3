package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/server/e2e/stack"
)

// realAttacks are those on the dead man's switch that need a real process, clock
// or device. The lease warns after 3 s and seals after 6 s.
var realAttacks = []struct {
	name string
	root bool // it mounts, or sets clocks
	run  func(w *world)
}{
	{"agent killed without end", false, killLoop},
	{"agent stopped by a signal over the deadline", false, frozen},
	{"network that swallows everything", false, blackhole},
	{"another server at the server's address", false, impostor},
	{"full disk", true, fullDisk},
	{"state directory read-only", true, readOnly},
	{"boot clock ten days on in the same boot, as after a sleep", true, slept},
	{"boot clock that ran back", true, ranBack},
	{"disk put back, with a real TPM simulator", true, putBack},
	{"users are warned on a real session bus", false, warned},
}

func TestKillAndOtherRealAttacksOnTheDeadMansSwitch(t *testing.T) {
	if os.Getenv("CUTOFF_HEAVY") == "" { // make test-all
		return
	}
	for _, a := range realAttacks {
		t.Run(a.name, func(t *testing.T) {
			if a.root && os.Geteuid() != 0 {
				t.Skip("only root may mount and set clocks")
			}
			a.run(newWorld(t))
		})
	}
}

// shortLease gives the agent a lease of a few seconds.
func (w *world) shortLease() { w.t.Helper(); w.leaseOf("3s", "6s") }

// leaseOf returns once the agent itself says that it holds such a lease: the
// server knows of one that may never arrive.
func (w *world) leaseOf(warn, seal string) {
	w.t.Helper()
	w.cli(nil, "group", "set", "default", "--renew", "1s", "--warn", warn, "--seal", seal, "--purge", "1h")
	w.restartAgent() // the next renewal carries the new deadlines
	w.leased(15 * time.Second)
}

// leased waits until the agent itself holds a lease that ends within d.
func (w *world) leased(d time.Duration) {
	w.t.Helper()
	w.until("a lease", func() bool {
		var status struct {
			Trust      string     `json:"trust"`
			LeaseUntil *time.Time `json:"lease_until"`
		}
		raw, err := os.ReadFile(filepath.Join(w.state, "status.json"))
		return err == nil && json.Unmarshal(raw, &status) == nil && status.Trust == "trusting" &&
			status.LeaseUntil != nil && time.Until(*status.LeaseUntil) < d
	})
}

// sealed waits for the agent's own seal, without a server.
func (w *world) sealed() {
	w.t.Helper()
	w.until("the agent's own seal", func() bool { return len(w.laptop.Live(w.laptop.Root)) == 0 })
}

func (w *world) untouched() {
	w.t.Helper()
	if live := w.laptop.Live(w.laptop.Root); len(live) == 0 {
		w.t.Error("secrets are gone")
	}
}

// backAsExpired starts the server again: it must learn of one whole seal.
func (w *world) backAsExpired() {
	w.t.Helper()
	w.cutServer()
	w.until("the seal is known", func() bool { return w.device().State == "sealed" })
	c := w.cut(w.device().CutID)
	if c.Cause != "expiry" || c.Level != "seal" || len(c.Items) == 0 {
		w.t.Errorf("cut has cause %s, level %s and %d items", c.Cause, c.Level, len(c.Items))
	}
}

// killLoop kills each agent soon after it starts, ever a little later, so that
// on a slow machine too one gets as far as its next step.
func killLoop(w *world) {
	w.shortLease()
	w.server.Kill()
	w.agent.Kill()
	deadline := time.Now().Add(time.Minute)
	for life := 20 * time.Millisecond; len(w.laptop.Live(w.laptop.Root)) > 0; life = min(life*5/4, 2*time.Second) {
		if time.Now().After(deadline) {
			w.t.Fatal("not sealed within a minute of restarts")
		}
		agent, err := w.stack.RunAgent(w.ctx(), w.state)
		if err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(life) // the attacker's patience
		agent.Kill()
	}
	agent, err := w.stack.RunAgent(w.ctx(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = agent
	w.backAsExpired()
}

func frozen(w *world) {
	w.shortLease()
	w.server.Kill()
	signal := func(s syscall.Signal) {
		if err := w.agent.Cmd.Process.Signal(s); err != nil {
			w.t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	time.Sleep(8 * time.Second) // the lease runs out meanwhile
	w.untouched()
	signal(syscall.SIGCONT)
	begun := time.Now()
	w.sealed()
	w.t.Logf("sealed %v after it went on", time.Since(begun))
	w.backAsExpired()
}

// blackhole leaves the connection open and says nothing more, as a firewall that
// drops does.
func blackhole(w *world) {
	w.shortLease()
	if err := w.server.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	w.sealed()
	w.server.Kill()
	w.backAsExpired()
}

// impostor is what a name server that lies leads to.
func impostor(w *world) {
	w.shortLease()
	w.server.Kill()
	other, err := w.stack.Serve(w.ctx(), filepath.Join(w.dir, "impostor"), "--agents", w.server.Agents, "--console", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.sealed()
	other.Kill()
	w.backAsExpired()
}

// onDisk moves the agent's state to a small file system of its own.
func (w *world) onDisk(size string) (dir string) {
	w.t.Helper()
	if err := w.agent.Stop(); err != nil {
		w.t.Fatal(err)
	}
	dir = filepath.Join(w.dir, "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	w.copy(w.state, filepath.Join(dir, "agent"))
	w.state = filepath.Join(dir, "agent")
	agent, err := w.stack.RunAgent(w.ctx(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = agent
	return dir
}

// copy copies what is reserved, too: a sparse copy of it would hold no room.
func (w *world) copy(from, to string) {
	w.t.Helper()
	if out, err := exec.Command("cp", "-a", "--sparse=never", from, to).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

// fullDisk fills what the agent did not reserve.
func fullDisk(w *world) {
	dir := w.onDisk("96m")
	w.shortLease()
	file, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		w.t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	_ = file.Close()
	time.Sleep(8 * time.Second) // in contact: the lease is renewed, full or not
	w.untouched()
	w.server.Kill()
	w.sealed()
	w.backAsExpired()
}

// readOnly: without a journal there is no warrant, and nothing is removed.
func readOnly(w *world) {
	w.shortLease()
	dir := w.onDisk("96m")
	w.agent.Kill()
	w.server.Kill()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(7 * time.Second) // the lease runs out
	if agent, err := w.stack.RunAgent(w.ctx(), w.state); err == nil {
		agent.Kill()
		w.t.Error("an agent that cannot keep a journal runs")
	} else {
		w.t.Log(err)
	}
	w.untouched()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		w.t.Fatal(err)
	}
	w.again(time.Duration(0), "")
	w.sealed()
}

// again runs the agent in a time namespace whose boot clock is off by ahead, and
// with another boot id unless that is empty.
func (w *world) again(ahead time.Duration, bootID string) {
	w.t.Helper()
	script := `exec "$0" run --state "$1"`
	if bootID != "" {
		file := filepath.Join(w.dir, "boot-"+bootID)
		if err := os.WriteFile(file, []byte(bootID+"\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		script = fmt.Sprintf("mount --bind %s /proc/sys/kernel/random/boot_id && %s", file, script)
	}
	cmd := exec.Command("unshare", "--mount", "--time", "--boottime", fmt.Sprint(int(ahead.Seconds())), "--fork", "--kill-child",
		"sh", "-c", script, filepath.Join(bin, "cutoff-agent"), w.state)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(filepath.Join(w.dir, "cutoff-agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	_ = log.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	if n, err := out.Read(make([]byte, 1000)); n == 0 {
		w.t.Fatal(err)
	}
	w.kill = func() {
		// The whole group: unshare ends with its child.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

// slept: the lease is of the default length, three days.
func slept(w *world) {
	w.leased(100 * time.Hour)
	w.agent.Kill()
	w.server.Kill()
	w.again(time.Hour, "")
	time.Sleep(2 * time.Second)
	w.untouched()
	w.kill()
	w.again(10*24*time.Hour, "")
	w.sealed()
	w.kill()
	agent, err := w.stack.RunAgent(w.ctx(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = agent
	w.backAsExpired()
}

// ranBack: within a boot no clock does that by itself.
func ranBack(w *world) {
	w.leased(100 * time.Hour)
	w.agent.Kill()
	w.server.Kill()
	w.again(48*time.Hour, "")
	time.Sleep(time.Second)
	w.untouched()
	w.kill()
	w.again(0, "")
	w.sealed()
}

// freshBoot is how far a boot clock that began just now is from this machine's.
func (w *world) freshBoot() time.Duration {
	w.t.Helper()
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		w.t.Fatal(err)
	}
	return 2*time.Second - time.Duration(up.Nano()).Truncate(time.Second)
}

// putBack restores the agent's state from before the last boot.
func putBack(w *world) {
	socket, chip := filepath.Join(w.laptop.Root, "run/tpm.sock"), filepath.Join(w.dir, "tpm")
	for _, dir := range []string{filepath.Dir(socket), chip} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	w.agent.Kill()
	off := w.power(socket, chip)
	boot := func(id string) {
		w.kill()
		off()
		off = w.power(socket, chip)
		w.again(w.freshBoot(), id)
		time.Sleep(time.Second)
	}
	w.kill = func() {}
	boot("11111111-0000-0000-0000-000000000000")
	w.until("a lease under the TPM's eyes", func() bool {
		raw, _ := os.ReadFile(filepath.Join(w.state, "mark.a"))
		return strings.Contains(string(raw), `"counter":`)
	})
	w.kill()
	w.copy(w.state, filepath.Join(w.dir, "copy"))
	w.server.Kill()
	boot("22222222-0000-0000-0000-000000000000")
	boot("33333333-0000-0000-0000-000000000000")
	w.untouched()
	w.kill()
	if err := os.RemoveAll(w.state); err != nil {
		w.t.Fatal(err)
	}
	w.copy(filepath.Join(w.dir, "copy"), w.state)
	boot("44444444-0000-0000-0000-000000000000")
	w.sealed()
	w.cutServer()
	w.until("the seal is known", func() bool { return w.device().State == "sealed" })
	w.until("tamper is told", func() bool {
		for _, f := range w.device().Posture {
			if f.Name == "tamper" && f.Known {
				return true
			}
		}
		return false
	})
}

// power switches a TPM simulator on, and returns how to cut its power.
func (w *world) power(socket, chip string) func() {
	w.t.Helper()
	_ = os.Remove(socket)
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+chip, "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	// The socket has its name before anybody listens; dialling takes the one place.
	w.until("the TPM", func() bool {
		table, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			w.t.Fatal(err)
		}
		return slices.ContainsFunc(strings.Split(string(table), "\n"), func(line string) bool {
			return strings.Contains(line, " 00010000 ") && strings.HasSuffix(line, socket) // __SO_ACCEPTCON
		})
	})
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
}

// warned watches alice's bus, as her desktop does.
func warned(w *world) {
	alice := w.laptop.Users[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	session, err := stack.StartKeyring(w.ctx(), w.laptop.Root, alice.Home, alice.UID)
	if err != nil {
		w.t.Fatal(err)
	}
	defer session.Close()
	seen := filepath.Join(w.dir, "seen")
	file, err := os.Create(seen)
	if err != nil {
		w.t.Fatal(err)
	}
	monitor := session.Command(ctx, "dbus-monitor", "--session", "interface='org.freedesktop.Notifications'")
	monitor.Stdout = file
	if err := monitor.Start(); err != nil {
		w.t.Fatal(err)
	}
	defer func() { cancel(); _ = monitor.Wait() }()
	said := func(text string) func() bool {
		return func() bool { raw, _ := os.ReadFile(seen); return strings.Contains(string(raw), text) }
	}
	w.until("the monitor", said("NameAcquired"))
	w.leaseOf("3s", "9s")
	w.server.Kill()
	w.until("the warning", said("Connect this computer within less than a minute"))
	w.untouched()
	w.sealed()
	w.until("the last word", said("locked its sign-ins and keys away"))
}
