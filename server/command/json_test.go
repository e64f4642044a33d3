package command

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what --json prints with a file that scripts rely on.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	var out bytes.Buffer
	c := &cli{Env: Env{Out: &out}}
	if err := c.document(v); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, out.Bytes(), want)
	}
}

func at(seconds int64) *timestamppb.Timestamp {
	return timestamppb.New(time.Unix(1_790_000_000+seconds, 0))
}

func fullCut() *cutoffv1.Cut {
	return &cutoffv1.Cut{
		CutId: "cut_a", CaseId: "case_a", DeviceId: "dev_a", Level: "seal", State: "open", Reason: "lost <on> a & train",
		Exposure: "2026-11-24T03:00:00Z", Cause: "operator", Actor: "alice", OpenedAt: at(0), OrderState: "delivered",
		OrderDeliveredAt: at(1), FirstRemovedMs: 26,
		Items: []*cutoffv1.CutItem{{
			Id: "itm_a", Product: "aws", User: "alice", Path: "/home/alice/.aws/credentials", Action: "delete",
			Outcome: "verified", Detail: "sealed", ResidualUntil: "unbounded", Sealed: true, Regain: "none",
			Identifiers: []*cutoffv1.Identifier{{Kind: "aws-access-key-id", Value: "AKIA"}},
		}},
		Steps: []*cutoffv1.CutStep{{
			Id: "stp_a", Connector: "sso", Target: "alice", Outcome: "retrying", ResidualUntil: "none", Undo: "sign-in",
			State: "planned", Action: "sessions", Scope: "sessions", DueAt: at(5),
		}},
	}
}

func TestJSONOfACutIsStable(t *testing.T) {
	golden(t, "cut.json", result{caseID: "case_a", cuts: []*cutoffv1.Cut{fullCut()}}.document())
}

func TestJSONOfACaseIsItsCuts(t *testing.T) {
	golden(t, "case.json", result{caseID: "case_a", several: true, cuts: []*cutoffv1.Cut{{CutId: "cut_a", CaseId: "case_a"}}}.document())
}

func TestJSONOfADeviceNeverHeardOfHasNullTimes(t *testing.T) {
	golden(t, "device.json", plain(&cutoffv1.Device{
		DeviceId: "dev_a", Hostname: "laptop-7", Group: "default", State: "trusted", EnrolledAt: at(0),
		Posture: []*cutoffv1.PostureFact{{Name: "serial", Reason: "no DMI"}},
	}))
}

func TestACutIsOverWhenItsReceiptIsStoredAndNoStepIsDue(t *testing.T) {
	cut := fullCut()
	if cutOver(cut) {
		t.Error("over before the receipt")
	}
	cut.ReceiptAt, cut.OrderState = at(2), "done"
	if cutOver(cut) {
		t.Error("over although a step is due")
	}
	cut.Steps[0].DueAt = nil
	if !cutOver(cut) {
		t.Error("not over although nothing is due")
	}
	if proved(cut) == "" {
		t.Error("proved although a step is retrying")
	}
	cut.Steps[0].Outcome = "accepted"
	if missing := proved(cut); missing != "" {
		t.Errorf("not proved: %s", missing)
	}
	// An escalation drafts a new order: the old receipt does not answer it.
	cut.OrderState = "drafted"
	if cutOver(cut) {
		t.Error("over although the device owes an answer")
	}
	for _, state := range []string{"held", "refused", "lapsed"} {
		if c := (&cutoffv1.Cut{State: state, DeviceId: "dev_a"}); !cutOver(c) || proved(c) == "" {
			t.Errorf("%s: over %v, missing %q; want over and not proved", state, cutOver(c), proved(c))
		}
	}
}

func TestDurationsTakeDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "48h": 48 * time.Hour, "14d": 14 * 24 * time.Hour, "1h30m": 90 * time.Minute,
	} {
		if got, err := parseSpan(text); err != nil || got != want {
			t.Errorf("parseSpan(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "0s", "1.5d", "ten"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("parseSpan(%q) = %v, want an error", text, got)
		}
	}
	for ms, want := range map[int64]string{0: "off", 1000: "1s", 3_600_000: "1h", 172_800_000: "2d", 5_400_000: "1h30m", 300_000: "5m"} {
		if got := span(ms); got != want {
			t.Errorf("span(%d) = %q, want %q", ms, got, want)
		}
	}
}

func TestWhatADeviceSaysCannotSteerATerminal(t *testing.T) {
	if got, want := clean("a\x1b[31mb\r\nc\u202e"), "a [31mb  c "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
