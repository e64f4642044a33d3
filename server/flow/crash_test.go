package flow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

var errCrash = errors.New("the server was killed")

// crashing is the store of a server that dies at its n-th commit: just before
// it, or just after, when it is durable but nobody was told.
type crashing struct {
	flow.Store
	left  int
	after bool
	dead  bool
}

func (c *crashing) Update(ctx context.Context, fn func(flow.Tx) error) error {
	if c.dead {
		return errCrash
	}
	if c.left--; c.left > 0 {
		return c.Store.Update(ctx, fn)
	}
	c.dead = true
	err := c.Store.Update(ctx, func(tx flow.Tx) error {
		if err := fn(tx); err != nil || c.after {
			return err
		}
		return errCrash
	})
	if err == nil {
		err = errCrash
	}
	return err
}

func (c *crashing) View(ctx context.Context, fn func(flow.Tx) error) error {
	if c.dead {
		return errCrash
	}
	return c.Store.View(ctx, fn)
}

// life is a whole cut as everybody drives it: who asks, asks again when not
// answered; the device sends what was not acknowledged; workers take what is due.
type life struct {
	h      *harness
	l      *laptop
	person string
	// stream is the device's, if it has one all the time.
	stream *connected
	// slow: its receipt comes so late that the word that the order came stands alone.
	slow bool
}

// step does the next thing that is due; done when nothing is.
func (x *life) step() (done bool, err error) {
	ctx := x.h.t.Context()
	if _, _, err := x.h.Open(ctx, openPerson(x.person)); err != nil {
		return false, err
	}
	if done, err := x.device(ctx); !done || err != nil {
		return false, err
	}
	return x.worker(ctx)
}

func (x *life) device(ctx context.Context) (bool, error) {
	var envelope []byte
	if x.stream != nil {
		envelope = x.stream.take(x.l)
	}
	if envelope == nil {
		var err error
		if envelope, err = x.h.PendingOrder(ctx, x.l.peer(x.h.t), make([]byte, 32)); err != nil || envelope == nil {
			return err == nil, err
		}
	}
	o := openOrder(x.h, envelope)
	x.h.OnOrderReceived(x.l.peer(x.h.t), o.GetOrderId())
	if x.slow {
		if err := x.h.KeepReceived(ctx, true); err != nil {
			return false, err
		}
	}
	raw := x.l.sign(x.h.t, answerTo(o))
	for range 2 { // its acknowledgement was lost, too
		ack, err := x.h.OnReceipt(ctx, x.l.peer(x.h.t), raw)
		if err != nil {
			return false, err
		}
		if ack.GetRefused() != "" {
			return false, errors.New(ack.GetRefused())
		}
	}
	return false, nil
}

