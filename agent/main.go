// Command cutoff-agent runs on a device: it reports posture, holds a lease and,
// when an order says so or the lease runs out, takes the device's secrets away.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cutoff/agent/purge"
	"cutoff/platform/notify"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == purge.ChildArg {
		os.Exit(purge.ChildMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == notify.ChildArg {
		os.Exit(notify.ChildMain())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// Exit statuses.
const (
	exitDone  = 0
	exitNot   = 1
	exitUsage = 2
)

// run is the command line. It returns the exit status.
func run(ctx context.Context, args []string, t terminal) int {
	root := commands(t)
	root.SetArgs(args)
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(t.err, "cutoff-agent: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(t.err, "  %s\n", hint)
	}
	var failed *failure
	if errors.As(err, &failed) {
		return exitFor(err)
	}
	return exitUsage // cobra's own: a flag or command that does not exist
}
