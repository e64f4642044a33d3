package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cutoff/agent/config"
	"cutoff/agent/daemon"
	"cutoff/agent/enroll"
	"cutoff/platform/service"
)

func commands(t terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "cutoff-agent",
		Short: "The kill switch on this device",
		Long: `cutoff-agent reports the posture of this device, holds a lease from its
server and seals or purges the device's secrets when told to, or when the lease
runs out.`,
		Example: `  cutoff-agent enroll --state /var/lib/cutoff-agent --server cutoff.example:8443 --token-file token
  cutoff-agent run --state /var/lib/cutoff-agent
  cutoff-agent plan --json`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(enrollCommand(t), runCommand(t), planCommand(t), statusCommand(t), extendCommand(t),
		installCommand(t), uninstallCommand(t), leaveCommand(t), versionCommand(t))
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = cobra.NoArgs
		}
		work := c.RunE
		c.RunE = func(c *cobra.Command, args []string) error {
			if err := work(c, args); err != nil {
				return &failure{err}
			}
			return nil
		}
	}
	return root
}

// defaultState is where the installed agent keeps its state.
func defaultState() string {
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(os.Getenv("ProgramData"), "Cutoff", "Agent")
	case "darwin":
		return "/Library/Application Support/Cutoff Agent"
	}
	return "/var/lib/cutoff-agent"
}

func stateFlag(c *cobra.Command) *string {
	return c.Flags().String("state", defaultState(), "state directory")
}

// stateDir makes the directory absolute, so that a service finds it too.
func stateDir(path string) (config.Dir, error) {
	if path == "" {
		return "", fmt.Errorf("%w: --state is empty", errUsage)
	}
	abs, err := filepath.Abs(path)
	return config.Dir(abs), err
}

func enrollCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use:   "enroll --server HOST:PORT --token-file FILE [--state DIR] [--root DIR]",
		Short: "Make this machine a device of a server",
		Example: `  cutoff-agent enroll --server cutoff.example:8443 --token-file /run/token
  echo "$TOKEN" | cutoff-agent enroll --server cutoff.example:8443 --token-file -
  cutoff-agent enroll --server localhost:8443 --token-file token --state /tmp/trial/state --root /tmp/trial/root`,
	}
	state := stateFlag(c)
	servers := c.Flags().StringSlice("server", nil, "address of the server's agents' listener; several are tried in turn")
	token := c.Flags().String("token", "", "enrolment token (others can read it from the process list; prefer --token-file)")
	file := c.Flags().String("token-file", "", "file with the enrolment token; - is standard input")
	root := c.Flags().String("root", "", "work below this directory only: for trials")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		server := strings.Join(*servers, ",")
		if server == "" {
			return fmt.Errorf("%w: --server is needed", errUsage)
		}
		text, err := readToken(t.in, *token, *file)
		if err != nil {
			return err
		}
		result, err := enroll.Run(c.Context(), enroll.Input{
			State: dir, Server: server, Token: text, Root: *root, Version: version, Now: time.Now(),
		})
		if err != nil {
			return err
		}
		say := "enrolled as %s\n"
		switch {
		case result.Already:
			say = "already enrolled as %s; nothing was changed\n"
		case result.Pending:
			say = "enrolled as %s; an operator has to let it in: a cut of this machine still stands\n"
		}
		_, err = fmt.Fprintf(t.out, say, result.DeviceID)
		return err
	}
	return c
}

// maxToken bounds what is read as a token.
const maxToken = 4096

// readToken takes the token from where the flags say, once.
func readToken(in io.Reader, token, file string) (string, error) {
	switch {
	case token != "" && file != "":
		return "", fmt.Errorf("%w: give either --token or --token-file", errUsage)
	case token != "":
		return token, nil
	case file == "":
		return "", fmt.Errorf("%w: --token-file is needed (- for standard input)", errUsage)
	case file != "-":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("%w: token file: %w", errUsage, err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func runCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use:   "run [--state DIR] [--settings FILE]",
		Short: "Run the agent until it is stopped",
		Example: `  cutoff-agent run --state /var/lib/cutoff-agent
  cutoff-agent run --settings /etc/cutoff/agent.env    # enrols first, however long the network takes`,
	}
	state := stateFlag(c)
	settings := c.Flags().String("settings", "", "file with CUTOFF_SERVER and CUTOFF_TOKEN, to enrol by when not enrolled yet")
	verbose := c.Flags().Bool("verbose", false, "log more")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		level := slog.LevelInfo
		if *verbose {
			level = slog.LevelDebug
		}
		log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: level}))
		return service.Run(c.Context(), spec("", dir), func(ctx context.Context) error {
			return daemon.Run(ctx, daemon.Options{
				State: dir, Version: version, Settings: *settings, Service: serviceName, Ready: t.out, Log: log,
			})
		})
	}
	return c
}

const serviceName = "cutoff-agent"

// spec is the agent as a service of the system.
func spec(executable string, state config.Dir) service.Spec {
	return service.Spec{
		Name: serviceName, Title: "Cutoff agent", Description: "Cutoff agent: the kill switch on this device",
		Executable: executable, Arguments: []string{"run", "--state", string(state)},
	}
}

func installCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use:     "install [--state DIR]",
		Short:   "Install and start the agent as a service of the system",
		Example: `  cutoff-agent install --state /var/lib/cutoff-agent`,
	}
	state := stateFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		enrolled, err := dir.Read()
		if err != nil {
			return err
		}
		if enrolled.Root != "" {
			return fmt.Errorf("%w: a device enrolled with --root is a trial and no service", errUsage)
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if err := service.Install(spec(self, dir)); err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, "service cutoff-agent installed and started")
		return err
	}
	return c
}

func uninstallCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use:     "uninstall [--state DIR]",
		Short:   "Tell the server, stop the service and remove it; the state directory stays",
		Example: `  cutoff-agent uninstall`,
	}
	state := stateFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		if err := takeLeave(c.Context(), dir, t.err); err != nil {
			fmt.Fprintf(t.err, "the server was not told: %v\n", err)
		}
		if err := service.Uninstall(spec("", "")); err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, "service cutoff-agent removed; its state directory is left")
		return err
	}
	return c
}

func versionCommand(t terminal) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: `  cutoff-agent version`,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(t.out, "cutoff-agent %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
