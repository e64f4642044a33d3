package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cutoff/server/fault"
	"cutoff/server/operator"
)

var start = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// cheap is a cost for tests.
var cheap = operator.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}

func TestAPasswordIsCheckedAgainstItsHash(t *testing.T) {
	h := operator.NewHasher(cheap)
	hash, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil || again == hash || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(hash, "horse") {
		t.Errorf("hashes %s and %s, %v", hash, again, err)
	}
	cases := []struct {
		name, hash, password string
		want                 bool
	}{
		{"the password", hash, "correct horse battery", true},
		{"another", hash, "correct horse batterz", false},
		{"none", hash, "", false},
		{"an account that is not there", "", "correct horse battery", false},
	}
	for _, c := range cases {
		// A hasher that hashes at another cost checks all the same.
		if got, err := operator.NewHasher(operator.Cost{MemoryKiB: 128, Passes: 2, Lanes: 2}).Check(t.Context(), c.hash, c.password); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
	}
}

func TestADamagedHashIsAnErrorAndSpendsNothing(t *testing.T) {
	h := operator.NewHasher(cheap)
	for _, bad := range []string{
		"x", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vtcw", "$argon2id$v=19$m=0,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vtcw",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vtcw", "$argon2id$v=19$m=64,t=1,p=1$$c3Vtc3Vtc3Vtc3Vtc3Vtcw",
		"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$",
	} {
		if ok, err := h.Check(t.Context(), bad, "anything at all"); ok || err == nil {
			t.Errorf("%s: got %v, %v", bad, ok, err)
		}
	}
}

func TestHashesWaitForEachOtherAndGiveUpWithTheirCaller(t *testing.T) {
	h := operator.NewHasher(operator.Cost{MemoryKiB: 8 << 10, Passes: 1, Lanes: 1})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := h.Hash(context.Background(), "correct horse battery"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused := 0
	for range 50 {
		if _, err := h.Hash(gone, "correct horse battery"); errors.Is(err, context.Canceled) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("a caller that has gone is still hashed for")
	}
}

func TestNamesPasswordsAndRolesAreChecked(t *testing.T) {
	for name, ok := range map[string]bool{
		"alice": true, "a.b-c_d@example.com": true, "": false, "Alice": false, "1st": false, "api:x": false, "local": false,
		"policy": false, "a b": false, strings.Repeat("a", 65): false, "ålice": false, "a\n": false,
	} {
		if err := operator.CheckName(name); (err == nil) != ok || (err != nil && !fault.Is(err, fault.Invalid)) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for password, ok := range map[string]bool{
		"correct horse battery": true, "pässwörter!!": true, "short": false, "aaaaaaaaaaaaaaaa": false, "": false,
		strings.Repeat("ab", 600): false, "alice.smith.alice.smith.": false, "twelve chars\xff": false,
	} {
		if err := operator.CheckPassword("alice.smith.", password); (err == nil) != ok {
			t.Errorf("password %q: %v", password, err)
		}
	}
	for role, ok := range map[string]bool{"admin": true, "operator": true, "viewer": true, "": false, "root": false} {
		if err := operator.CheckRole(role); (err == nil) != ok {
			t.Errorf("role %q: %v", role, err)
		}
	}
}

func TestASessionEndsByItselfIdleOrOld(t *testing.T) {
	s := operator.Session{CreatedAt: start, SeenAt: start}
	cases := []struct {
		name string
		seen time.Duration
		now  time.Duration
		want bool
	}{
		{"new", 0, 0, true},
		{"used a while ago", 0, 59 * time.Minute, true},
		{"idle", 0, time.Hour, false},
		{"in use all day", 11 * time.Hour, 11*time.Hour + 30*time.Minute, true},
		{"in use for too long", 12*time.Hour - time.Minute, 12 * time.Hour, false},
		{"begun in a future the clock left", 0, -2 * time.Hour, false},
	}
	for _, c := range cases {
		s.SeenAt = start.Add(c.seen)
		if got := s.Live(start.Add(c.now)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestASetupCodeIsTypedInAnyShape(t *testing.T) {
	code := operator.NewSetupCode()
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + "\n"} {
		if got := operator.PlainSetupCode(typed); got != code {
			t.Errorf("%q: got %q, want %q", typed, got, code)
		}
	}
	if operator.PlainSetupCode(code[:20]) != "" || operator.PlainSetupCode("") != "" {
		t.Error("a part of the code is a code")
	}
	first, second := operator.NewSecret(), operator.NewSecret()
	if operator.NewSetupCode() == code || first == second {
		t.Error("the same twice")
	}
	c := operator.SetupCode{Hash: operator.HashOf(code), ExpiresAt: start.Add(operator.SetupLife)}
	if !c.Live(start) || c.Live(start.Add(time.Hour)) || c.Live(start.Add(-time.Hour)) || (&operator.SetupCode{}).Live(start) {
		t.Error("a setup code holds for an hour, from when it was drawn")
	}
}

func TestOneSourceThatGuessesIsSlowedDown(t *testing.T) {
	var a operator.Attempts
	now := start
	tried := 0
	for range 100 {
		if ok, wait := a.Allow("alice", "198.51.100.1", now); ok {
			tried++
		} else if wait <= 0 || wait > time.Minute {
			t.Fatalf("refused with a wait of %s", wait)
		}
	}
	if tried != 5 {
		t.Errorf("%d tries at once, want 5", tried)
	}
	if ok, _ := a.Allow("bob", "198.51.100.1", now); !ok {
		t.Error("the same source may not try another account")
	}
	if ok, _ := a.Allow("alice", "203.0.113.9", now); !ok {
		t.Error("another source may not try the account")
	}
	if ok, _ := a.Allow("alice", "198.51.100.1", now.Add(30*time.Second)); !ok {
		t.Error("a try does not come back with time")
	}
	spray := 0
	for i := range 100 {
		if ok, _ := a.Allow(fmt.Sprint("user", i), "192.0.2.1", now); ok {
			spray++
		}
	}
	if spray != 20 {
		t.Errorf("%d accounts tried at once from one source, want 20", spray)
	}
}

func TestGuessingFromEverywhereDoesNotLockTheOwnerOut(t *testing.T) {
	var a operator.Attempts
	const home = "192.0.2.50"
	if ok, _ := a.Allow("alice", home, start); !ok {
		t.Fatal("the owner's first login is refused")
	}
	a.Succeeded("alice", home, start)
	now := start.Add(time.Hour)
	tried := 0
	for i := range 1000 {
		if ok, _ := a.Allow("alice", fmt.Sprintf("198.51.%d.%d", i/250, i%250), now); ok {
			tried++
		}
	}
	if tried != 50 {
		t.Errorf("%d tries from strangers at once, want 50", tried)
	}
	if ok, _ := a.Allow("alice", home, now); !ok {
		t.Error("the owner is locked out")
	}
	if ok, _ := a.Allow("bob", "203.0.113.1", now); !ok {
		t.Error("another account is locked out")
	}
}

func TestManySourcesDoNotFillMemory(t *testing.T) {
	var a operator.Attempts
	for i := range 60_000 {
		a.Allow(fmt.Sprint("user", i), fmt.Sprint("source", i), start.Add(time.Duration(i)*time.Millisecond))
	}
	if n := a.Tracked(); n > 3*20_100 {
		t.Errorf("%d buckets are kept", n)
	}
}
