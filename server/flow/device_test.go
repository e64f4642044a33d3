package flow_test

import (
	"testing"

	"cutoff/server/device"
	"cutoff/server/fault"
)

func TestADeviceIsFoundByItsIdOrAHostnameThatIsItsAlone(t *testing.T) {
	h := newHarness(t)
	a, b := h.enrol("alone"), h.enrol("shared")
	c := newLaptop(t, "another machine of that name")
	h.enrolAs(c, "shared")
	if v := h.view("alone"); v.ID != a.DeviceID {
		t.Fatalf("found %s", v.ID)
	}
	if v := h.view(b.DeviceID); v.ID != b.DeviceID {
		t.Fatalf("found %s", v.ID)
	}
	_, err := h.Device(t.Context(), admin, "shared")
	mustFail(t, err, fault.Conflict, b.DeviceID)
	mustFail(t, err, fault.Conflict, c.DeviceID)
	_, err = h.Device(t.Context(), admin, "nobody")
	mustFail(t, err, fault.NotFound, `"nobody"`)
	_, err = h.Device(t.Context(), admin, "")
	mustFail(t, err, fault.Invalid, "id or its hostname")
	if _, err := h.RetireDevice(t.Context(), admin, b.DeviceID); err != nil {
		t.Fatal(err)
	}
	if v := h.view("shared"); v.ID != c.DeviceID {
		t.Fatalf("a retired device takes the name: %s", v.ID)
	}
}

func TestRetiringKeepsTheTombstone(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("retired")
	for range 2 {
		v, err := h.RetireDevice(t.Context(), admin, "retired")
		if err != nil {
			t.Fatal(err)
		}
		if v.State != device.Retired || !v.RetiredAt.Equal(h.Now()) || len(v.Anchor) == 0 || len(v.PublicKey) == 0 {
			t.Fatalf("device %+v", v.Device)
		}
	}
	if _, refused := h.lease(l.peer(t)); refused != "retired" {
		t.Fatalf("refused %q", refused)
	}
	if n := count(h.recorded(l.DeviceID), "device.retired"); n != 1 {
		t.Fatalf("%d retirements in evidence, want 1", n)
	}
	_, err := h.DecideDevice(t.Context(), admin, "retired", true)
	mustFail(t, err, fault.Conflict, "nothing to decide")
}

func TestDevicesAreListedByGroup(t *testing.T) {
	h := newHarness(t)
	h.enrol("b")
	h.enrol("a")
	all, err := h.Devices(t.Context(), admin, "default")
	if err != nil || len(all) != 2 || all[0].Hostname != "a" {
		t.Fatalf("devices %+v, %v", all, err)
	}
	_, err = h.Devices(t.Context(), admin, "nowhere")
	mustFail(t, err, fault.NotFound, "no group")
}
