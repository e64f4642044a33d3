package process_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cutoff/platform/platformtest"
	"cutoff/platform/process"
)

// copied is a real program under a name of the test's.
func copied(t *testing.T, name, of string) string {
	t.Helper()
	data, err := os.ReadFile(of)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(platformtest.Open(t), name)
	if err := os.WriteFile(at, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return at
}

// start runs a program as uid, or as this user when he is not root, and reaps
// it, as an init would.
func start(t *testing.T, uid uint32, program string, args ...string) (ended chan struct{}, pid int) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { defer close(ended); _, _ = out.Read(make([]byte, 1)); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return ended, cmd.Process.Pid
}

func only(uid uint32) process.Query {
	return process.Query{Own: func(u uint32) bool { return u == uid }, Session: func(uint32, string) bool { return false }}
}

// found waits until the query finds as many, since a program that was only just
// started still has its parent's name.
func found(t *testing.T, q process.Query, want int) []*process.Process {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		all, err := process.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == want {
			return all
		}
		for _, p := range all {
			p.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %d, want %d", len(all), want)
		}
	}
}

func user() uint32 {
	if os.Geteuid() == 0 {
		return 41_021
	}
	return uint32(os.Geteuid())
}

func TestOnlyTheUsersProcessesOfThatNameEnd(t *testing.T) {
	sleep := copied(t, "cutoff-holder", "/bin/sleep")
	his, pid := start(t, user(), sleep, "60")
	other, _ := start(t, user(), copied(t, "cutoff-holder-too", "/bin/sleep"), "60")
	var theirs chan struct{}
	if os.Geteuid() == 0 {
		theirs, _ = start(t, user()+1, sleep, "60")
	}
	q := only(user())
	q.Names = []string{"cutoff-holder"}
	all := found(t, q, 1)
	if all[0].PID != pid || all[0].Name != "cutoff-holder" || all[0].UID != user() {
		t.Errorf("found %+v", all[0])
	}
	if left := process.Stop(context.Background(), all, 0, 10*time.Second); len(left) > 0 {
		t.Error("it did not end")
	}
	<-his
	for _, p := range all {
		p.Close()
	}
	for _, c := range []chan struct{}{other, theirs} {
		select {
		case <-c:
			t.Error("another process ended too")
		default:
		}
	}
}

func TestWhatDoesNotQuitIsKilled(t *testing.T) {
	ready := filepath.Join(platformtest.Open(t), "ready")
	if err := os.Chmod(filepath.Dir(ready), 0o777); err != nil {
		t.Fatal(err)
	}
	shell := copied(t, "cutoff-stubborn", "/bin/sh")
	ended, _ := start(t, user(), shell, "-c", "trap '' TERM; : >"+ready+"; while :; do sleep 1; done")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it did not start")
		}
	}
	q := only(user())
	q.Names = []string{"cutoff-stubborn"}
	all := found(t, q, 1)
	if left := process.Stop(context.Background(), all, 100*time.Millisecond, 10*time.Second); len(left) > 0 {
		t.Error("it outlived its grace")
	}
	<-ended
	all[0].Close()
}

// An agent keeps its memory from being read; its folder in /proc is root's then.
func TestAProcessThatHidesItsMemoryIsFound(t *testing.T) {
	if _, err := exec.LookPath("ssh-agent"); err != nil {
		t.Fatal("ssh-agent is missing: apt-get install -y openssh-client")
	}
	socket := filepath.Join(platformtest.Open(t), "s")
	if err := os.Chmod(filepath.Dir(socket), 0o777); err != nil {
		t.Fatal(err)
	}
	ended, pid := start(t, user(), "/usr/bin/ssh-agent", "-D", "-a", socket)
	q := only(user())
	q.Names = []string{"ssh-agent"}
	var mine *process.Process
	for deadline := time.Now().Add(10 * time.Second); mine == nil; time.Sleep(5 * time.Millisecond) {
		all, err := process.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.PID == pid {
				mine = p
			} else {
				p.Close()
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("not found")
		}
	}
	defer mine.Close()
	if left := process.Stop(context.Background(), []*process.Process{mine}, 0, 10*time.Second); len(left) > 0 {
		t.Error("it did not end")
	}
	<-ended
}

func TestThisProcessAndWhatItRunsUnderAreSpared(t *testing.T) {
	uid := uint32(os.Getuid())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	q := only(uid)
	q.Names = []string{filepath.Base(self), "go"}
	all, err := process.Find(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.PID == os.Getpid() || p.PID == os.Getppid() {
			t.Errorf("found %s", strings.TrimSpace(p.Name))
		}
		p.Close()
	}
}

func TestAServiceOfTheSystemIsNoSession(t *testing.T) {
	_, _ = start(t, user(), copied(t, "cutoff-service", "/bin/sleep"), "60")
	q := only(user())
	q.Names = []string{"cutoff-service"}
	for _, p := range found(t, q, 1) {
		p.Close()
	}
	cgroup, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	if strings.Contains(string(cgroup), "/user.slice/") {
		want = 1 // the test itself runs in one
	}
	q.Session = func(uint32, string) bool { return true }
	for _, p := range found(t, q, want) {
		p.Close()
	}
}
