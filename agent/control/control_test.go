package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cutoff/agent/control"
)

func TestACommandReachesTheAgentThroughALongPathToo(t *testing.T) {
	for _, folder := range []string{"state", strings.Repeat("long", 30)} {
		dir := filepath.Join(t.TempDir(), folder)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "agent.sock")
		if _, err := control.Call(t.Context(), path, control.Request{Code: "x"}); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("without an agent: %v", err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil { // what a crash left
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- control.Serve(ctx, path, func(_ context.Context, r control.Request) control.Answer {
				return control.Answer{Error: "heard " + r.Code, File: r.File}
			})
		}()
		var answer control.Answer
		deadline := time.Now().Add(10 * time.Second)
		for {
			var err error
			answer, err = control.Call(t.Context(), path, control.Request{Code: "x", File: []byte{1, 2}})
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if answer.Error != "heard x" || len(answer.File) != 2 {
			t.Errorf("answered %+v", answer)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("others reach the socket: %v, %v", info, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is left")
		}
	}
}
