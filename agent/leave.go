package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"cutoff/agent/config"
	"cutoff/agent/daemon"
	"cutoff/agent/journal"
)

// leaveCommand is what a package runs before it removes the program.
func leaveCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use: "leave [--state DIR]", Hidden: true,
		Short:   "Tell the server that this agent is about to be removed",
		Example: `  cutoff-agent leave --state /var/lib/cutoff-agent`,
	}
	state := stateFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		return takeLeave(c.Context(), dir, t.err)
	}
	return c
}

// takeLeave has the running agent say it when it is stopped, which comes next,
// or says it for one that does not run. Who never enrolled leaves nobody.
func takeLeave(ctx context.Context, dir config.Dir, log io.Writer) error {
	if _, err := dir.Read(); errors.Is(err, config.ErrNotEnrolled) {
		return nil
	}
	running, err := journal.Running(dir.Journal())
	if err != nil {
		return err
	}
	if running {
		return dir.Announce()
	}
	err = daemon.Leave(ctx, daemon.Options{
		State: dir, Version: version, Service: serviceName, Ready: io.Discard, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return fmt.Errorf("tell the server of the removal: %w", err)
	}
	return nil
}
