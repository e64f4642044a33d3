package secrets_test

import (
	"testing"

	"cutoff/platform/secrets"
)

func TestAnItemMatchesByEveryAttribute(t *testing.T) {
	item := secrets.Item{Collection: "granted_2daws", Label: "Docker Credentials", Attributes: map[string]string{"service": "gh:github.com", "username": "alice"}}
	for _, c := range []struct {
		match map[string]string
		want  bool
	}{
		{map[string]string{"service": "gh:*"}, true},
		{map[string]string{"service": "gh:github.com", "username": "alice"}, true},
		{map[string]string{"service": "gh:*", "username": "bob"}, false},
		{map[string]string{"application": "x"}, false},
		{map[string]string{"application": "*"}, false},
		{map[string]string{"label": "Docker Credentials"}, true},
		{map[string]string{"service": "*github*"}, true},
		{map[string]string{"service": "*:gitlab*"}, false},
		{map[string]string{"service": "gh:*:github.com"}, false},
		{map[string]string{"collection": "granted-aws"}, true},
		{map[string]string{"collection": "login"}, false},
		{map[string]string{}, false},
		{nil, false},
	} {
		if got := item.Matches(c.match); got != c.want {
			t.Errorf("%v: got %t", c.match, got)
		}
	}
}
