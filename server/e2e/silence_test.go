package e2e

import (
	"testing"
)

// hasty are deadlines of seconds: what happens in days happens while one looks.
var hasty = []string{"group", "set", "default", "--renew", "1s", "--warn", "5s", "--seal", "8s", "--purge", "2h", "--report", "1s"}

// lifted waits until the device is trusted again and checks that all is back.
func (w *world) lifted(cutID string) {
	w.t.Helper()
	w.until("the lift", func() bool { return w.cut(cutID).State == "lifted" && w.device().State == "trusted" })
	w.until("a new lease", func() bool { return w.device().CutID == "" && w.device().Silence == "" })
	for _, path := range w.laptop.Same(w.before) {
		w.t.Errorf("not as before: %s", path)
	}
	if now, was := len(w.laptop.Live(w.laptop.Root)), w.live; now != was {
		w.t.Errorf("%d secrets are there, %d were", now, was)
	}
}

func (w *world) sealedItself() bool { return len(w.laptop.Live(w.laptop.Root)) == 0 }

// The agent dies: the server cuts the device by itself, shows it, and when the
// agent is back it seals under the same cut, reports, and has its secrets again.
func TestASilentDeviceIsCutByTheServerAndComesBackByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hasty)
	w.live = len(w.laptop.Live(w.laptop.Root))
	w.agent.Kill()
	w.until("the server's cut", func() bool { return w.device().Level == "seal" })
	d := w.device()
	if d.Silence != "sealed" || d.Todo == "" || d.State != "trusted" {
		t.Errorf("shown as %+v", d)
	}
	if c := w.cut(d.CutID); c.Cause != "expiry" || c.State != "open" || c.Exposure != "unbounded" {
		t.Errorf("the cut is %+v", c)
	}
	w.restartAgent()
	w.lifted(d.CutID)
	var all struct{ Cuts []cut }
	w.cli(&all, "cut", "list")
	if len(all.Cuts) != 1 {
		t.Errorf("%d cuts of one silence", len(all.Cuts))
	}
}

// The server dies: the agent seals itself, and lifts when the server is back.
func TestAnAgentsOwnSealEndsWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hasty)
	w.live = len(w.laptop.Live(w.laptop.Root))
	first := w.device().LeaseUntil
	w.until("a second lease, so that it has the first", func() bool { return w.device().LeaseUntil.After(*first) })
	w.server.Kill()
	w.until("the agent's own seal", w.sealedItself)
	w.serveAgain()
	var cutID string
	w.until("its receipt", func() bool {
		var all struct{ Cuts []cut }
		w.cli(&all, "cut", "list")
		if len(all.Cuts) == 1 {
			cutID = all.Cuts[0].ID
		}
		return cutID != ""
	})
	w.lifted(cutID)
}

// A group whose devices come back by a person's word waits for one, and says so.
func TestAPrivilegedDeviceStaysSealedUntilAPersonLiftsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(hasty, "--privileged"))
	w.live = len(w.laptop.Live(w.laptop.Root))
	w.agent.Kill()
	w.until("the server's cut", func() bool { return w.device().Level == "seal" })
	w.restartAgent()
	w.until("its receipt", func() bool { return w.device().State == "sealed" })
	w.until("what to do", func() bool { return w.device().Todo != "" && w.device().Silence == "" })
	id := w.device().CutID
	w.cli(nil, "lift", id, "--reason", "it was in the workshop", "--wait")
	w.lifted(id)
}
