//go:build system

package system

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestThePackageEnrolsWhenTheServerComesAndKeepsTheAgentUp(t *testing.T) {
	m, _ := prepare(t)
	m.packages("1.0.0")
	m.packages("1.1.0")
	m.serve()
	token := m.token()
	if err := m.server.Stop(); err != nil {
		t.Fatal(err)
	}
	disk := m.disk()
	m.start(disk, filepath.Join(m.stack.Dir, "boot.1"))

	// An MDM that does not care for modes, before there is a network.
	m.write("/etc/cutoff/agent.env", "644", "CUTOFF_SERVER="+m.server.Agents+"\nCUTOFF_TOKEN="+token+"\n")
	m.do("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-i", deb("1.0.0"))
	m.until("a service that waits", func() bool { return strings.Contains(m.journal(), "not enrolled yet") })
	if got := m.shows("cutoff-agent", "ActiveState") + " " + m.do("systemctl", "is-enabled", "cutoff-agent"); got != "active enabled" {
		t.Errorf("the service is %s", got)
	}
	if mode := m.do("stat", "-c", "%a %U", "/etc/cutoff/agent.env"); mode != "600 root" {
		t.Errorf("the settings are %s", mode)
	}
	t.Log(m.do("systemd-analyze", "security", "--no-pager", "cutoff-agent.service"))

	m.serve()
	first := m.enrolled()
	secret := token[strings.LastIndex(token, ".")+1:]
	if out, _ := m.try("grep", "-rl", secret, "/etc", "/var", "/run"); out != "" {
		t.Errorf("the token is left in %s", out)
	}
	if strings.Contains(m.journal(), secret) {
		t.Error("the token is in the journal")
	}
	m.comesBackUp(first, disk)
	m.tells()
	m.upgrades(first)
	m.leaves(first)
}

func (m *machine) token() string {
	m.t.Helper()
	var made struct{ Token string }
	m.cli(&made, "token", "create", "--uses", "1", "--ttl", "1h")
	return made.Token
}

// enrolled waits until the machine has a lease.
func (m *machine) enrolled() (d device) {
	m.t.Helper()
	m.until("a lease", func() bool {
		var ok bool
		d, ok = m.device()
		return ok && d.LeaseUntil != nil
	})
	return d
}

// comesBackUp: killed, stopped and without power.
func (m *machine) comesBackUp(first device, disk string) {
	m.t.Helper()
	before := m.pid()
	m.do("kill", "-9", strconv.Itoa(before))
	m.until("a new process after kill -9", func() bool { pid := m.pid(); return pid != 0 && pid != before && m.status().Connected })

	// The unit's own bound is a minute; here it is three seconds.
	m.write("/run/systemd/system/cutoff-agent.service.d/test.conf", "644", "[Service]\nWatchdogSec=3\n")
	m.do("systemctl", "daemon-reload")
	m.do("systemctl", "restart", "cutoff-agent")
	before = m.pid()
	m.do("kill", "-STOP", strconv.Itoa(before))
	m.until("a new process after SIGSTOP", func() bool { pid := m.pid(); return pid != 0 && pid != before && m.status().Connected })

	m.cutPower()
	m.start(disk, filepath.Join(m.stack.Dir, "boot.2"))
	m.until("the agent after a power cut", func() bool { return m.status().Connected })
	if d := m.enrolled(); d.ID != first.ID {
		m.t.Errorf("the device was %s and is %s", first.ID, d.ID)
	}
}

// upgrades: state, identity and trust stay.
func (m *machine) upgrades(first device) {
	m.t.Helper()
	m.do("dpkg", "-i", deb("1.1.0"))
	m.until("the new version", func() bool { d, ok := m.device(); return ok && d.Version == "1.1.0" })
	if d := m.enrolled(); d.ID != first.ID || d.State != "trusted" {
		m.t.Errorf("after the upgrade the device is %s %s", d.ID, d.State)
	}
	m.until("a connection", func() bool { return m.status().Connected })
	if s := m.status(); s.Trust != "trusting" {
		m.t.Errorf("after the upgrade the agent says %q", s.Trust)
	}
}

// facts waits until the server knows of exactly these facts.
func (m *machine) facts(when string, want ...string) {
	m.t.Helper()
	var d device
	m.until(fmt.Sprintf("facts %v %s", want, when), func() bool {
		d, _ = m.device()
		return slices.Equal(d.Facts, want) || len(want) == 0 && len(d.Facts) == 0
	})
}

