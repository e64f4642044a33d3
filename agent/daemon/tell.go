package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"cutoff/agent/flow"
	"cutoff/platform/notify"
)

// teller shows notices one after the other, so that a desktop that hangs holds
// up nothing else.
type teller struct {
	root    string
	log     *slog.Logger
	notices chan flow.Notice
}

func newTeller(root string, log *slog.Logger) *teller {
	return &teller{root: root, log: log, notices: make(chan flow.Notice, 4)}
}

// tell queues a notice; a new one is dropped while many wait.
func (t *teller) tell(n flow.Notice) {
	select {
	case t.notices <- n:
	default:
	}
}

// Run shows what comes until ctx ends.
func (t *teller) Run(ctx context.Context) error {
	for {
		select {
		case n := <-t.notices:
			told, err := notify.Users(ctx, t.root, words(n))
			if err != nil {
				t.log.Debug("notice not shown everywhere", "err", err)
			}
			t.log.Info("users were told", "desktops", told)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// words says it so that whoever reads it knows what to do.
func words(n flow.Notice) notify.Notice {
	out := notify.Notice{Urgent: true}
	if n.Kind == flow.Sealing {
		out.Title = "This computer has locked its sign-ins and keys away"
		out.Text = "It has been out of touch with your organization for too long, or its clock was changed. Nothing is lost. " +
			"Connect it to the internet or to your organization's network and leave it on; if access does not come back, call your IT support."
	} else {
		left := about(n.Left)
		out.Title = "Connect this computer within " + left
		out.Text = "It has been out of touch with your organization. In " + left + " it will lock the sign-ins, keys and tokens on it away. " +
			"To prevent that, connect it to the internet or to your organization's network and leave it on for a few minutes."
	}
	if help := line(n.Help); help != "" {
		out.Text += "\n" + help
	}
	return out
}

// about is d in words, rounded down to what a person plans with.
func about(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch n := d / unit.d; {
		case n > 1:
			return fmt.Sprintf("%d %ss", n, unit.name)
		case n == 1:
			// 1 day would hide up to 23 hours.
			if unit.d == 24*time.Hour {
				return fmt.Sprintf("%d hours", d/time.Hour)
			}
			return "1 " + unit.name
		}
	}
	return "less than a minute"
}

// maxHelp bounds the group's line, in bytes.
const maxHelp = 200

// line is text on one line, short enough, and without what a terminal or a
// desktop would act on.
func line(text string) string {
	if len(text) > maxHelp {
		text = strings.ToValidUTF8(text[:maxHelp], "")
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
}
