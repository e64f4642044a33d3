package cut_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"cutoff/server/cut"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

var (
	now    = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	past   = revoke.Residual{Until: now.Add(-time.Minute)}
	soon   = revoke.Residual{Until: now.Add(time.Minute)}
	late   = revoke.Residual{Until: now.Add(time.Hour)}
	always = revoke.Residual{Unbounded: true}
	never  = revoke.Residual{}
)

func item(o revoke.Outcome, r revoke.Residual) cut.Item { return cut.Item{Outcome: o, Residual: r} }

func step(o revoke.Outcome, r revoke.Residual) revoke.Step {
	return revoke.Step{State: revoke.Confirmed, Outcome: o, Residual: r}
}

func TestExposureIsTheLongestThatAnythingMayStillWork(t *testing.T) {
	withdrawn := step(revoke.Retrying, always)
	withdrawn.State = revoke.Withdrawn
	undo := step(revoke.Retrying, always)
	undo.UndoOf = "stp_1"
	cases := []struct {
		name string
		cut  cut.Cut
		want revoke.Residual
	}{
		{"nothing on it and nothing due", cut.Cut{}, never},
		{"an order the device does not have", cut.Cut{OrderState: order.Drafted}, always},
		{"an order without its receipt", cut.Cut{OrderState: order.Delivered}, always},
		{"an order the device refused", cut.Cut{OrderState: order.Refused}, always},
		{"a device that still tries", cut.Cut{OrderState: order.Partial, Unfinished: true}, always},
		{"all verified, residuals past", cut.Cut{
			OrderState: order.Done, Items: []cut.Item{item(revoke.Verified, past)},
			Steps: []revoke.Step{step(revoke.Verified, never)},
		}, never},
		{"a verified step lives on until its token dies", cut.Cut{
			Items: []cut.Item{item(revoke.Verified, never)}, Steps: []revoke.Step{step(revoke.Verified, soon)},
		}, soon},
		{"the latest of several, whatever their outcome", cut.Cut{
			Items: []cut.Item{item(revoke.Blocked, soon)},
			Steps: []revoke.Step{step(revoke.Unsupported, late), step(revoke.Accepted, soon)},
		}, late},
		{"accepted without proof and without an end", cut.Cut{Steps: []revoke.Step{step(revoke.Accepted, never)}}, always},
		{"accepted, but dead by now of itself", cut.Cut{Steps: []revoke.Step{step(revoke.Accepted, past)}}, never},
		{"not done yet, dead of itself soon", cut.Cut{Steps: []revoke.Step{step(revoke.Retrying, soon)}}, soon},
		{"not done yet, no known end", cut.Cut{Steps: []revoke.Step{step(revoke.Retrying, never)}}, always},
		{"verified by read-back, end unknown", cut.Cut{Steps: []revoke.Step{step(revoke.Verified, always)}}, always},
		{"an item that was left", cut.Cut{Items: []cut.Item{item(revoke.Unsupported, never)}}, always},
		{"withdrawn and undo steps do not count", cut.Cut{Steps: []revoke.Step{withdrawn, undo}}, never},
		{"held: nothing was cut", cut.Cut{State: cut.Held}, always},
		{"lifted: what works is meant to", cut.Cut{
			State: cut.Lifted, OrderState: order.Drafted, Items: []cut.Item{item(revoke.Blocked, always)},
		}, never},
		{"a summary in place of the rows", cut.Cut{Lives: &late}, late},
	}
	for _, c := range cases {
		if c.cut.State == "" {
			c.cut.State = cut.Open
		}
		if got := cut.Exposure(&c.cut, now); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// random is a cut of up to a dozen targets with any outcome and residual.
func random(r *rand.Rand) cut.Cut {
	residuals := []revoke.Residual{past, soon, late, always, never, {Until: now.Add(time.Duration(r.IntN(7200)-3600) * time.Second)}}
	outcomes := []revoke.Outcome{revoke.Verified, revoke.Accepted, revoke.Unsupported, revoke.Retrying, revoke.Blocked}
	c := cut.Cut{State: cut.Open, OrderState: order.Done}
	for range r.IntN(6) {
		c.Items = append(c.Items, item(outcomes[r.IntN(5)], residuals[r.IntN(6)]))
	}
	for range r.IntN(6) {
		c.Steps = append(c.Steps, step(outcomes[r.IntN(5)], residuals[r.IntN(6)]))
	}
	return c
}

func TestExposureHoldsItsPromisesForAnyCut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		c := random(r)
		got := cut.Exposure(&c, now)
		if !got.Unbounded && !got.Until.IsZero() && !got.Until.After(now) {
			t.Fatalf("exposure ends in the past: %s of %+v", got, c)
		}
		// One target more never makes it shorter.
		more := c
		more.Items = append(append([]cut.Item{}, c.Items...), item(revoke.Blocked, late))
		if m := cut.Exposure(&more, now); !reaches(m, got) || !reaches(m, late) {
			t.Fatalf("one item more made %s into %s", got, m)
		}
		// Order does not matter, and time alone never adds to it.
		r.Shuffle(len(c.Items), func(i, j int) { c.Items[i], c.Items[j] = c.Items[j], c.Items[i] })
		if again := cut.Exposure(&c, now); again != got {
			t.Fatalf("shuffled: %s became %s", got, again)
		}
		if then := cut.Exposure(&c, now.Add(30*time.Minute)); !reaches(got, then) {
			t.Fatalf("half an hour made %s into %s", got, then)
		}
		none := got == never
		if none != quietly(&c) {
			t.Fatalf("exposure %s of %+v", got, c)
		}
	}
}

func reaches(a, b revoke.Residual) bool { return a.Later(b) == a }

// quietly is what none means, said another way.
func quietly(c *cut.Cut) bool {
	dead := func(o revoke.Outcome, r revoke.Residual) bool {
		if r.Unbounded || r.Until.After(now) {
			return false
		}
		return o == revoke.Verified || !r.Until.IsZero()
	}
	for _, i := range c.Items {
		if !dead(i.Outcome, i.Residual) {
			return false
		}
	}
	for _, s := range c.Steps {
		if !dead(s.Outcome, s.Residual) {
			return false
		}
	}
	return true
}
