package person_test

import (
	"testing"

	"cutoff/server/person"
)

func TestAnEmailAddressNamesAPersonInLowerCase(t *testing.T) {
	got, err := person.Email(" Ada.Lovelace@Example.COM ")
	if err != nil || got != "ada.lovelace@example.com" {
		t.Fatalf("got %q, %v", got, err)
	}
	for _, bad := range []string{"", "ada", "Ada <ada@example.com>", "ada@example.com, bob@example.com", "ada@", "@example.com"} {
		if got, err := person.Email(bad); err == nil {
			t.Errorf("%q was taken as %q", bad, got)
		}
	}
}
