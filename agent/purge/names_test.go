package purge

import (
	"fmt"
	"strings"
	"testing"

	"cutoff/agent/purge/wire"
)

// A child is its user's, who may be hostile, and its names are kept for as long
// as the agent runs.
func TestAChildsNamesAreFewAndShort(t *testing.T) {
	many := map[string]string{}
	for i := range mostNames + 1 {
		many[fmt.Sprint(i)] = "x"
	}
	long := strings.Repeat("x", maxName+1)
	for _, c := range []struct {
		name  string
		names wire.Names
		want  bool
	}{
		{"none", wire.Names{Stamp: "1 2"}, true},
		{"what a provider says", wire.Names{Stamp: "1 2", Names: map[string]string{"github-login": "alice"}}, true},
		{"too many", wire.Names{Names: many}, false},
		{"a long name", wire.Names{Names: map[string]string{"a": long}}, false},
		{"a long kind", wire.Names{Names: map[string]string{long: "a"}}, false},
		{"a long stamp", wire.Names{Stamp: long}, false},
	} {
		if got := bounded(c.names); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