// tells: what is done to the service by hand is a fact until it is back, and
// what the machine does is none.
func (m *machine) tells() {
	m.t.Helper()
	m.do("systemctl", "restart", "cutoff-agent")
	m.until("the agent, restarted", func() bool { return m.status().Connected })
	m.facts("after a restart")
	m.do("systemctl", "stop", "cutoff-agent")
	m.facts("after a stop", "stopped")
	m.do("systemctl", "start", "cutoff-agent")
	m.facts("after a start")
	m.do("systemctl", "disable", "--now", "cutoff-agent")
	m.facts("after the service was disabled", "disabled")
	m.do("systemctl", "enable", "--now", "cutoff-agent")
	m.facts("after it was enabled")
}

// leaves: the package goes, the server hears it first, the state stays until it
// is purged. With a permission it is no fact, and the device leaves the fleet.
func (m *machine) leaves(first device) {
	m.t.Helper()
	m.do("dpkg", "-r", "cutoff-agent")
	m.facts("after a removal", "removed")
	if m.has("/usr/bin/cutoff-agent") || !m.has("/var/lib/cutoff-agent/agent.yaml") {
		m.t.Error("a removal leaves the program, or takes the state")
	}
	m.do("dpkg", "-i", deb("1.1.0"))
	m.until("the agent, installed again", func() bool { return m.status().Connected })
	m.facts("after the package came back")
	if d, _ := m.device(); d.ID != first.ID {
		m.t.Errorf("installed again the device is %s, was %s", d.ID, first.ID)
	}

	m.cli(nil, "device", "uninstall", first.ID, "--reason", "test")
	m.until("the permission", func() bool { d, ok := m.device(); return ok && d.Removal == "confirmed" })
	m.do("dpkg", "-P", "cutoff-agent")
	var d device
	m.cli(&d, "device", "show", first.ID)
	if d.State != "retired" || len(d.Facts) != 0 {
		m.t.Errorf("after a removal in order the device is %s, with the facts %v", d.State, d.Facts)
	}
	for _, gone := range []string{"/var/lib/cutoff-agent", "/etc/cutoff", "/etc/systemd/system/multi-user.target.wants/cutoff-agent.service"} {
		if m.has(gone) {
			m.t.Errorf("a purge leaves %s", gone)
		}
	}
}

func TestALeaseThatRanOutWhileOffSealsBeforeAnyoneLogsIn(t *testing.T) {
	m, _ := prepare(t)
	m.packages("1.0.0")
	m.serve()
	// A person lifts: by itself the machine would be back before the test looks.
	m.cli(nil, "group", "set", "default", "--warn", "10s", "--seal", "20s", "--renew", "2s", "--auto-lift=false")
	disk := m.disk()
	m.start(disk, filepath.Join(m.stack.Dir, "boot.1"))
	m.do("useradd", "-m", "-s", "/bin/bash", "alice")
	m.as("alice", "", `mkdir -m 700 .aws; printf '[default]\naws_secret_access_key = canary-aws\n' >.aws/credentials`)
	// What people log in by says whether alice's secret was there when it began.
	m.write("/etc/systemd/system/systemd-user-sessions.service.d/test.conf", "644",
		"[Service]\nExecStartPre=/bin/sh -c 'ls /home/alice/.aws >/var/at-login'\n")

	// The installer's environment is the other way an MDM has.
	m.write("/run/token", "600", m.token()+"\n")
	m.do("env", "CUTOFF_SERVER="+m.server.Agents, "CUTOFF_TOKEN_FILE=/run/token", "dpkg", "-i", deb("1.0.0"))
	first := m.enrolled()
	m.powerOff()
	off := time.Now()
	m.until("the deadline", func() bool { return time.Since(off) > 21*time.Second })

	m.start(disk, filepath.Join(m.stack.Dir, "boot.2"), "--private-network")
	if got := m.do("cat", "/var/at-login"); got != "" {
		t.Errorf("when logins began alice had %q", got)
	}
	if agent, login := m.monotonic("cutoff-agent"), m.monotonic("systemd-user-sessions"); agent == 0 || agent > login {
		t.Errorf("the agent was ready at %d µs, logins at %d", agent, login)
	}
	if s := m.status(); len(s.Cuts) != 1 || s.Connected {
		t.Errorf("without network: %+v", s)
	}
	m.cutPower()

	m.start(disk, filepath.Join(m.stack.Dir, "boot.3"))
	m.until("the server hears of it", func() bool { d, ok := m.device(); return ok && d.ID == first.ID && d.State == "sealed" })
	var list struct{ Cuts []cut }
	m.cli(&list, "cut", "list")
	if len(list.Cuts) != 1 {
		t.Fatalf("got %d cuts, want one: the agent's and the server's are the same", len(list.Cuts))
	}
	m.cli(nil, "group", "set", "default", "--warn", "1h", "--seal", "2h")
	m.cli(nil, "lift", list.Cuts[0].ID, "--reason", "test", "--wait")
	if got := m.do("cat", "/home/alice/.aws/credentials"); !strings.Contains(got, "canary-aws") {
		t.Errorf("got %q back", got)
	}
}

