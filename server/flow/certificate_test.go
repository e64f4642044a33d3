package flow_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
)

func TestACertificateThatWasRenewedStaysKnownUntilItEnds(t *testing.T) {
	h := newHarness(t)
	l, other := h.enrol("renews"), h.enrol("another")
	file := func(serial string, life time.Duration) *cutoffv1.Item {
		return &cutoffv1.Item{
			Id: "cert", Product: "step", Path: "~/.step/me.crt", ResidualUntil: timestamppb.New(h.Now().Add(life)),
			Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Action: "removed",
			Identifiers: []*cutoffv1.Identifier{
				{Kind: "x509-serial", Value: serial}, {Kind: "x509-subject", Value: "CN=me"}, {Kind: "x509-issuer", Value: "CN=ca"},
			},
		}
	}
	upload := func(l *laptop, items ...*cutoffv1.Item) {
		t.Helper()
		if err := h.OnInventory(t.Context(), l.peer(t), &cutoffv1.Inventory{Items: items}); err != nil {
			t.Fatal(err)
		}
	}
	upload(l, file("0a", time.Hour))
	upload(other, file("f0", 24*time.Hour))
	h.advance(30 * time.Minute)
	upload(l, file("0b", 24*time.Hour))
	c := h.ask(admin, l.DeviceID, cut.Seal)
	seen := func(wantAnswered bool, want ...string) {
		t.Helper()
		all, answered, err := h.SeenCertificates(t.Context(), c.ID, l.DeviceID)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range all {
			got = append(got, c.Serial)
		}
		if !slices.Equal(got, want) || answered != wantAnswered {
			t.Errorf("got %v, answered %v; want %v, %v", got, answered, want, wantAnswered)
		}
	}
	seen(false, "0a", "0b")

	// It renewed once more before it was cut: only its receipt knows that one.
	r := answerTo(h.collect(l))
	r.Items = []*cutoffv1.Item{file("0c", 24*time.Hour)}
	if refused := h.receipt(l, r); refused != "" {
		t.Fatal(refused)
	}
	seen(true, "0a", "0b", "0c")
	h.advance(time.Hour)
	seen(true, "0b", "0c")
	if _, answered, err := h.SeenCertificates(t.Context(), c.ID, other.DeviceID); err != nil || answered {
		t.Errorf("another device's answer counts: %v, %v", answered, err)
	}
}
