package tpm_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cutoff/platform/tpm"
)

// power starts a real TPM simulator and returns how to cut its power.
func power(t *testing.T, root string) func() {
	t.Helper()
	socket, state := filepath.Join(root, "run/tpm.sock"), filepath.Join(root, "tpm")
	for _, dir := range []string{filepath.Dir(socket), state} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(socket)
	simulator := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear")
	if err := simulator.Start(); err != nil {
		t.Fatal(err)
	}
	off := func() { _ = simulator.Process.Kill(); _ = simulator.Wait() }
	t.Cleanup(off)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if listens(t, socket) {
			return off
		}
		if time.Now().After(deadline) {
			t.Fatal("the simulator does not listen")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// listens reports whether somebody listens at the socket: it has its name
// before, and to dial takes the one place that the simulator has.
func listens(t *testing.T, socket string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	const accepts = " 00010000 " // __SO_ACCEPTCON
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, accepts) && strings.HasSuffix(strings.TrimSpace(line), socket) {
			return true
		}
	}
	return false
}

func look(t *testing.T, root string, raise bool) tpm.Sight {
	t.Helper()
	w, err := tpm.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if raise {
		if err := w.Raise(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Look()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAWitnessCountsBootsAndIsNotTurnedBack(t *testing.T) {
	root := t.TempDir()
	off := power(t, root)
	first := look(t, root, false)
	if first.Counter == 0 || first.Resets == 0 {
		t.Fatalf("got %+v", first)
	}
	if again := look(t, root, false); again.Counter != first.Counter || again.Powered < first.Powered || again.Resets != first.Resets {
		t.Errorf("a second look: %+v after %+v", again, first)
	}
	if raised := look(t, root, true); raised.Counter != first.Counter+1 {
		t.Errorf("raised: %+v after %+v", raised, first)
	}
	off()
	power(t, root)
	if booted := look(t, root, false); booted.Counter != first.Counter+1 || booted.Resets <= first.Resets {
		t.Errorf("after the power was cut: %+v, before %+v", booted, first)
	}
}

func TestAMachineWithoutAWitnessSaysSo(t *testing.T) {
	if _, err := tpm.Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
