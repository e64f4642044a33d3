// Package command is the server's command line: it reads flags, calls the
// server over the admin API (never its database) and prints what it answers,
// as tables for people and as one JSON document for scripts. It must not
// decide anything, and no secret may pass through its arguments.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit statuses. Scripts rely on them.
const (
	exitDone  = 0
	exitNot   = 1
	exitUsage = 2
)

// Env is what a command runs in.
type Env struct {
	Version string
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	// Getenv is os.Getenv, or a test's.
	Getenv func(string) string
}

// Run runs one command line and returns its exit status.
func Run(ctx context.Context, env Env, args []string) int {
	c := &cli{Env: env}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	status, text := verdict(err)
	if text != "" {
		_, _ = fmt.Fprintln(env.Err, "cutoff-server: "+text)
	}
	if (c.json || asksJSON(args)) && !c.printed {
		// Whoever asked for a document gets one, whatever became of it.
		_ = c.document(object{{"error", text}})
	}
	return status
}

// asksJSON reports whether args ask for a document, also where they could not be
// read to their end.
func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// cli is one run: its environment and the flags every command takes.
type cli struct {
	Env
	data   string
	server string
	ca     string
	json   bool
	// printed is set once the one JSON document is out.
	printed bool
}

const rootUsage = `Cutoff cuts devices off: their local secrets, and their user's access everywhere.

Start a server, enrol a device, cut it:

  cutoff-server serve --data /var/lib/cutoff
  cutoff-server token create --data /var/lib/cutoff
  cutoff-server cut laptop-7 --level seal --reason "lost on a train" --wait --data /var/lib/cutoff`

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use: "cutoff-server", Short: "A kill switch for devices", Long: rootUsage,
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usagef("", "a command is needed")
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{text: err.Error(), hint: "see " + cmd.CommandPath() + " --help"}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.data, "data", "", "the server's data directory `DIR` (its local socket)")
	flags.StringVar(&c.server, "server", "", "the server's console `URL`, with the API key in CUTOFF_API_KEY")
	flags.StringVar(&c.ca, "ca", "", "trust the certificates in `FILE` for --server (default: the system's)")
	flags.BoolVar(&c.json, "json", false, "print one JSON document")
	root.AddCommand(
		c.serveCommand(), c.versionCommand(),
		c.tokenCommand(), c.deviceCommand(), c.personCommand(), c.groupCommand(),
		c.cutCommand(), c.liftCommand(), c.leaseCommand(),
		c.policyCommand(), c.catalogueCommand(), c.connectorCommand(), c.credentialCommand(),
		c.evidenceCommand(), c.userCommand(), c.apiKeyCommand(),
		c.loadtestCommand(),
	)
	return root
}

// noSuchCommand is for commands that only have commands below them.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("did you mean "+strings.Join(near, " or ")+"?", "%s", text)
	}
	return usagef("see "+cmd.CommandPath()+" --help", "%s", text)
}

// group is a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: noSuchCommand,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("see "+cmd.CommandPath()+" --help", "%s needs a command", cmd.CommandPath())
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}

// exactly asks for as many arguments as names has.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef("see "+cmd.CommandPath()+" --help", "%s takes no arguments, got %q", cmd.CommandPath(), args[0])
		}
		return usagef("see "+cmd.CommandPath()+" --help", "%s needs %s", cmd.CommandPath(), strings.Join(names, " and "))
	}
}

// usageError is a mistake in the command line or in a file it names.
type usageError struct {
	text string
	hint string
}

func (e *usageError) Error() string { return e.text }

func usagef(hint, format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), hint: hint}
}

// notError says that what was asked did not come about. Its text may be empty:
// then all was said already.
type notError struct{ text string }

func (e *notError) Error() string { return e.text }

func notf(format string, args ...any) error { return &notError{text: fmt.Sprintf(format, args...)} }

// Start is an error that keeps the server from starting: something the
// operator has to mend, so its status is that of a usage error.
type startError struct{ cause error }

func (e *startError) Error() string { return e.cause.Error() }
func (e *startError) Unwrap() error { return e.cause }

// verdict is the exit status of err and what is said about it.
func verdict(err error) (exit int, text string) {
	var usage *usageError
	if errors.As(err, &usage) {
		if usage.hint != "" {
			return exitUsage, usage.text + " (" + usage.hint + ")"
		}
		return exitUsage, usage.text
	}
	var not *notError
	if errors.As(err, &not) {
		return exitNot, not.text
	}
	var start *startError
	if errors.As(err, &start) {
		return exitUsage, start.Error()
	}
	if s, ok := status.FromError(errors.Unwrap(err)); ok && s.Code() != codes.OK {
		return ofStatus(s)
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return ofStatus(s)
	}
	return exitNot, err.Error()
}

// ofStatus is what the server answered: its sentence, and what may help.
func ofStatus(s *status.Status) (exit int, text string) {
	switch s.Code() {
	case codes.InvalidArgument:
		return exitUsage, s.Message()
	case codes.Unauthenticated:
		return exitNot, s.Message() + " (put a live API key in CUTOFF_API_KEY; cutoff-server api-key create makes one)"
	case codes.DeadlineExceeded:
		return exitNot, "the server did not answer in time; what was asked may have happened all the same"
	case codes.Canceled:
		return exitNot, "interrupted; what was asked may have happened all the same"
	default:
		return exitNot, s.Message()
	}
}

// terminal reports whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
