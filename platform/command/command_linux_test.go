package command_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"cutoff/platform/command"
)

// TestMain is the child that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// child prints what it is and waits for the end of its input.
func child() int {
	if err := command.Harden(); err != nil {
		return 1
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 1
	}
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 1
	}
	_, _ = os.Stdout.Write(append(append(status, limits...), []byte("\nenvironment:"+strings.Join(os.Environ(), " ")+"\n")...))
	_ = os.Stdout.Close()
	_, _ = io.ReadAll(os.Stdin)
	return 0
}

func TestAChildHasItsUsersRightsAndNoMore(t *testing.T) {
	uid := uint32(41011)
	if os.Geteuid() != 0 {
		uid = uint32(os.Geteuid())
	}
	var said string
	err := command.Child{Args: []string{"child"}, UID: uid, GID: uid, Groups: []uint32{41015}}.Run(context.Background(), func(_ io.WriteCloser, out io.Reader) error {
		all, err := io.ReadAll(out)
		said = string(all)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"NoNewPrivs:\t1", "environment:\n", "Max core file size        0 "}
	if os.Geteuid() == 0 {
		want = append(want, "Uid:\t41011\t41011\t41011\t41011", "Gid:\t41011\t41011\t41011\t41011", "Groups:\t41015 \n", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000")
	}
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("no %q in %s", w, said)
		}
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil || strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Errorf("the parent lost rights too: %v", err)
	}
}

func TestAChildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	err := command.Child{Args: []string{"child"}, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}.Run(ctx, func(_ io.WriteCloser, out io.Reader) error {
		_, err := io.ReadAll(out)
		cancel()
		<-ctx.Done()
		return err
	})
	if err == nil && time.Since(began) > 5*time.Second {
		t.Error("the child outlived its context")
	}
}

func TestAToolIsRunByItsPathWithBoundedOutput(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := command.Run(ctx, "/usr/bin/printf", "%s", "$HOME")
	if err != nil || string(out) != "$HOME" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := command.Run(ctx, "printf", "x"); !errors.Is(err, command.ErrPath) {
		t.Errorf("PATH was searched: %v", err)
	}
	if _, err := command.Run(ctx, "/usr/bin/head", "-c", "3000000", "/dev/zero"); !errors.Is(err, command.ErrOutput) {
		t.Errorf("got %v, want too much output", err)
	}
}
