package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cutoff/agent/config"
)

func TestAddressesAreReadInTheirOrderEachOnce(t *testing.T) {
	got := config.Addresses(" a.example:1, b.example:2,a.example:1,[::1]:3,nothing,x:, ")
	if want := []string{"a.example:1", "b.example:2", "[::1]:3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := config.Known(got, []string{"b.example:2", "c.example:4"}); len(got) != 4 || got[3] != "c.example:4" {
		t.Errorf("got %q", got)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("h:%d", i+1))
	}
	if got := config.Addresses(strings.Join(many, ",")); len(got) != 16 {
		t.Errorf("%d addresses are tried in turn", len(got))
	}
}
