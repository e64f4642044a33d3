package flow_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

func TestAnInventoryReplacesTheLastOne(t *testing.T) {
	h := newHarness(t)
	l, other := h.enrol("inventory"), h.enrol("another")
	until := h.Now().Add(time.Hour)
	key := &cutoffv1.Item{
		Id: "i1", Product: "aws", User: "ada", Path: "~/.aws/credentials [default]", Regain: "none",
		ResidualUntil: timestamppb.New(until),
		Identifiers:   []*cutoffv1.Identifier{{Kind: "aws-access-key-id", Value: "AKIAEXAMPLE"}},
	}
	file := &cutoffv1.Item{Id: "i2", Product: "ssh", User: "ada", Path: "~/.ssh/id_ed25519"}
	upload := func(l *laptop, items ...*cutoffv1.Item) {
		t.Helper()
		if err := h.OnInventory(t.Context(), l.peer(t), &cutoffv1.Inventory{Items: items}); err != nil {
			t.Fatal(err)
		}
	}
	upload(l, key, file, file)
	upload(other, file)
	first := h.view(l.DeviceID)
	if len(first.Credentials) != 2 || !first.InventoryAt.Equal(h.Now()) {
		t.Fatalf("credentials %+v", first.Credentials)
	}
	aws := first.Credentials[0]
	if aws.Product != "aws" || aws.Identifiers[0].Value != "AKIAEXAMPLE" || !aws.ExpiresAt.Equal(until) || aws.Held || aws.Regain != "none" {
		t.Fatalf("credential %+v", aws)
	}
	h.advance(time.Minute)
	upload(l, key)
	second := h.view(l.DeviceID)
	if len(second.Credentials) != 1 || second.Credentials[0].ID != aws.ID || !second.Credentials[0].SeenAt.Equal(h.Now()) {
		t.Fatalf("credentials %+v", second.Credentials)
	}
	if v := h.view(other.DeviceID); len(v.Credentials) != 1 {
		t.Fatalf("another device's credentials %+v", v.Credentials)
	}
}

func TestAnInventoryBeyondItsBoundsIsRefusedWhole(t *testing.T) {
	h := newHarness(t)
	l := h.enrol("bounds")
	many := make([]*cutoffv1.Item, 20_001)
	for i := range many {
		many[i] = &cutoffv1.Item{Id: strconv.Itoa(i)}
	}
	long := strings.Repeat("x", 5000)
	for name, items := range map[string][]*cutoffv1.Item{
		"too many items":       many,
		"an item without id":   {{Product: "aws"}},
		"an endless path":      {{Id: "i", Path: long}},
		"an endless id":        {{Id: long}},
		"too many identifiers": {{Id: "i", Identifiers: make([]*cutoffv1.Identifier, 65)}},
	} {
		err := h.OnInventory(t.Context(), l.peer(t), &cutoffv1.Inventory{Items: items})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v := h.view(l.DeviceID); len(v.Credentials) != 0 || !v.InventoryAt.IsZero() {
		t.Fatalf("something was kept: %+v", v.Credentials)
	}
}
