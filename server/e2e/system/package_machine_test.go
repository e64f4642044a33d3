//go:build system

package system

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disk gives the machine a disk of its own, which outlives its boots: the tree
// that make builds, and a layer for what is written. It returns where it is.
func (m *machine) disk() string {
	m.t.Helper()
	merged := filepath.Join(m.stack.Dir, "disk")
	upper, work := merged+".upper", merged+".work"
	for _, dir := range []string{merged, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	options := "lowerdir=" + os.Getenv("CUTOFF_SYSTEM_TREE") + ",upperdir=" + upper + ",workdir=" + work
	if err := syscall.Mount("overlay", merged, "overlay", 0, options); err != nil {
		m.t.Fatalf("mount the machine's disk: %v", err)
	}
	m.t.Cleanup(func() { _ = syscall.Unmount(merged, syscall.MNT_DETACH) })
	return merged
}

// powerOff shuts the machine down in order.
func (m *machine) powerOff() {
	m.t.Helper()
	if err := syscall.Kill(m.leader, syscall.Signal(34+4)); err != nil { // SIGRTMIN+4
		m.t.Fatal(err)
	}
	m.ended()
}

// cutPower ends everything in the machine at once.
func (m *machine) cutPower() {
	m.t.Helper()
	if err := syscall.Kill(m.leader, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	m.ended()
}

func (m *machine) ended() {
	_ = m.nspawn.Wait() // its status is the machine's
	m.leader = 0
}

// packages builds the agent's packages of one version and returns their folder.
func (m *machine) packages(version string) string {
	m.t.Helper()
	dir := filepath.Join(m.bin, version)
	pack(m.t, "packages", dir, version)
	return dir
}

func pack(t *testing.T, target, dir, version string) {
	t.Helper()
	cmd := exec.Command("make", target, "PACKAGE_ARCHES="+runtime.GOARCH, "PACKAGE_VERSION="+version, "PACKAGES_DIR="+dir)
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, out)
	}
}

// deb is a package's path in the machine.
func deb(version string) string {
	return "/opt/cutoff/" + version + "/cutoff-agent_" + version + "_" + runtime.GOARCH + ".deb"
}

// write puts a file into the machine.
func (m *machine) write(path, mode, content string) {
	m.t.Helper()
	cmd := m.command(content, "sh", "-c", `umask 077; mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"`, "sh", path, mode)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("write %s: %v\n%s", path, err, out)
	}
}

// shows is what systemd says of a unit's property.
func (m *machine) shows(unit, property string) string {
	m.t.Helper()
	return m.do("systemctl", "show", "-P", property, unit)
}

func (m *machine) monotonic(unit string) int {
	m.t.Helper()
	at, err := strconv.Atoi(m.shows(unit, "ActiveEnterTimestampMonotonic"))
	if err != nil {
		m.t.Fatal(err)
	}
	return at
}

type device struct {
	ID         string     `json:"device_id"`
	State      string     `json:"state"`
	Version    string     `json:"agent_version"`
	LeaseUntil *time.Time `json:"lease_until"`
	// Facts are what a person has to look at; Removal: permitted, confirmed.
	Facts   []string `json:"facts"`
	Removal string   `json:"removal"`
}

// device is what the server knows of the machine; ok: anything at all.
func (m *machine) device() (d device, ok bool) {
	m.t.Helper()
	ok = m.server.CLI(m.ctx(), "", &d, "device", "show", m.hostname()) == nil
	return d, ok
}

type agentStatus struct {
	Running   bool     `json:"running"`
	Connected bool     `json:"connected"`
	Trust     string   `json:"trust"`
	Cuts      []string `json:"cuts"`
}

// status is what the agent says of itself.
func (m *machine) status() (s agentStatus) {
	m.t.Helper()
	out, err := m.try("cutoff-agent", "status", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		return agentStatus{}
	}
	return s
}

func (m *machine) journal() string {
	return m.do("journalctl", "-u", "cutoff-agent", "--no-pager", "-o", "cat")
}

func (m *machine) pid() int {
	pid, _ := strconv.Atoi(strings.TrimSpace(m.shows("cutoff-agent", "MainPID")))
	return pid
}
