// Package e2e runs the built programs against each other as users would. It
// holds tests, the demo and what both need; no product code imports it.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cutoff/server/e2e/stack"
	"cutoff/server/e2e/trial"
)

// bin is where TestMain built the programs.
var bin string

func TestMain(m *testing.M) {
	status, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = 1
	}
	os.Exit(status)
}

func build(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "cutoff-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	for _, b := range []struct{ name, dir, pkg string }{
		{"cutoff-server", "../..", "./server"},
		{"cutoff-agent", "../..", "./agent"},
		{"cutoff-oauthd", "oauthd", "."},
	} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, b.name), b.pkg)
		cmd.Dir = b.dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build %s: %w\n%s", b.name, err, out)
		}
	}
	bin = dir
	return m.Run(), nil
}

// world is one test's server, laptop and agent.
type world struct {
	t      testing.TB
	stack  *stack.Stack
	dir    string
	laptop *trial.Laptop
	before map[string]trial.File
	server *stack.Server
	agent  *stack.Agent
	state  string
	// live is how many secrets were on the laptop, where a test needs it.
	live int
	// kill ends an agent that was started with clocks of its own.
	kill func()
}

// newWorld starts a server and an agent on a scratch laptop; first are commands
// of the server's to run before that is enrolled.
func newWorld(t testing.TB, first ...[]string) *world {
	t.Helper()
	w := &world{t: t, dir: scratch(t)}
	w.stack = &stack.Stack{Bin: bin, Dir: w.dir}
	t.Cleanup(func() {
		w.stack.Close()
		if t.Failed() {
			w.logs()
		}
	})
	ctx := w.ctx()
	var err error
	if w.laptop, err = trial.New(filepath.Join(w.dir, "laptop")); err != nil {
		t.Fatal(err)
	}
	w.before = w.laptop.Snapshot(filepath.Join(w.laptop.Root, "home"))
	if w.server, err = w.stack.Serve(ctx, filepath.Join(w.dir, "server"), "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	for _, args := range first {
		w.cli(nil, args...)
	}
	w.state = filepath.Join(w.dir, "agent")
	if err := w.stack.Enroll(ctx, w.state, w.server.Agents, w.token(), w.laptop.Root); err != nil {
		t.Fatal(err)
	}
	if w.agent, err = w.stack.RunAgent(ctx, w.state); err != nil {
		t.Fatal(err)
	}
	// Both sides: what the server granted may still be on its way.
	w.until("a lease", func() bool { return w.device().LeaseUntil != nil && w.status().LeaseUntil != nil })
	return w
}

// scratch is a folder that other users may search: t.TempDir is private.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cutoff-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) logs() {
	files, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if len(text) > 6000 {
			text = text[len(text)-6000:]
		}
		w.t.Logf("%s:\n%s", filepath.Base(f), text)
	}
}

// cli runs a command of the server's that must succeed.
func (w *world) cli(result any, args ...string) {
	w.t.Helper()
	if err := w.server.CLI(w.ctx(), "", result, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) token() string {
	w.t.Helper()
	var made struct{ Token string }
	w.cli(&made, "token", "create", "--uses", "1", "--ttl", "1h")
	return made.Token
}

// device is what `device show` says of the laptop.
type device struct {
	ID          string     `json:"device_id"`
	Hostname    string     `json:"hostname"`
	State       string     `json:"state"`
	Level       string     `json:"level"`
	CutID       string     `json:"cut_id"`
	Silence     string     `json:"silence"`
	Todo        string     `json:"todo"`
	Trial       bool       `json:"trial"`
	LeaseUntil  *time.Time `json:"lease_until"`
	LastContact *time.Time `json:"last_contact"`
	Credentials []struct {
		Product string `json:"product"`
	} `json:"credentials"`
	Posture []struct {
		Name   string `json:"name"`
		Known  bool   `json:"known"`
		Reason string `json:"reason"`
	} `json:"posture"`
}

func (w *world) device() device {
	w.t.Helper()
	var d device
	w.cli(&d, "device", "show", "alice-laptop")
	return d
}

// cut is what `cut show` says of a cut.
type cut struct {
	ID       string `json:"cut_id"`
	State    string `json:"state"`
	Level    string `json:"level"`
	Cause    string `json:"cause"`
	Exposure string `json:"exposure"`
	Items    []struct {
		Product, Path, Action, Outcome, Detail string
		Sealed                                 bool
	} `json:"items"`
	Steps []struct {
		Connector, Outcome, Proof, Detail string
		Residual                          string `json:"residual_until"`
	} `json:"steps"`
}

func (w *world) cut(id string) cut {
	w.t.Helper()
	var c cut
	w.cli(&c, "cut", "show", id)
	return c
}

// open opens a cut of the laptop without waiting and returns its id.
func (w *world) open(level string) string {
	w.t.Helper()
	var opened cut
	w.cli(&opened, "cut", "alice-laptop", "--level", level, "--reason", "test")
	if opened.ID == "" {
		w.t.Fatal("no cut was opened")
	}
	return opened.ID
}

// until polls ok, which is a question to a program, for up to a minute.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// restartServer kills the server and starts it on the same addresses.
func (w *world) restartServer() {
	w.t.Helper()
	w.server.Kill()
	w.serveAgain()
}

// serveAgain starts a server that was killed.
func (w *world) serveAgain() {
	w.t.Helper()
	server, err := w.stack.Serve(w.ctx(), w.server.Data, "--agents", w.server.Agents, "--console", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
}

// restartAgent kills the agent and starts it again.
func (w *world) restartAgent() {
	w.t.Helper()
	w.agent.Kill()
	agent, err := w.stack.RunAgent(w.ctx(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = agent
}

// purged fails the test unless every secret is gone and nothing else changed.
func (w *world) purged() {
	w.t.Helper()
	if live := w.laptop.Live(w.laptop.Root); len(live) > 0 {
		w.t.Errorf("secrets are left in %v", live)
	}
	for _, h := range w.laptop.Harm(w.before) {
		w.t.Error(h)
	}
}
