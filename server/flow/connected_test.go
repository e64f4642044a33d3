package flow_test

import (
	"bytes"
	"slices"
	"testing"

	"cutoff/server/cut"
	"cutoff/server/flow"
	"cutoff/server/order"
)

// connected is a hub on which devices have streams with open challenges.
type connected struct {
	*harness
	open   map[string][]byte
	pushed map[string][]byte
	// before is asked at each push: what holds then.
	before func()
}

func newConnected(t testing.TB, tweak func(*flow.Config)) *connected {
	t.Helper()
	c := &connected{open: map[string][]byte{}, pushed: map[string][]byte{}, before: func() {}}
	c.harness = newHarnessWith(t, func(h *harness, config *flow.Config) {
		c.harness = h
		config.Hub = c
		tweak(config)
	})
	return c
}

func (c *connected) Challenge(id string) []byte { return c.open[id] }

func (c *connected) Push(id string, challenge, order []byte) {
	c.before()
	if bytes.Equal(c.open[id], challenge) {
		delete(c.open, id)
		c.pushed[id] = order
	}
}

// arrive opens a stream for the device.
func (c *connected) arrive(l *laptop) { c.open[l.DeviceID] = bytes.Repeat([]byte{7}, 32) }

// take is the order that was pushed to the device, or nil.
func (c *connected) take(l *laptop) []byte {
	o := c.pushed[l.DeviceID]
	delete(c.pushed, l.DeviceID)
	return o
}

func TestTheOrderOfAConnectedDeviceIsSignedWhenItsCutIsDurable(t *testing.T) {
	c := newConnected(t, func(*flow.Config) {})
	l := c.enrol("a")
	if _, err := c.OnHello(t.Context(), l.peer(t), l.hello(t, 41, 0), binding); err != nil {
		t.Fatal(err)
	}
	c.arrive(l)
	c.before = func() {
		if view := c.view(l.DeviceID); view.OrderNumber != 42 || view.CutID == "" {
			t.Errorf("pushed while the device stands at order %d, cut %q", view.OrderNumber, view.CutID)
		}
	}
	made := c.ask(admin, l.DeviceID, cut.Seal)
	o := openOrder(c.harness, c.take(l))
	if o.GetCutId() != made.ID || o.GetNumber() != 42 || o.GetDeviceId() != l.DeviceID || made.OrderState != order.Drafted {
		t.Errorf("order %v of cut %+v", o, made)
	}
	if c.wakes[l.DeviceID] != 0 {
		t.Errorf("woken %d times beside the push", c.wakes[l.DeviceID])
	}
	if !slices.Contains(c.recorded(l.DeviceID), "order.signed") {
		t.Errorf("evidence %v has no signature", c.recorded(l.DeviceID))
	}
	// The same cut again changes nothing and sends nothing.
	c.arrive(l)
	c.ask(admin, l.DeviceID, cut.Seal)
	if c.take(l) != nil || c.view(l.DeviceID).OrderNumber != 42 {
		t.Error("asking again signed again")
	}
	// Lost on its way, it is signed anew at the next contact.
	again := c.collect(l)
	if again.GetOrderId() != o.GetOrderId() || again.GetNumber() != 43 {
		t.Errorf("at contact: %v", again)
	}
}

func TestAHeldCutIsSignedForAConnectedDeviceWhenItIsLetThrough(t *testing.T) {
	c := newConnected(t, func(config *flow.Config) { config.Brake = flow.BrakeLimits{People: 1} })
	first, second := c.enrol("a"), c.enrol("b")
	c.ask(admin, first.DeviceID, cut.Seal)
	c.arrive(second)
	held := c.ask(admin, second.DeviceID, cut.Seal)
	if held.State != cut.Held || c.take(second) != nil || c.view(second.DeviceID).OrderNumber != 0 {
		t.Fatalf("a held cut was signed: %+v", held)
	}
	if _, err := c.Approve(t.Context(), bob, held.ID, "yes"); err != nil {
		t.Fatal(err)
	}
	if o := openOrder(c.harness, c.take(second)); o.GetCutId() != held.ID || o.GetNumber() != 1 {
		t.Errorf("let through: %v", o)
	}
}
