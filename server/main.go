// Command cutoff-server is the server and its command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cutoff/server/command"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	return command.Run(ctx, command.Env{
		Version: version, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
	}, os.Args[1:])
}
