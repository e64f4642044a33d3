package command

import (
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"cutoff/server/daemon"
)

func (c *cli) serveCommand() *cobra.Command {
	var config daemon.Config
	var verbose bool
	serve := &cobra.Command{
		Use: "serve", Short: "run the server", Args: exactly(),
		Long: "Run the server. The first line on standard output, when it is ready, is JSON:\n" +
			`{"agents":"host:port","console":"https://host:port","admin":"DIR/admin.sock"}` + "\n" +
			"At the first start standard error names the file with the code that lets the first admin in.",
		Example: "  cutoff-server serve --data /var/lib/cutoff --console-url https://cutoff.example:8443",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.server != "" || c.ca != "" {
				return usagef("", "serve takes neither --server nor --ca")
			}
			config.Data = c.data
			if err := checkServe(config); err != nil {
				return err
			}
			level := new(slog.LevelVar)
			config.Log = slog.New(c.logHandler(level))
			if verbose {
				level.Set(slog.LevelDebug)
			} else {
				config.Level = level
			}
			config.Version = c.Version
			server, err := daemon.Open(cmd.Context(), config)
			if err != nil {
				return &startError{cause: err}
			}
			return server.Run(cmd.Context(), c.Out, c.Err)
		},
	}
	f := serve.Flags()
	f.StringVar(&config.Agents, "agents", ":7443", "where agents connect, `ADDR`")
	f.StringVar(&config.Console, "console", ":8443", "where the console and the API are, `ADDR`")
	f.StringVar(&config.ConsoleURL, "console-url", "", "the `URL` by which people reach the console")
	f.StringVar(&config.ConsoleCert, "console-cert", "", "the console's certificate chain, PEM `FILE` (default: one from the server's own CA)")
	f.StringVar(&config.ConsoleKey, "console-key", "", "the key of --console-cert, PEM `FILE`")
	f.StringVar(&config.Database, "database", "", "`URL` of the database (default: SQLite in --data)")
	f.BoolVar(&verbose, "verbose", false, "log every refusal as well")
	return serve
}

func checkServe(config daemon.Config) error {
	if config.Data == "" {
		return usagef("it holds the database and the keys", "serve needs --data DIR")
	}
	for flag, addr := range map[string]string{"--agents": config.Agents, "--console": config.Console} {
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return usagef("it looks like 0.0.0.0:7443 or :7443", "%s %q is not an address", flag, addr)
		}
	}
	if config.ConsoleURL != "" {
		u, err := url.Parse(config.ConsoleURL)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
			return usagef("it looks like https://cutoff.example:8443", "--console-url %q is not the URL of a console", config.ConsoleURL)
		}
	}
	if (config.ConsoleCert == "") != (config.ConsoleKey == "") {
		return usagef("", "--console-cert and --console-key go together")
	}
	switch scheme, _, _ := strings.Cut(config.Database, ":"); {
	case config.Database == "":
	case scheme == "postgres" || scheme == "postgresql":
		return usagef("leave --database out to use SQLite in --data", "PostgreSQL is not supported in this release")
	default:
		return usagef("leave it out to use SQLite in --data", "--database: no such kind of database")
	}
	return nil
}

// logHandler writes text for a person at a terminal, JSON for a collector.
func (c *cli) logHandler(level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if terminal(c.Err) {
		return slog.NewTextHandler(c.Err, options)
	}
	return slog.NewJSONHandler(c.Err, options)
}
