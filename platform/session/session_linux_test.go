package session_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"cutoff/platform/session"
)

func TestOnlyNamedVariablesOfTheUsersProcessesAreRead(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "60")
	cmd.Env = []string{"CUTOFF_TEST_PATH=/somewhere", "CUTOFF_TEST_SECRET=s3cr3t"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := session.Variables([]string{"CUTOFF_TEST_PATH"})
		if _, leaked := got["CUTOFF_TEST_SECRET"]; leaked {
			t.Fatal("a variable that was not named was read")
		}
		if slices.Equal(got["CUTOFF_TEST_PATH"], []string{"/somewhere"}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v", got)
		}
	}
}

func TestEndingAUsersSessionsKillsHisProcessesOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs processes of two users, which only root can start")
	}
	const uid = 41077 // nobody's
	start := func(uid uint32) *exec.Cmd {
		cmd := exec.Command("/bin/sleep", "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	his, other := start(uid), start(uid+1)
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := session.End(ctx, uid); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := his.Wait(); !errors.As(err, &exit) || exit.Success() {
		t.Errorf("his process ended with %v", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another user's process is gone: %v", err)
	}
}

func TestRootsOwnSessionIsNeverEnded(t *testing.T) {
	if err := session.End(context.Background(), 0); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}
