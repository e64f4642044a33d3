package session_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
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

func TestRootsOwnSessionIsNeverEnded(t *testing.T) {
	if err := session.End(context.Background(), 0); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}
