package daemon

import (
	"strings"
	"testing"
	"time"

	"cutoff/agent/flow"
)

func TestANoticeSaysWhatToDoAndByWhen(t *testing.T) {
	n := words(flow.Notice{Kind: flow.Warning, Left: 23*time.Hour + 59*time.Minute, Help: "Call 555-0100\n\x1b[2J" + strings.Repeat("é", 200)})
	for _, part := range []string{"In 23 hours", "connect it to the internet", "\nCall 555-0100"} {
		if !strings.Contains(n.Text, part) {
			t.Errorf("%q is not in %q", part, n.Text)
		}
	}
	if strings.ContainsRune(n.Text, '\x1b') || len(n.Text) > 600 || strings.Count(n.Text, "\n") != 1 {
		t.Errorf("got %q", n.Text)
	}
	sealed := words(flow.Notice{Kind: flow.Sealing})
	if !strings.Contains(sealed.Text, "Nothing is lost") || sealed.Title == n.Title {
		t.Errorf("got %+v", sealed)
	}
}

func TestTimeLeftInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		14 * 24 * time.Hour: "14 days", 47 * time.Hour: "47 hours", time.Hour + time.Minute: "1 hour",
		10 * time.Minute: "10 minutes", time.Minute: "1 minute", time.Second: "less than a minute", -time.Hour: "less than a minute",
	} {
		if got := about(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
