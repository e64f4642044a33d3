//go:build system

package system

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cutoff/server/e2e/stack"
)

// machine is a booted container: a tree that make builds once, with what the
// test writes on a layer of its own that goes with it.
type machine struct {
	t      *testing.T
	leader int
	nspawn *exec.Cmd
	bin    string
	stack  *stack.Stack
	server *stack.Server
}

// boot starts a server here and a machine beside it.
func boot(t *testing.T) *machine {
	t.Helper()
	m, dir := prepare(t)
	m.serve()
	m.start(os.Getenv("CUTOFF_SYSTEM_TREE"), filepath.Join(dir, "boot.log"), "--volatile=overlay")
	return m
}

// prepare builds the programs for a machine and its server.
func prepare(t *testing.T) (*machine, string) {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv("CUTOFF_SYSTEM_TREE") == "" {
		t.Fatal("run make test-system as root: it needs a tree to boot")
	}
	dir, err := os.MkdirTemp("", "cutoff-system-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &machine{t: t, bin: filepath.Join(dir, "bin")}
	for name, pkg := range map[string]string{"cutoff-server": "./server", "cutoff-agent": "./agent"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(m.bin, name), pkg)
		cmd.Dir, cmd.Env = "../../..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	m.stack = &stack.Stack{Bin: m.bin, Dir: dir}
	t.Cleanup(m.stack.Close)
	return m, dir
}

// serve starts the server, where it was before if there was one.
func (m *machine) serve() {
	m.t.Helper()
	agents := "127.0.0.1:0"
	if m.server != nil {
		agents = m.server.Agents
	}
	var err error
	if m.server, err = m.stack.Serve(m.ctx(), filepath.Join(m.stack.Dir, "server"), "--agents", agents, "--console", "127.0.0.1:0"); err != nil {
		m.t.Fatal(err)
	}
}

// start boots a tree. The network is this machine's own, unless args say
// otherwise: the server listens on its loopback.
func (m *machine) start(tree, logName string, args ...string) {
	m.t.Helper()
	log, err := os.Create(logName)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	all := append([]string{"-q", "-D", tree, "--register=no", "--keep-unit", "--bind-ro=" + m.bin + ":/opt/cutoff", "--console=pipe"}, args...)
	cmd := exec.Command("systemd-nspawn", append(all, "-b")...)
	m.nspawn = cmd
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if m.t.Failed() {
			text, _ := m.try("journalctl", "-u", "cutoff-agent", "--no-pager", "-n", "60")
			booted, _ := os.ReadFile(logName)
			m.t.Logf("agent's journal:\n%s\nboot:\n%s", text, booted)
		}
		if m.leader != 0 {
			_ = syscall.Kill(m.leader, syscall.SIGKILL)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	m.until("a leader", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		first, _, _ := strings.Cut(strings.TrimSpace(string(children)), " ")
		m.leader, _ = strconv.Atoi(first)
		return err == nil && m.leader != 0
	})
	m.until("the system", func() bool {
		out, _ := m.try("systemctl", "is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
}

func (m *machine) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	m.t.Cleanup(cancel)
	return ctx
}

func (m *machine) command(input, name string, args ...string) *exec.Cmd {
	all := append([]string{"-t", strconv.Itoa(m.leader), "-m", "-p", "-u", "-i", "-C", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", name}, args...)
	cmd := exec.CommandContext(m.ctx(), "nsenter", all...)
	cmd.Stdin = strings.NewReader(input)
	return cmd
}

// try runs a command in the machine as root.
func (m *machine) try(name string, args ...string) (string, error) {
	out, err := m.command("", name, args...).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// do is try of what must succeed.
func (m *machine) do(name string, args ...string) string {
	m.t.Helper()
	out, err := m.try(name, args...)
	if err != nil {
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// sh runs a line as a user, in the user's own runtime folder.
func (m *machine) sh(user, input, line string) (string, error) {
	uid, err := m.try("id", "-u", user)
	if err != nil {
		return "", err
	}
	line = "export HOME=$(getent passwd " + user + " | cut -d: -f6) XDG_RUNTIME_DIR=/run/user/" + uid +
		" DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/" + uid + "/bus; cd; " + line
	out, err := m.command(input, "setpriv", "--reuid="+user, "--regid="+user, "--init-groups", "bash", "-c", line).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

func (m *machine) as(user, input, line string) string {
	m.t.Helper()
	out, err := m.sh(user, input, line)
	if err != nil {
		m.t.Fatalf("%s: %s: %v\n%s", user, line, err, out)
	}
	return out
}

// login opens a real session through PAM, with a program in it.
func (m *machine) login(user, unit, kind string, program ...string) {
	m.t.Helper()
	args := []string{"-q", "--unit=" + unit, "-p", "PAMName=login", "-p", "User=" + user, "-p", "WorkingDirectory=~",
		"-E", "XDG_SESSION_TYPE=" + kind, "-E", "XDG_SESSION_CLASS=user"}
	if program[0] == "tmux" {
		args = append(args, "-p", "Type=forking")
	}
	m.do("systemd-run", append(args, program...)...)
}

// running reports whether user runs a program whose whole line matches.
func (m *machine) running(user, pattern string) bool {
	_, err := m.try("pgrep", "-u", user, "-f", pattern)
	return err == nil
}

func (m *machine) has(path string) bool {
	_, err := m.try("test", "-e", path)
	return err == nil
}

func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// cli runs a command of the server's.
func (m *machine) cli(result any, args ...string) {
	m.t.Helper()
	if err := m.server.CLI(m.ctx(), "", result, args...); err != nil {
		m.t.Fatal(err)
	}
}

// enrol installs the agent as a rollout does: all tests run under the unit of
// the package, with what it forbids.
func (m *machine) enrol() {
	m.t.Helper()
	m.packages("1.0.0")
	m.write("/etc/cutoff/agent.env", "600", "CUTOFF_SERVER="+m.server.Agents+"\nCUTOFF_TOKEN="+m.token()+"\n")
	m.do("dpkg", "-i", deb("1.0.0"))
	m.enrolled()
}

func (m *machine) hostname() string { return m.do("cat", "/etc/hostname") }

type item struct{ Product, User, Path, Action, Outcome, Detail string }

type cut struct {
	ID    string `json:"cut_id"`
	State string `json:"state"`
	Items []item `json:"items"`
	// FirstRemoved is the time from the order to the first removal.
	FirstRemoved int64 `json:"first_removed_ms"`
}

// receives opens a cut and waits for its receipt.
func (m *machine) receives(level string) cut {
	m.t.Helper()
	var c cut
	m.cli(&c, "cut", m.hostname(), "--level", level, "--reason", "test")
	id := c.ID
	m.until("a receipt of the "+level, func() bool {
		c = m.show(id)
		return len(c.Items) > 0 && c.State == "settled"
	})
	m.t.Logf("%s: first removal after %d ms", level, c.FirstRemoved)
	return c
}

func (m *machine) show(id string) cut {
	m.t.Helper()
	var c cut
	m.cli(&c, "cut", "show", id)
	return c
}

// says reports whether a cut has an item that was treated so.
func (c cut) says(user, path, outcome, detail string) bool {
	for _, i := range c.Items {
		if i.User == user && i.Path == path && i.Outcome == outcome && i.Detail == detail {
			return true
		}
	}
	return false
}

func (m *machine) wants(c cut, user, path, outcome, detail string) {
	m.t.Helper()
	if c.says(user, path, outcome, detail) {
		return
	}
	var got []string
	for _, i := range c.Items {
		if i.User == user && i.Path == path {
			got = append(got, i.Action+" "+i.Outcome+" "+i.Detail)
		}
	}
	m.t.Errorf("%s %s: got %v, want %s %s", user, path, got, outcome, detail)
}
