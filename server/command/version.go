package command

import (
	"runtime"

	"github.com/spf13/cobra"

	"cutoff/server/loadtest"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: exactly(), Example: "  cutoff-server version",
		RunE: func(*cobra.Command, []string) error {
			return c.done(object{
				{"version", c.Version}, {"go", runtime.Version()}, {"system", runtime.GOOS + "/" + runtime.GOARCH},
			}, "cutoff-server %s (%s, %s/%s)", c.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// loadtestCommand measures; it is no admin command and takes its own flags.
func (c *cli) loadtestCommand() *cobra.Command { return loadtest.Command() }