func TestThePackagesAreTheSameBytesTwice(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	pack(t, "packages", one, "1.0.0")
	pack(t, "packages", two, "1.0.0")
	names, err := filepath.Glob(filepath.Join(one, "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("built %v, %v", names, err)
	}
	for _, name := range names {
		a, errA := os.ReadFile(name)
		b, errB := os.ReadFile(filepath.Join(two, filepath.Base(name)))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs from build to build (%v, %v)", filepath.Base(name), errA, errB)
		}
	}
}

func TestTheRPMInstallsAndGoes(t *testing.T) {
	m, _ := prepare(t)
	dir, root := m.packages("1.0.0"), m.disk()
	found, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil || len(found) != 1 {
		t.Fatalf("built %v, %v", found, err)
	}
	files := tool(t, "rpm", "-qplv", found[0])
	for _, want := range []string{
		"-rwxr-xr-x    1 root     root", "/usr/bin/cutoff-agent\n", "drwx------    2 root     root", "/etc/cutoff\n",
		"/usr/lib/systemd/system/cutoff-agent.service\n", "/usr/lib/systemd/system-preset/80-cutoff-agent.preset\n",
	} {
		if !strings.Contains(files, want) {
			t.Errorf("no %q among\n%s", want, files)
		}
	}
	for _, kind := range []string{"postinstall scriptlet (using /bin/sh)", "preuninstall scriptlet (using /bin/sh)", "postuninstall scriptlet (using /bin/sh)"} {
		if out := tool(t, "rpm", "-qp", "--scripts", found[0]); !strings.Contains(out, kind) {
			t.Errorf("no %s in\n%s", kind, out)
		}
	}
	// The scripts run in a tree with a shell and systemctl, not booted, as where
	// images are built.
	t.Setenv("CUTOFF_SERVER", "cutoff.example:7443")
	t.Setenv("CUTOFF_TOKEN", "canary-token")
	tool(t, "rpm", "--root", root, "--initdb")
	tool(t, "rpm", "--root", root, "-i", "--nodeps", found[0])
	out := tool(t, filepath.Join(root, "usr/bin/cutoff-agent"), "version")
	if !strings.HasPrefix(out, "cutoff-agent 1.0.0 ") {
		t.Errorf("the program says %q", out)
	}
	wanted := filepath.Join(root, "etc/systemd/system/multi-user.target.wants/cutoff-agent.service")
	if _, err := os.Lstat(wanted); err != nil {
		t.Errorf("not enabled: %v", err)
	}
	settings := filepath.Join(root, "etc/cutoff/agent.env")
	if info, err := os.Stat(settings); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("settings: %v, %v", info, err)
	}
	if text, _ := os.ReadFile(settings); string(text) != "CUTOFF_SERVER=cutoff.example:7443\nCUTOFF_TOKEN=canary-token\n" {
		t.Errorf("settings: %q", text)
	}
	tool(t, "rpm", "--root", root, "-e", "cutoff-agent")
	for _, gone := range []string{filepath.Join(root, "usr/bin/cutoff-agent"), wanted} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is left", gone)
		}
	}
}

func TestTheServersPackageRunsItWithoutRights(t *testing.T) {
	m, dir := prepare(t)
	pack(t, "server-packages", filepath.Join(m.bin, "1.0.0"), "1.0.0")
	m.start(os.Getenv("CUTOFF_SYSTEM_TREE"), filepath.Join(dir, "boot.log"), "--volatile=overlay", "--private-network")
	m.do("dpkg", "-i", strings.Replace(deb("1.0.0"), "cutoff-agent", "cutoff-server", 1))
	if got, _ := m.try("systemctl", "is-active", "cutoff-server"); got != "inactive" {
		t.Errorf("the server is %s before an administrator starts it", got)
	}
	m.do("systemctl", "enable", "--now", "cutoff-server")
	m.until("the server", func() bool {
		out, err := m.try("cutoff-server", "device", "list", "--json", "--data", "/var/lib/cutoff")
		return err == nil && strings.HasPrefix(out, "{")
	})
	if got := m.do("stat", "-c", "%U %a", "/var/lib/cutoff/"); got != "cutoff 700" {
		t.Errorf("its data is %s", got)
	}
	t.Log(m.do("sh", "-c", "systemd-analyze security --no-pager cutoff-server.service | tail -1"))
	m.do("dpkg", "-P", "cutoff-server")
	if got, _ := m.try("pgrep", "-f", "cutoff-server serve"); got != "" || !m.has("/var/lib/cutoff/") {
		t.Errorf("after a purge it runs on as %q, or its data is gone", got)
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
