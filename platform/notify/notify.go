// Package notify shows a notice on the desktops of this machine: each user's by
// a child with that user's rights, so that a hostile session reaches nobody but
// itself. Whoever does not answer is left alone. It must not decide what is
// said, and below a trial root it reaches no session of the machine's.
package notify

import (
	"context"
	"time"
)

// Notice is what is shown: plain text.
type Notice struct {
	Title, Text string
	// Urgent ones stay until they are clicked away.
	Urgent bool
}

// ChildArg is the first argument of a re-run of the agent that speaks to one
// desktop; main hands such a run to ChildMain.
const ChildArg = "notify-child"

// Time bounds one desktop's answer.
const Time = 10 * time.Second

// Users shows n to everyone who has a session, all at once, and returns how many
// desktops took it. root is a trial root, or empty.
func Users(ctx context.Context, root string, n Notice) (int, error) { return show(ctx, root, n) }

// ChildMain is the child: see ChildArg. It returns the exit status.
func ChildMain() int { return childMain() }
