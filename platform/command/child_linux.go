package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// highFD keeps the executable's descriptor out of the way of the child's own.
const highFD = 200

func (c Child) run(ctx context.Context, talk Talk) error {
	done := make(chan error, 1)
	go func() {
		// The thread stays locked and ends with this goroutine: no-new-privs is
		// a mark of the thread, inherited by what it starts, and the parent-death
		// signal follows the thread that started the child.
		runtime.LockOSThread()
		done <- c.runLocked(ctx, talk)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(stuckAfter)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return errors.Join(ErrStuck, ctx.Err())
	}
}

// stuckAfter is how long a killed child may take to end.
const stuckAfter = 3 * time.Second

func (c Child) runLocked(ctx context.Context, talk Talk) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	path, closePath, err := c.executable()
	if err != nil {
		return err
	}
	defer closePath()
	cmd := exec.CommandContext(ctx, path, c.Args...) //nolint:gosec // this agent's own executable
	cmd.Args[0] = "cutoff-agent"
	cmd.Env = []string{}
	cmd.ExtraFiles = c.Files
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: c.Groups}
	} else if uint32(os.Geteuid()) != c.UID {
		return fmt.Errorf("run as uid %d: %w", c.UID, os.ErrPermission)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("pipe to child: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("pipe from child: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	// A child that cannot be killed keeps its ends of the pipes open.
	defer context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })()
	talked := talk(in, out)
	_ = in.Close() // the child ends at the end of its input
	if talked != nil {
		_ = cmd.Process.Kill() // it ended already: nothing to kill
	}
	return errors.Join(talked, cmd.Wait())
}

// executable returns a path that names the executable by descriptor, so that
// neither a replaced file nor a closed directory above it is in the way.
func (c Child) executable() (string, func(), error) {
	if c.Self == "" {
		return "/proc/self/exe", func() {}, nil
	}
	file, err := os.Open(c.Self)
	if err != nil {
		return "", nil, fmt.Errorf("open executable: %w", err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, highFD)
	if err != nil {
		return "", nil, fmt.Errorf("keep executable: %w", err)
	}
	return "/proc/self/fd/" + strconv.Itoa(fd), func() { _ = unix.Close(fd) }, nil
}

func harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("not dumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("no core: %w", err)
	}
	return nil
}