func (x *life) worker(ctx context.Context) (bool, error) {
	groups, err := x.h.DueSteps(ctx, x.h.Now(), 10)
	if err != nil || len(groups) == 0 {
		return err == nil, err
	}
	for _, g := range groups {
		steps, err := x.h.ClaimSteps(ctx, g.CutID, g.Connector, "worker", x.h.Now().Add(60e9))
		if err != nil {
			return false, err
		}
		for _, s := range steps {
			if err := x.h.OnStep(ctx, s, proved); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// run drives a life through a server that dies at its n-th commit and is
// started again, and reports whether it died.
func (x *life) run(t *testing.T, n int, after bool, drive func() (bool, error)) bool {
	t.Helper()
	store := &crashing{Store: x.h.store, left: n, after: after}
	x.h.restart(store)
	for range 100 {
		done, err := drive()
		switch {
		case errors.Is(err, errCrash):
			// The claims of the worker that died with it run out, streams break.
			x.h.advance(61e9)
			if x.stream != nil {
				x.stream.take(x.l)
				x.stream.arrive(x.l)
			}
			x.h.restart(x.h.store)
			if err := x.h.ResumeCases(t.Context()); err != nil {
				t.Fatal(err)
			}
		case err != nil && !fault.Is(err, fault.Conflict):
			t.Fatalf("crash at commit %d (after %t): %v", n, after, err)
		case done:
			return store.dead
		}
	}
	t.Fatalf("crash at commit %d (after %t): it never ends", n, after)
	return false
}

// summary is how a case ended, without what is drawn or timed.
func (x *life) summary() string {
	var b strings.Builder
	cuts, err := x.h.Cuts(x.h.t.Context(), flow.CutFilter{})
	if err != nil {
		x.h.t.Fatal(err)
	}
	for i := range cuts {
		c := x.h.cut(cuts[i].ID)
		var steps []string
		for _, s := range c.Steps {
			if s.State != revoke.Withdrawn {
				steps = append(steps, s.Action+" "+string(s.State)+" "+string(s.Outcome))
			}
		}
		slices.Sort(steps)
		fmt.Fprintf(&b, "%t %s %s %s %d items %v exposure %s\n", c.DeviceID != "", c.State, c.Level, c.OrderState,
			len(c.Items), steps, x.h.Exposure(&c))
	}
	lines := strings.Split(b.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + string(x.h.view(x.l.DeviceID).State)
}

func newLife(t *testing.T) *life { return lifeOf(withClouds(t)) }

func lifeOf(h *harness) *life {
	l := h.enrol("a")
	h.inventory(l)
	p := h.belongs("ann@example.com", l.DeviceID)
	return &life{h: h, l: l, person: p.ID, slow: true}
}

// newConnectedLife is that of a device whose stream is open from the start.
func newConnectedLife(t *testing.T) *life {
	c := newConnected(t, func(config *flow.Config) { config.Connectors = &clouds{} })
	x := lifeOf(c.harness)
	x.stream, x.slow = c, false
	c.arrive(x.l)
	return x
}

func TestACrashAtAnyCommitOfACutEndsAsIfThereHadBeenNone(t *testing.T) {
	t.Run("of a device that comes later", func(t *testing.T) { crashAtAnyCommit(t, newLife) })
	t.Run("of a device that is connected", func(t *testing.T) { crashAtAnyCommit(t, newConnectedLife) })
}

func crashAtAnyCommit(t *testing.T, newLife func(*testing.T) *life) {
	t.Helper()
	whole := newLife(t)
	whole.run(t, 1_000_000, false, func() (bool, error) { return whole.step() })
	want := whole.summary()
	if !strings.Contains(want, "true settled seal done 2 items") || whole.h.view(whole.l.DeviceID).State != device.Sealed {
		t.Fatalf("without a crash it ends so:\n%s", want)
	}
	for _, after := range []bool{false, true} {
		n := 1
		for ; ; n++ {
			x := newLife(t)
			died := x.run(t, n, after, func() (bool, error) { return x.step() })
			if got := x.summary(); got != want {
				t.Fatalf("crash at commit %d (after %t) ends so:\n%s\nwant:\n%s", n, after, got, want)
			}
			if _, problem, err := x.h.CheckEvidence(t.Context()); err != nil || problem != "" {
				t.Fatalf("crash at commit %d: evidence: %s, %v", n, problem, err)
			}
			if !died {
				break
			}
		}
		if n < 8 {
			t.Errorf("only %d crash points were walked", n)
		}
	}
}

func TestACrashAtAnyCommitOfALiftEndsAsIfThereHadBeenNone(t *testing.T) {
	prepare := func() (*life, func() (bool, error)) {
		x := newLife(t)
		x.run(t, 1_000_000, false, func() (bool, error) { return x.step() })
		x.h.restart(x.h.store)
		cuts, err := x.h.Cuts(t.Context(), flow.CutFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return x, func() (bool, error) {
			for i := range cuts {
				if _, err := x.h.Lift(t.Context(), admin, cuts[i].ID, "found"); err != nil {
					return false, err
				}
			}
			if done, err := x.device(t.Context()); !done || err != nil {
				return false, err
			}
			return x.worker(t.Context())
		}
	}
	x, drive := prepare()
	x.run(t, 1_000_000, false, drive)
	want := x.summary()
	if strings.Count(want, " lifted ") != 2 || !strings.HasSuffix(want, "trusted") {
		t.Fatalf("without a crash it ends so:\n%s", want)
	}
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			x, drive := prepare()
			died := x.run(t, n, after, drive)
			if got := x.summary(); got != want {
				t.Fatalf("crash at commit %d (after %t) ends so:\n%s\nwant:\n%s", n, after, got, want)
			}
			if !died {
				break
			}
		}
	}
}

func TestALargeCaseThatACrashLeftHalfOpenIsFinishedAfterTheRestart(t *testing.T) {
	for n := 1; n <= 8; n++ {
		h := newHarnessWith(t, func(_ *harness, c *flow.Config) {
			c.Connectors, c.Brake = &clouds{}, flow.BrakeLimits{People: 1000}
		})
		ids := h.fleet("default", 230)
		p := h.belongs("ann@example.com")
		err := h.store.Update(t.Context(), func(tx flow.Tx) error {
			for _, id := range ids {
				if err := tx.SetAssignment(t.Context(), id, p.ID, "default"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		store := &crashing{Store: h.store, left: n, after: n%2 == 0}
		h.restart(store)
		_, _, err = h.Open(t.Context(), openPerson(p.ID))
		if store.dead == (err == nil) {
			t.Fatalf("crash at commit %d: %v", n, err)
		}
		h.restart(h.store)
		if err := h.ResumeCases(t.Context()); err != nil {
			t.Fatal(err)
		}
		cuts, err := h.Cuts(t.Context(), flow.CutFilter{})
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for i := range cuts {
			if cuts[i].State == cut.Open {
				open++
			}
		}
		// Before the first commit nothing was asked; after it, all of it was.
		if open != len(cuts) || open != 0 && open != 231 || n > 1 && open == 0 {
			t.Errorf("crash at commit %d: %d of %d are open", n, open, len(cuts))
		}
	}
}
