package flow_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

const month = 30 * 24 * time.Hour

// shreds is a vault whose disk may refuse to delete.
type shreds struct {
	flow.EscrowVault
	broken bool
}

func (s *shreds) Shred(id string) error {
	if s.broken {
		return errors.New("read-only file system")
	}
	return s.EscrowVault.Shred(id)
}

// withBackups is a harness whose vault is backed up for so long.
func withBackups(t *testing.T, kept time.Duration) (*harness, *shreds) {
	t.Helper()
	vault := &shreds{}
	h := newHarnessWith(t, func(h *harness, c *flow.Config) {
		vault.EscrowVault = c.Vault
		c.Vault, c.EscrowBackups = vault, kept
	})
	return h, vault
}

// lost is a device that sealed, was then purged and never came back.
func (h *harness) lost() cut.Cut {
	h.t.Helper()
	l := h.enrol("lost")
	h.ask(admin, l.DeviceID, cut.Seal)
	h.obey(l)
	return h.ask(admin, l.DeviceID, cut.Purge)
}

// shredding works on what is due, as the queue does, and returns the step.
func (h *harness) shredding(c *cut.Cut) revoke.Step {
	h.t.Helper()
	steps, err := h.ClaimSteps(h.t.Context(), c.ID, revoke.Escrow, "worker", h.Now().Add(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range steps {
		if err := h.OnStep(h.t.Context(), s, h.Shred(h.t.Context(), s)); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.shredStep(c)
}

func (h *harness) shredStep(c *cut.Cut) revoke.Step {
	h.t.Helper()
	steps := h.cut(c.ID).Steps
	i := slices.IndexFunc(steps, func(s revoke.Step) bool { return s.Connector == revoke.Escrow })
	if i < 0 || len(steps) != 1 {
		h.t.Fatalf("steps %+v, want the one that shreds", steps)
	}
	return steps[i]
}

func (h *harness) keyLies(c *cut.Cut) bool {
	_, err := os.Stat(filepath.Join(h.dir, "escrow", c.Escrow))
	return err == nil
}

func TestAShreddedKeyIsExposedUntilItsLastBackupIsGone(t *testing.T) {
	h, _ := withBackups(t, month)
	c := h.lost()
	if h.keyLies(&c) {
		t.Error("the key lies there after the purge")
	}
	if s := h.shredStep(&c); s.Outcome != revoke.Retrying || !s.Open() {
		t.Errorf("before anything was read back the step is %+v", s)
	}
	s := h.shredding(&c)
	until := h.Now().Add(month)
	if s.Outcome != revoke.Accepted || s.Open() || !s.Residual.Until.Equal(until) || s.Residual.Unbounded {
		t.Fatalf("the step is %+v, want accepted until %s", s, until)
	}
	h.advance(month - time.Second)
	if err := h.ConfirmShreds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := h.shredStep(&c); s.Outcome != revoke.Accepted {
		t.Errorf("a second before the end the step is %s", s.Outcome)
	}
	// A restore of DIR/escrow brought the key back.
	if err := os.WriteFile(filepath.Join(h.dir, "escrow", c.Escrow), []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.advance(time.Second)
	for range 2 {
		if err := h.ConfirmShreds(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s = h.shredStep(&c)
	if s.Outcome != revoke.Verified || s.State != revoke.Confirmed || s.Detail != "" || h.keyLies(&c) {
		t.Errorf("after the end the step is %+v; the key lies there: %t", s, h.keyLies(&c))
	}
	if n := strings.Count(strings.Join(h.recorded(c.DeviceID), " "), "step.result"); n != 2 {
		t.Errorf("%d records of the step, want one for accepted and one for verified", n)
	}
}

func TestTheExposureOfAPurgeThatShreddedEndsWithTheBackups(t *testing.T) {
	h, _ := withBackups(t, month)
	l := h.enrol("back")
	h.ask(admin, l.DeviceID, cut.Seal)
	h.obey(l)
	c := h.ask(admin, l.DeviceID, cut.Purge)
	h.shredding(&c)
	if c := h.cut(c.ID); !h.Exposure(&c).Unbounded {
		t.Error("the order is undelivered and the exposure has an end")
	}
	h.obey(l)
	c = h.want(c.ID, cut.Settled)
	if !c.Proved() || !h.Exposure(&c).Until.Equal(h.Now().Add(month)) {
		t.Errorf("proved %t, exposure %s", c.Proved(), h.Exposure(&c))
	}
	h.advance(month)
	if err := h.ConfirmShreds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c = h.cut(c.ID); c.State != cut.Settled || h.Exposure(&c) != (revoke.Residual{}) {
		t.Errorf("afterwards it is %s, exposure %s", c.State, h.Exposure(&c))
	}
}

func TestAShreddedKeyWithoutBackupsIsGoneAtOnce(t *testing.T) {
	h, _ := withBackups(t, 0)
	c := h.lost()
	if s := h.shredding(&c); s.Outcome != revoke.Verified || s.Residual != (revoke.Residual{}) || s.Proof != revoke.L1 {
		t.Errorf("the step is %+v", s)
	}
}

func TestAKeyThatCannotBeDeletedIsTriedUntilItIs(t *testing.T) {
	h, vault := withBackups(t, month)
	vault.broken = true
	c := h.lost()
	if s := h.shredding(&c); s.Outcome != revoke.Retrying || !s.Open() || s.Acted || !s.Residual.Unbounded {
		t.Errorf("with the key still there the step is %+v", s)
	}
	vault.broken = false
	h.advance(time.Hour)
	if s := h.shredding(&c); s.Outcome != revoke.Accepted || h.keyLies(&c) {
		t.Errorf("the step is %+v; the key lies there: %t", s, h.keyLies(&c))
	}
}

func TestALiftNeverTakesAShreddingBack(t *testing.T) {
	h, vault := withBackups(t, month)
	vault.broken = true
	c := h.lost()
	if _, err := h.Lift(t.Context(), bob, c.ID, "found"); err != nil {
		t.Fatal(err)
	}
	vault.broken = false
	if s := h.shredding(&c); s.Outcome != revoke.Accepted || h.keyLies(&c) {
		t.Errorf("the step is %+v; the key lies there: %t", s, h.keyLies(&c))
	}
}

func TestBackupsThatAreKeptLongerNowKeepWhatWasShreddedExposed(t *testing.T) {
	h, _ := withBackups(t, month)
	c := h.lost()
	done := h.shredding(&c).DoneAt
	for _, kept := range []time.Duration{time.Hour, 3 * month, month} {
		h.config.EscrowBackups = kept
		h.restart(h.before)
		if err := h.ReapplyShredding(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := done.Add(max(kept, month))
		if kept == month {
			want = done.Add(3 * month) // a read-back never shortens it
		}
		if s := h.shredStep(&c); !s.Residual.Until.Equal(want) {
			t.Errorf("kept for %s: exposed until %s, want %s", kept, s.Residual.Until, want)
		}
	}
}

func TestThePreviewOfAPurgeSaysWhatItShreds(t *testing.T) {
	h, _ := withBackups(t, month)
	l := h.enrol("a")
	h.ask(admin, l.DeviceID, cut.Seal)
	h.obey(l)
	for _, level := range []cut.Level{cut.Seal, cut.Purge} {
		p, err := h.Preview(t.Context(), flow.OpenRequest{Device: l.DeviceID, Level: level, Reason: "lost", Actor: admin})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(p.Steps), map[cut.Level]int{cut.Purge: 1}[level]; got != want {
			t.Errorf("a %s would do %d steps, want %d", level, got, want)
		}
	}
}
