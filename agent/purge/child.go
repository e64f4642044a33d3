package purge

import (
	"context"
	"os"
	"runtime/debug"

	"cutoff/agent/purge/home"
	"cutoff/platform/command"
	"cutoff/platform/files"
)

// ChildArg is the first argument of a re-run of the agent that works in one
// user's home; main hands such a run to ChildMain before anything else.
const ChildArg = "purge-child"

// childMemory is what a child's memory may grow to before it is collected, in
// bytes.
const childMemory = 40 << 20

// Descriptors a child is born with, after the standard three.
const (
	homeFD = 3
	rootFD = 4
)

// ChildMain is the child: see ChildArg. It returns the exit status and says
// nothing on standard error, where a word might quote a file.
func ChildMain([]string) int {
	if err := command.Harden(); err != nil {
		return 1
	}
	// A short life: memory is collected only when there is much of it.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(childMemory)
	base := files.FromFile(os.NewFile(homeFD, "home"))
	root := files.FromFile(os.NewFile(rootFD, "root"))
	if err := home.Serve(context.Background(), os.Stdin, os.Stdout, base, root); err != nil {
		return 1
	}
	return 0
}
