package flow_test

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/extension"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// grantedUntil is until when the device may trust itself at most.
func (h *harness) grantedUntil(l *laptop) time.Time {
	h.t.Helper()
	v := h.view(l.DeviceID)
	return v.GrantedUntil()
}

// leaseKeys are those of the roster.
func leaseKeys(t testing.TB, h *harness) signed.Keys {
	t.Helper()
	keys, err := signed.NewKeys(h.roster().GetLeaseKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func openExtension(t testing.TB, h *harness, raw []byte) *cutoffv1.Extension {
	t.Helper()
	e := &cutoffv1.Extension{}
	if _, err := signed.Open(raw, signed.TypeExtension, leaseKeys(t, h), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// opens is how many hashes of the lease the code opens, and what they add.
func opens(t testing.TB, lease *cutoffv1.Lease, text string) (n int, add time.Duration) {
	t.Helper()
	code, err := extension.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := code.Hash(lease.GetCodes().GetSalt())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range lease.GetCodes().GetCodes() {
		if bytes.Equal(c.GetHash(), hash) {
			n, add = n+1, time.Duration(c.GetAddMs())*time.Millisecond
		}
	}
	return n, add
}

func TestACodeExtendsTheLeaseItWasGivenForAndNoOther(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	first, _ := h.lease(l.peer(t))
	if n := len(first.GetCodes().GetCodes()); n != 4 {
		t.Fatalf("the first lease carries %d codes", n)
	}
	again, _ := h.lease(l.peer(t))
	if !proto.Equal(first.GetCodes(), again.GetCodes()) {
		t.Error("the hashes are made anew at each lease")
	}
	before := h.grantedUntil(l)
	h.advance(time.Hour)
	given, err := h.ExtendLease(t.Context(), bob, "a", 48*time.Hour, false, "on a ship")
	if err != nil {
		t.Fatal(err)
	}
	if n, add := opens(t, again, given.Code); n != 1 || add != 48*time.Hour || given.File != nil {
		t.Errorf("the code opens %d hashes for %s", n, add)
	}
	if want := before.Add(48 * time.Hour); !given.Until.Equal(want) || !h.grantedUntil(l).Equal(want) {
		t.Errorf("granted until %s, want %s", h.grantedUntil(l), want)
	}
	second, err := h.ExtendLease(t.Context(), bob, "a", 48*time.Hour, false, "")
	if err != nil || second.Code == given.Code || !second.Until.Equal(before.Add(96*time.Hour)) {
		t.Errorf("the second: %+v, %v", second, err)
	}
	if _, err := h.ExtendLease(t.Context(), bob, "a", 48*time.Hour, false, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("a third of two codes: %v", err)
	}
	later, _ := h.lease(l.peer(t))
	for _, code := range []string{given.Code, second.Code} {
		if n, _ := opens(t, later, code); n != 0 {
			t.Error("a code that was given out extends a later lease")
		}
	}
	if n := len(later.GetCodes().GetCodes()); n != 4 {
		t.Errorf("the set was filled to %d", n)
	}
	if got := h.grantedUntil(l); got.Before(before.Add(96 * time.Hour)) {
		t.Errorf("a new lease made the server forget what it gave: %s", got)
	}
	recorded := 0
	for _, kind := range h.recorded(l.DeviceID) {
		if kind == "lease.extended" {
			recorded++
		}
	}
	if recorded != 2 {
		t.Errorf("%d extensions are evidence", recorded)
	}
	h.notStored(given.Code)
}

func TestAnExtensionFileIsForItsDeviceItsReservationAndItsTime(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("a")
	h.lease(l.peer(t))
	until := h.grantedUntil(l)
	given, err := h.ExtendLease(t.Context(), bob, l.DeviceID, 14*24*time.Hour, true, "expedition")
	if err != nil || given.Code != "" {
		t.Fatalf("%+v, %v", given, err)
	}
	e := openExtension(t, h, given.File)
	want := until.Add(14 * 24 * time.Hour)
	if e.GetDeviceId() != l.DeviceID || e.GetCutId() != h.view(l.DeviceID).ReservedCut || !e.GetEndsAt().AsTime().Equal(want) ||
		e.GetAddMs() != (14*24*time.Hour).Milliseconds() || !h.grantedUntil(l).Equal(want) {
		t.Errorf("got %v, want it to end at %s", e, want)
	}
	again, err := h.ExtendLease(t.Context(), bob, l.DeviceID, time.Hour, true, "")
	if err != nil || openExtension(t, h, again.File).GetNumber() <= e.GetNumber() {
		t.Errorf("the next file's number is not higher: %v", err)
	}
}

func TestWhoIsNotInGoodStandingGetsNoExtension(t *testing.T) {
	h := newHarness(t)
	never, cutOff, gone, good := h.enrol("never"), h.enrol("cut"), h.enrol("gone"), h.enrol("good")
	h.lease(gone.peer(t))
	h.advance(73 * time.Hour)
	h.lease(cutOff.peer(t))
	h.lease(good.peer(t))
	h.ask(admin, cutOff.DeviceID, cut.Seal)
	extend := func(actor flow.Actor, device string, add time.Duration, file bool) error {
		_, err := h.ExtendLease(t.Context(), actor, device, add, file, "")
		return err
	}
	for _, l := range []*laptop{never, cutOff, gone} {
		if err := extend(bob, l.DeviceID, 24*time.Hour, true); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", l.DeviceID, err)
		}
	}
	for what, err := range map[string]error{
		"a machine":   extend(flow.Actor{Name: "policy", Machine: true}, good.DeviceID, 24*time.Hour, true),
		"too long":    extend(bob, good.DeviceID, 32*24*time.Hour, true),
		"an odd code": extend(bob, good.DeviceID, 25*time.Hour, false),
		"nobody":      extend(bob, "dev_x", 24*time.Hour, true),
	} {
		if err == nil {
			t.Errorf("%s: was given", what)
		}
	}
	for range 4 {
		if err := extend(bob, good.DeviceID, time.Hour, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := extend(bob, good.DeviceID, time.Hour, true); !fault.Is(err, fault.Limited) {
		t.Errorf("a fifth within a day: %v", err)
	}
}

func TestAnExportIsForTheGroupsDevicesInGoodStandingAndDoesNotAddUp(t *testing.T) {
	h := newHarness(t)
	silent := h.enrol("silent")
	h.lease(silent.peer(t))
	h.advance(49 * time.Hour)
	good, cutOff := h.enrol("good"), h.enrol("cut")
	h.lease(good.peer(t))
	h.lease(cutOff.peer(t))
	h.ask(admin, cutOff.DeviceID, cut.Seal)
	var files []flow.ExportedFile
	export := func(add time.Duration) int {
		t.Helper()
		files = nil
		leftOut, err := h.ExportLeases(t.Context(), bob, "default", add, "outage", func(more []flow.ExportedFile) error {
			files = append(files, more...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return leftOut
	}
	lease := h.view(good.DeviceID).LeaseUntil
	for range 3 {
		if leftOut := export(48 * time.Hour); leftOut != 2 || len(files) != 1 || files[0].DeviceID != good.DeviceID {
			t.Fatalf("%d left out, files %+v", leftOut, files)
		}
		e := openExtension(t, h, files[0].File)
		if want := lease.Add(48 * time.Hour); !e.GetEndsAt().AsTime().Equal(want) || !h.grantedUntil(good).Equal(want) {
			t.Errorf("exported again and again it ends at %s, want %s", e.GetEndsAt().AsTime(), want)
		}
		if files[0].Name != extension.FileName(h.authority.TrustDomain(), good.DeviceID) || len(files[0].File) > extension.MaxFile {
			t.Errorf("the file is called %s", files[0].Name)
		}
	}
	if _, err := h.ExportLeases(t.Context(), bob, "default", 8*24*time.Hour, "", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("an export for eight days: %v", err)
	}
	if _, err := h.ExportLeases(t.Context(), bob, "nobody", time.Hour, "", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("an export for no group: %v", err)
	}
}
