package flow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"cutoff/agent/config"
	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/purge"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// The child's environment: which state and home, and at which step to die.
const (
	envState = "CUTOFF_TEST_STATE"
	envHome  = "CUTOFF_TEST_HOME"
	envStep  = "CUTOFF_TEST_DIE_AT"
)

// mortal is a machine that is killed at a step. Steps lie between any two
// writes: before and after each removal, note and journal entry.
type mortal struct {
	*machine
	step, dieAt int
}

func (m *mortal) live() {
	m.step++
	if m.step == m.dieAt {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {}
	}
}

// Run is flow.Purger.
func (m *mortal) Run(ctx context.Context, w *journal.Warrant) (purge.Result, error) {
	m.live()
	for _, name := range secrets {
		place := filepath.Join(m.home, name)
		item := &cutoffv1.Item{Id: "item_" + name, Product: "test", Path: place, Action: "delete",
			Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: "sealed", Sealed: true}
		if err := w.Note(item); err != nil { // the intent comes first
			return purge.Result{}, err
		}
		m.live()
		if m.has(name) {
			if err := os.Rename(place, place+".sealed"); err != nil {
				return purge.Result{}, err
			}
		}
		m.live()
	}
	if len(w.Noted()) != len(secrets) {
		return purge.Result{}, errors.New("a note is lost")
	}
	return m.result(w), nil
}

// TestAgentThatIsKilled is the child: it does nothing unless it is one.
func TestAgentThatIsKilled(t *testing.T) {
	if os.Getenv(envState) == "" {
		return
	}
	step, err := strconv.Atoi(os.Getenv(envStep))
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{machine: &machine{
		t: t, state: config.Dir(os.Getenv(envState)), home: os.Getenv(envHome),
		now: lease.Reading{Boot: 24 * time.Hour, BootID: "boot-1", Wall: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)},
	}, dieAt: step}
	_, f, _, j := m.assembleWith(m)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.Run(ctx) }()
	m.eventually("a receipt", func() bool {
		left, err := j.Unacknowledged()
		return err == nil && len(left) > 0
	})
	m.live()
	stop()
	<-ended
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKilledBetweenAnyTwoWritesTheAgentFinishesCorrectly(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const steps = 6 // that mortal.Run and its test have
	killed := 0
	for step := 1; step <= steps; step++ {
		_, m := leased(t)
		run := func(dieAt int) error {
			child := exec.Command(self, "-test.run", "^TestAgentThatIsKilled$", "-test.v")
			child.Env = append(os.Environ(), envState+"="+string(m.state), envHome+"="+m.home, fmt.Sprintf("%s=%d", envStep, dieAt))
			out, err := child.CombinedOutput()
			if err != nil && dieAt == 0 {
				t.Fatalf("%v\n%s", err, out)
			}
			return err
		}
		if run(step) != nil {
			killed++
		}
		if err := run(0); err != nil {
			t.Fatal(err)
		}
		checkSealedOnce(t, m)
	}
	if killed != steps {
		t.Errorf("the child died only %d times of %d", killed, steps)
	}
}

// checkSealedOnce holds that the seal is whole: every secret sealed and none
// lost, one receipt with all items, nothing unfinished.
func checkSealedOnce(t *testing.T, m *machine) {
	t.Helper()
	for _, name := range secrets {
		raw, err := os.ReadFile(filepath.Join(m.home, name+".sealed"))
		if err != nil || string(raw) != "secret of "+name || m.has(name) {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
	j, err := journal.Open(m.state.Journal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	left, err := j.Unacknowledged()
	if err != nil || len(left) != 1 {
		t.Fatalf("%d receipts, %v", len(left), err)
	}
	receipt := &cutoffv1.Receipt{}
	if err := signed.Peek(left[0], signed.TypeReceipt, receipt); err != nil {
		t.Fatal(err)
	}
	if len(receipt.GetItems()) != len(secrets) || receipt.GetPart() != 0 || receipt.GetCause() != cutoffv1.Cause_CAUSE_EXPIRY {
		t.Errorf("receipt: %v", receipt)
	}
	standing, err := j.Resume()
	if err != nil || len(standing) != 1 {
		t.Fatalf("%d cuts stand, %v", len(standing), err)
	}
	for _, w := range standing {
		if !w.Finished() {
			t.Errorf("%s is not finished", w.CutID())
		}
	}
}
