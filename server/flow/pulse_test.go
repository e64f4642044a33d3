package flow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/flow"
)

// beats lets the server run for d, a beat each minute.
func (h *harness) beats(d time.Duration) {
	h.t.Helper()
	for ; d > 0; d -= time.Minute {
		h.advance(min(d, time.Minute))
		h.watch()
	}
}

// The server was away for longer than a lease: everybody looks silent, and
// nobody is cut by the machine until the clock has been steady; who comes back
// meanwhile is never cut, and then the brake still has its say.
func TestAfterAnOutageNobodyIsCutUntilTheClockIsSteady(t *testing.T) {
	for _, away := range []time.Duration{73 * hour, 400 * hour} {
		h := newHarness(t)
		var all []*laptop
		for i := range 8 {
			all = append(all, leased(t, h, string(rune('a'+i)), "default"))
		}
		h.watch()
		h.advance(away)
		h.restart(h.store)
		h.watch()
		h.beats(10 * time.Minute)
		held := 0
		for _, l := range all {
			if c := h.cut(h.view(l.DeviceID).ReservedCut); c.State == cut.Held && strings.Contains(c.HeldReason, "the server's clock") {
				held++
			}
		}
		if held != 8 {
			t.Fatalf("%d held for the clock, want 8", held)
		}
		for _, l := range all[:3] {
			h.contact(l, 0, 1)
			h.lease(l.peer(t))
		}
		h.beats(10 * time.Minute)
		cutNow, braked := 0, 0
		for _, l := range all {
			switch c := h.cut(h.view(l.DeviceID).ReservedCut); {
			case c.LetThrough:
				cutNow++
			case c.State == cut.Held && strings.Contains(c.HeldReason, "the brake"):
				braked++
			}
		}
		if cutNow+braked != 5 || braked == 0 {
			t.Errorf("after %s away: %d cut and %d at the brake, want 5 in all, not all cut", away, cutNow, braked)
		}
		if !slices.Contains(h.kinds(), "clock.unsteady") || !slices.Contains(h.kinds(), "clock.steady") {
			t.Error("no evidence of the clock")
		}
	}
}

func TestAJumpOfTheServersClockHoldsWhatTheMachineAsksFor(t *testing.T) {
	for name, c := range map[string]struct {
		jump time.Duration
		held bool
	}{
		"a second": {time.Second, false}, "under five minutes": {4 * time.Minute, false}, "back a little": {-4 * time.Minute, false},
		"forward a week": {7 * 24 * hour, true}, "back a day": {-24 * hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarnessWith(t, wide)
			l := leased(t, h, "a", "default")
			h.watch()
			h.advance(c.jump)
			// Asked before the next beat: the row shows it all the same.
			got := h.ask(robot, l.DeviceID, cut.Seal)
			if held := got.State == cut.Held; held != c.held {
				t.Fatalf("the cut is %s: %s", got.State, got.HeldReason)
			}
			if !c.held {
				return
			}
			h.watch()
			if second := h.ask(admin, leased(t, h, "b", "default").DeviceID, cut.Seal); second.State != cut.Open {
				t.Errorf("a person is held too: %s", second.HeldReason)
			}
			if got, err := h.Approve(t.Context(), bob, got.ID, "the clock is right"); err != nil || got.State != cut.Open {
				t.Errorf("a person could not let it through: %+v, %v", got, err)
			}
		})
	}
}

func TestASteadyClockLetsThroughWhatItHeld(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "a", "default")
	h.watch()
	h.advance(hour)
	h.watch()
	c := h.ask(robot, l.DeviceID, cut.Seal)
	h.beats(14 * time.Minute)
	h.want(c.ID, cut.Held)
	h.beats(2 * time.Minute)
	if c := h.want(c.ID, cut.Open); !c.LetThrough || c.HeldReason != "" {
		t.Errorf("got %+v", c)
	}
}

// A restart within a lease's time holds nothing, and gives devices the time of a
// renewal to be back.
func TestAShortRestartHoldsNothing(t *testing.T) {
	h := newHarnessWith(t, wide)
	l := leased(t, h, "a", "default")
	h.pass(72*hour - time.Minute)
	h.advance(2 * time.Minute)
	h.restart(h.store)
	h.watch()
	if h.view(l.DeviceID).CutID != "" {
		t.Fatal("cut at once")
	}
	h.contact(l, 0, 1)
	h.lease(l.peer(t))
	h.beats(6 * time.Minute)
	if h.view(l.DeviceID).CutID != "" {
		t.Fatal("cut though it is back")
	}
}

func TestThePulseIsWrittenNowAndThen(t *testing.T) {
	h := newHarness(t)
	read := func() (p flow.Pulse) {
		err := h.store.View(t.Context(), func(tx flow.Tx) (err error) { p, err = tx.Pulse(t.Context()); return err })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	h.watch()
	first := read()
	h.advance(9 * time.Second)
	h.watch()
	if p := read(); !p.At.Equal(first.At) {
		t.Error("written after 9 s")
	}
	h.advance(time.Second)
	h.watch()
	if p := read(); !p.At.Equal(h.Now()) || !p.UnsteadyAt.IsZero() {
		t.Errorf("got %+v", p)
	}
}
