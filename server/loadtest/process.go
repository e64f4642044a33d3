package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// process is this program run again as something else. It is the one place
// beside platform/command that starts a process: the server must be measured
// from the outside.
type process struct {
	cmd  *exec.Cmd
	log  string
	in   io.WriteCloser
	out  *bufio.Reader
	once sync.Once
}

func start(ctx context.Context, log string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this program, again
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stderr.Close() }()
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, log: log, in: in, out: bufio.NewReaderSize(out, 1<<20)}, nil
}

func (p *process) stop() {
	p.once.Do(func() {
		_ = p.in.Close()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	})
}

// cpu is the processor time the process has used, user and system.
func (p *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The second field is the name in brackets, which may hold spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ is 100
}

// rss is the resident memory of the process in KB.
func (p *process) rss() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb
		}
	}
	return 0
}

// server is a cutoff-server in a process of its own.
type server struct {
	*process
	data   string
	empty  int64 // resident KB before any agent
	agents string
	conn   *grpc.ClientConn
	admin  cutoffv1.AdminServiceClient
}

// limits lets a load test cut what a person may not: limits are raised in the
// server's configuration file, the only place where they can be.
const limits = "brake: {people: 1000000, machine: 1000000}\n"

func startServer(ctx context.Context, dir string, o options) (*server, error) {
	data := filepath.Join(dir, "server")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(data, "config.yaml"), []byte(limits), 0o600); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "server.log")
	p, err := start(ctx, log, "serve", "--data", data, "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the server did not start: %s", (&process{log: log}).said())
	}
	var ready struct{ Agents, Admin string }
	if err := json.Unmarshal(line, &ready); err != nil {
		p.stop()
		return nil, fmt.Errorf("ready line %q: %w", line, err)
	}
	conn, err := grpc.NewClient("unix:"+ready.Admin, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		p.stop()
		return nil, err
	}
	return &server{process: p, data: data, empty: p.rss(), agents: ready.Agents, conn: conn, admin: cutoffv1.NewAdminServiceClient(conn)}, nil
}

// dir is the server's data folder.
func (s *server) dir() string { return s.data }

func (s *server) stop() {
	_ = s.conn.Close()
	s.process.stop()
}

// token makes an enrolment token for n agents.
func (s *server) token(ctx context.Context, n int) (string, error) {
	answer, err := s.admin.CreateToken(ctx, &cutoffv1.CreateTokenRequest{
		Group: "default", Uses: int32(n), TtlMs: time.Hour.Milliseconds(),
	})
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return answer.GetToken(), nil
}

// said is the end of what the process wrote to its log.
func (p *process) said() string {
	text, _ := os.ReadFile(p.log)
	const most = 2000
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
