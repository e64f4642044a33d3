package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what is read of /proc.
const (
	maxProcesses = 1 << 18
	maxStatus    = 8 << 10
	maxArguments = 16 << 10
)

// handle is a pidfd: it names this process and no later one.
type handle struct{ fd int }

func find(q Query) ([]*Process, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(maxProcesses)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	if len(names) == maxProcesses {
		err = errors.New("list processes: there are more than are looked at")
	} else {
		err = nil
	}
	spared := ancestors()
	var out []*Process
	for _, name := range names {
		pid, wrong := strconv.Atoi(name)
		if wrong != nil || spared[pid] {
			continue
		}
		p, failed := consider(pid, q)
		if p != nil {
			out = append(out, p)
		}
		if failed != nil && err == nil {
			err = failed
		}
	}
	return out, err
}

// consider opens the process first and looks at it then, so that what was seen
// is what will be signalled.
func consider(pid int, q Query) (*Process, error) {
	state, ok := read(pid)
	if !ok || !q.Own(state.uid) {
		return nil, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil, nil // it ended
	case err != nil:
		return nil, fmt.Errorf("open process: %w", err)
	}
	p := &Process{PID: pid, handle: handle{fd: fd}}
	state, ok = read(pid)
	p.UID = state.uid
	if ok && q.Own(state.uid) && !state.ended {
		if p.Name = state.command; !q.All {
			p.Name = match(look(pid, state.command), q.Names)
		}
	}
	if p.Name == "" || (q.Session(state.uid, p.Name) || state.contained) && !inSession(pid) || !p.alive() {
		p.close()
		return nil, nil
	}
	return p, nil
}

// status is what /proc/PID/status says. The owner of the folder would be root
// for what is not dumpable, as agents that keep keys are not.
type status struct {
	command   string
	uid       uint32
	parent    int
	ended     bool
	contained bool // in a container's own table of processes
}

func read(pid int) (status, bool) {
	var s status
	data, err := contents(pid, "status", maxStatus)
	if err != nil {
		return s, false
	}
	found := false
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(strings.TrimRight(string(line), "\n"), ":")
		fields := strings.Fields(value)
		switch {
		case key == "Name":
			s.command = strings.TrimPrefix(value, "\t")
		case len(fields) == 0:
		case key == "State":
			s.ended = fields[0] == "Z" || fields[0] == "X"
		case key == "PPid":
			s.parent, _ = strconv.Atoi(fields[0])
		case key == "Uid":
			uid, err := strconv.ParseUint(fields[0], 10, 32)
			s.uid, found = uint32(uid), err == nil
		case key == "NSpid":
			s.contained = len(fields) > 1
		}
	}
	return s, found
}

func look(pid int, command string) looks {
	l := looks{command: command}
	l.executable, _ = os.Readlink(file(pid, "exe")) // a kernel thread has none, another's is not shown
	if data, err := contents(pid, "cmdline", maxArguments); err == nil {
		for a := range bytes.SplitSeq(bytes.TrimRight(data, "\x00"), []byte{0}) {
			l.arguments = append(l.arguments, string(a))
		}
		clear(data)
	}
	return l
}

// inSession reports whether the process belongs to a user's sessions or his own
// service manager, and not to a service of the system or a container of one.
func inSession(pid int) bool {
	data, err := contents(pid, "cgroup", maxStatus)
	return err == nil && bytes.Contains(data, []byte("/user.slice/"))
}

// ancestors are this process and all it runs under.
func ancestors() map[int]bool {
	spared := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !spared[pid]; {
		spared[pid] = true
		s, ok := read(pid)
		if !ok {
			break
		}
		pid = s.parent
	}
	return spared
}

// The signals that end or stop.
const (
	freeze    = unix.SIGSTOP
	kill      = unix.SIGKILL
	terminate = unix.SIGTERM
)

func (p *Process) signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(p.handle.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end process %d: %w", p.PID, err)
	}
	return nil
}

func (p *Process) alive() bool { return !p.poll(0) }

// pollStep bounds how long a wait does not look at its context.
const pollStep = 50 * time.Millisecond

func (p *Process) wait(ctx context.Context) bool {
	for {
		if p.poll(pollStep) {
			return true
		}
		if ctx.Err() != nil {
			return p.poll(0)
		}
	}
}

// poll reports whether the process has ended, within a time.
func (p *Process) poll(within time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(p.handle.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(within.Milliseconds()))
	return err == nil && n == 1
}

func (p *Process) close() { _ = unix.Close(p.handle.fd) }

func file(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func contents(pid int, name string, limit int64) ([]byte, error) {
	f, err := os.Open(file(pid, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
