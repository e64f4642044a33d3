package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cutoff/agent/config"
	"cutoff/agent/control"
	"cutoff/proto/extension"
)

// maxExtension bounds what is read as a file: the answer to a lift is the
// longest.
const maxExtension = 8 << 20

func extendCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use:   "extend CODE|FILE [--state DIR] [--json]",
		Short: "Take more time, or a lift, that was read out or came as a file",
		Long: "Take what the company's help desk gave for a device that cannot reach its server: a code read over the\n" +
			"phone, an extension file, or the answer to a lift that this device asked for (status --challenge).",
		Example: `  cutoff-agent extend 0123-4567-89AB-CDEF-P
  cutoff-agent extend laptop-7.extension`,
		Args: cobra.ExactArgs(1),
	}
	state := stateFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		request, err := readExtension(args[0])
		if err != nil {
			return err
		}
		answer, err := askAgent(c.Context(), dir, request)
		if err != nil {
			return err
		}
		return sayExtended(t.out, answer, *asJSON)
	}
	return c
}

// readExtension takes a file if there is one of that name, else a code.
func readExtension(arg string) (control.Request, error) {
	info, err := os.Stat(arg)
	if err != nil {
		if _, err := extension.Parse(arg); err != nil {
			return control.Request{}, fmt.Errorf("%w: there is no file %q, and %w", errUsage, arg, err)
		}
		return control.Request{Code: arg}, nil
	}
	if !info.Mode().IsRegular() || info.Size() > maxExtension || info.Size() == 0 {
		return control.Request{}, fmt.Errorf("%w: %s is no extension and no answer to a lift", errUsage, arg)
	}
	file, err := os.ReadFile(arg)
	if err != nil {
		return control.Request{}, fmt.Errorf("%w: %w", errUsage, err)
	}
	return control.Request{File: file}, nil
}

// askAgent asks the running agent; what it says no to is an error.
func askAgent(ctx context.Context, dir config.Dir, request control.Request) (control.Answer, error) {
	if _, err := dir.Read(); err != nil {
		return control.Answer{}, err
	}
	answer, err := control.Call(ctx, dir.Control(), request)
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer, err
}

func sayExtended(out io.Writer, a control.Answer, asJSON bool) error {
	if asJSON {
		said := struct {
			Lifting    string     `json:"lifting"`
			AddedMS    int64      `json:"added_ms"`
			LeaseUntil *time.Time `json:"lease_until"`
		}{Lifting: a.Lifting, AddedMS: a.Added.Milliseconds()}
		if !a.Until.IsZero() {
			until := a.Until.UTC().Truncate(time.Second)
			said.LeaseUntil = &until
		}
		return printJSON(out, said)
	}
	if a.Lifting != "" {
		_, err := fmt.Fprintf(out, "The lift of %s was accepted; what was sealed is being put back.\n", a.Lifting)
		return err
	}
	_, err := fmt.Fprintf(out, "%s more: this device may go on without its server until %s.\n",
		a.Added.Round(time.Second), a.Until.Local().Format("Mon 2 Jan 2006 15:04 MST"))
	return err
}

// saveRequest asks the agent for the request file of a lift and writes it.
func saveRequest(ctx context.Context, t terminal, dir config.Dir, path string, asJSON bool) error {
	if path == "" {
		return fmt.Errorf("%w: --challenge needs -o FILE, which goes to the company's help desk", errUsage)
	}
	answer, err := askAgent(ctx, dir, control.Request{Lift: true})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, answer.File, 0o600); err != nil {
		return fmt.Errorf("%w: write request: %w", errUsage, err)
	}
	if asJSON {
		return printJSON(t.out, map[string]any{"cut_id": answer.CutID, "file": path})
	}
	_, err = fmt.Fprintf(t.out, "Wrote %s, which asks to lift %s. It is good for a day, until this device restarts.\n"+
		"The help desk answers it with: cutoff-server lift %s --request %s -o ANSWER --reason TEXT\n"+
		"Then, here: cutoff-agent extend ANSWER\n", path, answer.CutID, answer.CutID, path)
	return err
}
