// Package stack runs the real programs as a user would: a server, an agent on
// a scratch root, an OAuth server, a keyring, each a process of its own on the
// loopback address. It must not reach into them: it uses their command lines
// and their wire.
package stack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Stack is a set of processes in one scratch folder.
type Stack struct {
	// Bin holds cutoff-server, cutoff-agent and cutoff-oauthd.
	Bin string
	// Dir is the scratch folder.
	Dir string

	mu    sync.Mutex
	procs []*Process
}

// Process is one running program.
type Process struct {
	Name  string
	Cmd   *exec.Cmd
	Ready []byte // its first line on stdout
	Log   string
	ended chan struct{}
	err   error
}

// Start runs a program of Bin and waits for its first line on stdout.
func (s *Stack) Start(ctx context.Context, name string, env []string, args ...string) (*Process, error) {
	p := &Process{Name: name, Log: filepath.Join(s.Dir, filepath.Base(name)+".log"), ended: make(chan struct{})}
	p.Cmd = exec.Command(s.program(name), args...)
	p.Cmd.Env = append(os.Environ(), env...)
	// A process group of its own: Ctrl-C reaches the driver, which stops all
	// in order.
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.Cmd.Stderr = log
	out, err := p.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	s.procs = append(s.procs, p)
	s.mu.Unlock()
	line := make(chan []byte, 1)
	go func() {
		defer close(p.ended)
		r := bufio.NewReader(out)
		first, _ := r.ReadBytes('\n')
		line <- first
		_, _ = io.Copy(io.Discard, r)
		p.err = p.Cmd.Wait()
	}()
	select {
	case p.Ready = <-line:
	case <-ctx.Done():
		p.Kill()
		return nil, ctx.Err()
	}
	if len(p.Ready) == 0 {
		<-p.ended
		text, _ := os.ReadFile(p.Log)
		return nil, fmt.Errorf("%s ended: %w\n%s", name, p.err, tail(text))
	}
	return p, nil
}

// program is where a program is: in Bin, if its name does not say.
func (s *Stack) program(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Bin, name)
}

// Kill ends the process at once, as a power cut would.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.ended
}

// Stop asks the process to end and waits; after ten seconds it is killed.
func (p *Process) Stop() error {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return p.err
	case <-time.After(10 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not stop within 10 s", p.Name)
	}
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Close stops everything, last started first.
func (s *Stack) Close() {
	s.mu.Lock()
	procs := s.procs
	s.procs = nil
	s.mu.Unlock()
	for i := len(procs) - 1; i >= 0; i-- {
		if procs[i].Running() {
			_ = procs[i].Stop()
		}
	}
}

// Exit is a command's end with a status other than 0.
type Exit struct {
	Status int
	Stderr string
}

func (e *Exit) Error() string {
	return fmt.Sprintf("exit status %d: %s", e.Status, strings.TrimSpace(e.Stderr))
}

// Run runs a program of Bin to its end with input on stdin and returns its
// stdout. A status other than 0 is an *Exit, with stdout still returned.
func (s *Stack) Run(ctx context.Context, input, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.program(name), args...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.Bytes(), &Exit{exit.ExitCode(), stderr.String()}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return stdout.Bytes(), nil
}

func tail(text []byte) string {
	const keep = 2000
	if len(text) > keep {
		text = text[len(text)-keep:]
	}
	return string(text)
}

// Server is a running cutoff-server.
type Server struct {
	*Process
	stack   *Stack
	Data    string
	Agents  string `json:"agents"`
	Console string `json:"console"`
	Admin   string `json:"admin"`
	args    []string
}

// Serve starts a server on a data folder.
func (s *Stack) Serve(ctx context.Context, data string, args ...string) (*Server, error) {
	all := append([]string{"serve", "--data", data}, args...)
	p, err := s.Start(ctx, "cutoff-server", nil, all...)
	if err != nil {
		return nil, err
	}
	server := &Server{Process: p, stack: s, Data: data, args: args}
	if err := json.Unmarshal(p.Ready, server); err != nil {
		return nil, fmt.Errorf("ready line %q: %w", p.Ready, err)
	}
	return server, nil
}

// CLI runs cutoff-server's admin commands over its socket. The answer of a
// command with --json is decoded into result if that is not nil.
func (v *Server) CLI(ctx context.Context, input string, result any, args ...string) error {
	args = append(args, "--data", v.Data)
	if result != nil {
		args = append(args, "--json")
	}
	out, err := v.stack.Run(ctx, input, "cutoff-server", args...)
	if result != nil && len(out) > 0 {
		if jsonErr := json.Unmarshal(out, result); jsonErr != nil {
			return errors.Join(err, fmt.Errorf("cutoff-server %s printed no JSON: %w: %s", args[0], jsonErr, out))
		}
	}
	if err != nil {
		return fmt.Errorf("cutoff-server %s: %w", strings.Join(args[:min(len(args), 3)], " "), err)
	}
	return nil
}

// Agent is an enrolled agent.
type Agent struct {
	*Process
	stack    *Stack
	State    string
	DeviceID string `json:"device_id"`
}

// Enroll enrols an agent with a state folder and a root.
func (s *Stack) Enroll(ctx context.Context, state, server, token, root string) error {
	args := []string{"enroll", "--state", state, "--server", server, "--token-file", "-"}
	if root != "" {
		args = append(args, "--root", root)
	}
	_, err := s.Run(ctx, token+"\n", "cutoff-agent", args...)
	return err
}

// RunAgent starts an enrolled agent.
func (s *Stack) RunAgent(ctx context.Context, state string) (*Agent, error) {
	p, err := s.Start(ctx, "cutoff-agent", nil, "run", "--state", state)
	if err != nil {
		return nil, err
	}
	a := &Agent{Process: p, stack: s, State: state}
	if err := json.Unmarshal(p.Ready, a); err != nil {
		return nil, fmt.Errorf("ready line %q: %w", p.Ready, err)
	}
	return a, nil
}
