package enroll_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"cutoff/agent/enroll"
)

func text(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func token(domain string, pin, secret int) string {
	return "cutoff1." + text([]byte(domain)) + "." + text(make([]byte, pin)) + "." + text(make([]byte, secret))
}

func TestATokenIsReadAndABrokenOneIsNotRepeated(t *testing.T) {
	got, err := enroll.ParseToken(" " + token("cutoff.example", 32, 32) + "\n")
	if err != nil || got.TrustDomain != "cutoff.example" {
		t.Fatalf("got %+v, %v", got, err)
	}
	good := token("cutoff.example", 32, 32)
	for name, bad := range map[string]string{
		"empty": "", "another version": "cutoff2" + good[7:], "three parts": good[:strings.LastIndexByte(good, '.')],
		"five parts": good + ".x", "a short secret": token("a", 32, 31), "a long pin": token("a", 33, 32),
		"no domain": token("", 32, 32), "a slash in the domain": token("a/b", 32, 32), "padding": good + "=",
		"upper case in the domain": token("A", 32, 32), "megabytes": strings.Repeat("x", 1<<20),
	} {
		_, err := enroll.ParseToken(bad)
		if !errors.Is(err, enroll.ErrToken) {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
}
