package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cutoff/server/e2e/stack"
)

// agentSays runs a command of the agent's; what it says is decoded into result.
func (w *world) agentSays(result any, args ...string) error {
	w.t.Helper()
	out, err := w.stack.Run(w.ctx(), "", "cutoff-agent", append(args, "--state", w.state, "--json")...)
	if result != nil && len(out) > 0 {
		if err := json.Unmarshal(out, result); err != nil {
			w.t.Fatalf("cutoff-agent %v printed %s: %v", args, out, err)
		}
	}
	return err
}

type agentStatus struct {
	Trust      string     `json:"trust"`
	Connected  bool       `json:"connected"`
	LeaseUntil *time.Time `json:"lease_until"`
	Cuts       []string   `json:"cuts"`
}

func (w *world) status() (s agentStatus) {
	w.t.Helper()
	if err := w.agentSays(&s, "status"); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// left is for how long the lease still runs.
func (s agentStatus) left() time.Duration {
	if s.LeaseUntil == nil {
		return 0
	}
	return time.Until(*s.LeaseUntil)
}

// settings writes the server's config.yaml and starts it again.
func (w *world) settings(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.server.Data, "config.yaml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.restartServer()
}

// refused fails the test unless err is an exit status 1 that says what.
func (w *world) refused(err error, what string) {
	w.t.Helper()
	var exit *stack.Exit
	if !errors.As(err, &exit) || exit.Status != 1 || !strings.Contains(exit.Stderr, what) {
		w.t.Errorf("got %v, want a refusal that says %q", err, what)
	}
}

func (w *world) intact() {
	w.t.Helper()
	if harm := w.laptop.Same(w.before); len(harm) > 0 || len(w.status().Cuts) > 0 {
		w.t.Errorf("the device was cut: %v %v", w.status().Cuts, harm)
	}
}

// A company whose server is down for longer than a lease: its agents fetch what
// was exported from any web server, and go on for as long as that says, once.
func TestAFleetOutlivesItsServerByWhatAWebServerHolds(t *testing.T) {
	w := newWorld(t)
	files := filepath.Join(w.dir, "leases")
	mirror := httptest.NewServer(http.FileServer(http.Dir(files)))
	defer mirror.Close()
	elsewhere := free(t)
	w.settings("agents:\n  addresses: [\"127.0.0.1:1\", \"" + elsewhere + "\"]\n" +
		"  mirrors: [\"http://127.0.0.1:1/nobody/\", \"" + mirror.URL + "/\"]\n")
	w.cli(nil, "group", "set", "default", "--warn", "8s", "--seal", "20s", "--purge", "1h", "--renew", "1s")
	w.restartAgent()
	w.until("a short lease", func() bool { s := w.status(); return s.Connected && s.left() > 0 && s.left() < 21*time.Second })
	var export struct {
		Files   int `json:"files"`
		LeftOut int `json:"left_out"`
	}
	w.cli(&export, "lease", "export", "--group", "default", "--for", "5m", "-o", files)
	names, _ := os.ReadDir(files)
	if export.Files != 1 || export.LeftOut != 0 || len(names) != 1 || strings.Contains(names[0].Name(), "dev_") {
		t.Fatalf("exported %+v as %v", export, names)
	}
	w.server.Kill()
	w.until("more time from the mirror", func() bool { return w.status().left() > 4*time.Minute })
	until := w.status().LeaseUntil
	w.restartAgent() // what it was given outlives it
	w.until("the time its lease would have ended", func() bool { return time.Until(*until) < 5*time.Minute-4*time.Second })
	if got := w.status().LeaseUntil.Sub(*until).Abs(); got > 3*time.Second {
		t.Errorf("asked again, the mirror's file moved the end by %s", got)
	}
	// The server comes back where only its leases said that it might be.
	server, err := w.stack.Serve(w.ctx(), w.server.Data, "--agents", elsewhere, "--console", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	w.until("a connection elsewhere", func() bool { return w.status().Connected })
	w.intact()
}

// free is an address nobody listens on just now.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Weeks without a network: a code over the phone, then a file; what is used,
// another device's, mistyped or guessed adds nothing.
func TestACodeOverThePhoneAndAFileGiveMoreTimeOnce(t *testing.T) {
	w := newWorld(t)
	var code, file struct {
		Code string `json:"code"`
	}
	w.until("codes on the lease", func() bool { // they are made once the lease is granted
		return w.server.CLI(w.ctx(), "", &code, "lease", "extend", "alice-laptop", "--for", "48h", "--reason", "on a ship") == nil
	})
	path := filepath.Join(w.dir, "extension")
	w.cli(&file, "lease", "extend", "alice-laptop", "--for", "14d", "-o", path)
	if code.Code == "" || file.Code != "" {
		t.Fatalf("got the codes %q and %q", code.Code, file.Code)
	}
	other := filepath.Join(w.dir, "other")
	// Of its addresses one is dead and one, as a lying name server would have it,
	// is somebody else's.
	liar := httptest.NewTLSServer(http.NotFoundHandler())
	defer liar.Close()
	servers := "127.0.0.1:1," + liar.Listener.Addr().String() + "," + w.server.Agents
	if err := w.stack.Enroll(w.ctx(), other, servers, w.token(), w.laptop.Root); err != nil {
		t.Fatal(err)
	}
	if err := w.stack.Enroll(w.ctx(), other, w.server.Agents, "none", w.laptop.Root); err != nil {
		t.Errorf("enrolled again with one of its addresses: %v", err)
	}
	w.server.Kill()
	w.until("the server gone", func() bool { return !w.status().Connected })
	before := w.status().left()
	var said struct {
		Added int64 `json:"added_ms"`
	}
	if err := w.agentSays(&said, "extend", strings.ToLower(code.Code)); err != nil || said.Added != (48*time.Hour).Milliseconds() {
		t.Fatalf("the code added %d ms: %v", said.Added, err)
	}
	w.refused(w.agentSays(nil, "extend", code.Code), "used before")
	for range 2 {
		w.refused(w.agentSays(nil, "extend", "0123-4567-89AB-CDEF-P"), "not for this device")
	}
	w.refused(w.agentSays(nil, "extend", "0123-4567-89AB-CDEF-P"), "wait")
	if err := w.agentSays(&said, "extend", path); err != nil || said.Added <= 0 {
		t.Fatalf("the file added %d ms: %v", said.Added, err)
	}
	w.refused(w.agentSays(nil, "extend", path), "used before")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	forged := filepath.Join(w.dir, "forged")
	if err := os.WriteFile(forged, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	w.refused(w.agentSays(nil, "extend", forged), "refused")
	if got, want := w.status().left(), before+16*24*time.Hour; got > want+time.Second || got < want-time.Minute {
		t.Errorf("%s are left, want %s", got, want)
	}
	// Another device's.
	second, err := w.stack.RunAgent(context.Background(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Kill()
	_, err = w.stack.Run(w.ctx(), "", "cutoff-agent", "extend", path, "--state", other)
	w.refused(err, "no lease")
}

// A laptop that sealed itself where there is no network comes back by two files
// that people carry; the server had never heard of the seal.
func TestASealWithoutANetworkIsLiftedByFiles(t *testing.T) {
	w := newWorld(t)
	w.cli(nil, "group", "set", "default", "--warn", "3s", "--seal", "6s", "--purge", "1h", "--renew", "1s")
	w.restartAgent()
	w.until("a short lease", func() bool { s := w.status(); return s.Connected && s.left() > 0 && s.left() < 7*time.Second })
	agents := w.server.Agents
	w.server.Kill()
	w.until("the device sealed by itself", func() bool { s := w.status(); return len(s.Cuts) == 1 && len(w.laptop.Live(w.laptop.Root)) == 0 })
	w.refused(w.agentSays(nil, "extend", "0123-4567-89AB-CDEF-P"), "lift")
	// The server is back where this laptop cannot reach it.
	server, err := w.stack.Serve(w.ctx(), w.server.Data, "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	request, answer := filepath.Join(w.dir, "request"), filepath.Join(w.dir, "answer")
	var asked struct {
		CutID string `json:"cut_id"`
	}
	if err := w.agentSays(&asked, "status", "--challenge", "-o", request); err != nil {
		t.Fatal(err)
	}
	var lifted cut
	w.cli(&lifted, "lift", asked.CutID, "--reason", "it is the right person", "--request", request, "-o", answer)
	if lifted.State != "lifting" {
		t.Errorf("the cut is %s", lifted.State)
	}
	var said struct {
		Lifting string `json:"lifting"`
	}
	if err := w.agentSays(&said, "extend", answer); err != nil || said.Lifting != asked.CutID {
		t.Fatalf("lifting %q: %v", said.Lifting, err)
	}
	w.until("everything back", func() bool { return len(w.status().Cuts) == 0 && len(w.laptop.Same(w.before)) == 0 })
	w.refused(w.agentSays(nil, "extend", answer), "no request")
	// Still without a network: what came with the lift runs out as well.
	var again []string
	w.until("the device sealed by itself again", func() bool {
		again = w.status().Cuts
		return len(again) == 1 && again[0] != asked.CutID && len(w.laptop.Live(w.laptop.Root)) == 0
	})
	w.server.Kill()
	if w.server, err = w.stack.Serve(w.ctx(), w.server.Data, "--agents", agents, "--console", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.until("both cuts lifted", func() bool {
		var first, next cut
		return w.server.CLI(w.ctx(), "", &first, "cut", "show", asked.CutID) == nil && first.State == "lifted" &&
			w.server.CLI(w.ctx(), "", &next, "cut", "show", again[0]) == nil && next.State == "lifted"
	})
	w.until("everything back again", func() bool { return len(w.status().Cuts) == 0 && len(w.laptop.Same(w.before)) == 0 })
}
