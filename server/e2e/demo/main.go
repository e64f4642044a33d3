// Command cutoff-demo is `make demo`: it starts a server, an identity provider
// with a live session, and an agent on a scratch laptop, and lets a newcomer
// press the button. With -cut it presses it itself and proves what happened.
// Nothing outside its scratch folder is touched.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	cut := flag.Bool("cut", false, "cut at once, prove it and end")
	keep := flag.Bool("keep", false, "keep the scratch folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *cut, *keep)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Println("\nCleaned up.")
	case err != nil:
		fmt.Fprintln(os.Stderr, "cutoff-demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cut, keep bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cutoff-demo-")
	if err != nil {
		return err
	}
	// The users of the scratch laptop must be able to search it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if keep {
		fmt.Println("Scratch folder:", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	s := newScene(filepath.Dir(self), dir)
	defer s.close()
	if err := s.setUp(ctx); err != nil {
		return err
	}
	if cut {
		return s.unattended(ctx)
	}
	return s.interactive(ctx)
}
