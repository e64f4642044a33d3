package flow_test

import (
	"strings"
	"testing"
	"time"

	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/operator"
)

const (
	password = "correct horse battery"
	home     = "192.0.2.7"
)

// user makes an account.
func (h *harness) user(name, role string) {
	h.t.Helper()
	if _, err := h.CreateUser(h.t.Context(), flow.LocalActor(0), name, password, role); err != nil {
		h.t.Fatal(err)
	}
}

func TestTheFirstAdminIsMadeWithTheSetupCodeOnce(t *testing.T) {
	h := newHarness(t)
	code, err := h.SetupCode(t.Context(), false)
	if err != nil || code == "" {
		t.Fatalf("got %q, %v", code, err)
	}
	h.notStored(code)
	if again, err := h.SetupCode(t.Context(), true); again != "" || err != nil {
		t.Errorf("a second start with the code at hand: got %q, %v", again, err)
	}
	if pending, err := h.SetupPending(t.Context()); !pending || err != nil {
		t.Errorf("pending: got %v, %v", pending, err)
	}
	mustFail(t, h.Setup(t.Context(), "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF", "alice", password), fault.Unauthenticated, "setup code")
	mustFail(t, h.Setup(t.Context(), "", "alice", password), fault.Unauthenticated, "setup code")
	mustFail(t, h.Setup(t.Context(), code, "alice", "short"), fault.Invalid, "password")
	mustFail(t, h.Setup(t.Context(), code, "Alice", password), fault.Invalid, "name")
	if err := h.Setup(t.Context(), strings.ToLower(code)+"\n", "alice", password); err != nil {
		t.Fatal(err)
	}
	mustFail(t, h.Setup(t.Context(), code, "mallory", password), fault.Unauthenticated, "setup code")
	users, err := h.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].Name != "alice" || users[0].Role != operator.Admin {
		t.Errorf("got %+v, %v", users, err)
	}
	if code, err := h.SetupCode(t.Context(), false); code != "" || err != nil {
		t.Errorf("a start with an account: got %q, %v", code, err)
	}
	if pending, err := h.SetupPending(t.Context()); pending || err != nil {
		t.Errorf("pending: got %v, %v", pending, err)
	}
	if _, err := h.Login(t.Context(), "alice", password, home); err != nil {
		t.Error(err)
	}
}

func TestASetupCodeThatExpiredOrGotLostIsReplaced(t *testing.T) {
	h := newHarness(t)
	first, err := h.SetupCode(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.SetupCode(t.Context(), false)
	if err != nil || second == "" || second == first {
		t.Fatalf("without the file: got %q, %v", second, err)
	}
	mustFail(t, h.Setup(t.Context(), first, "alice", password), fault.Unauthenticated, "setup code")
	h.advance(operator.SetupLife)
	mustFail(t, h.Setup(t.Context(), second, "alice", password), fault.Unauthenticated, "setup code")
	third, err := h.SetupCode(t.Context(), true)
	if err != nil || third == "" {
		t.Fatalf("an hour later: got %q, %v", third, err)
	}
	if err := h.Setup(t.Context(), third, "alice", password); err != nil {
		t.Error(err)
	}
}

func TestAnAccountMadeAtTheSocketEndsTheSetup(t *testing.T) {
	h := newHarness(t)
	code, err := h.SetupCode(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	h.user("bob", operator.Viewer)
	mustFail(t, h.Setup(t.Context(), code, "mallory", password), fault.Unauthenticated, "setup code")
}

func TestALoginStartsASessionThatEnds(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Operator)
	token, err := h.Login(t.Context(), "alice", password, home)
	if err != nil {
		t.Fatal(err)
	}
	h.notStored(token)
	h.notStored(password)
	want := flow.Actor{Name: "alice", Person: "alice", Role: operator.Operator}
	actor, err := h.Session(t.Context(), token)
	if err != nil || actor != want {
		t.Errorf("got %+v, %v", actor, err)
	}
	for _, other := range []string{"", token + "x", operator.NewSecret()} {
		if _, err := h.Session(t.Context(), other); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%q: got %v", other, err)
		}
	}
	// Use keeps it alive, up to the end of the day.
	for range 23 {
		h.advance(30 * time.Minute)
		if _, err := h.Session(t.Context(), token); err != nil {
			t.Fatalf("in use at %s: %v", h.Now(), err)
		}
	}
	h.advance(30 * time.Minute)
	if _, err := h.Session(t.Context(), token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after twelve hours: got %v", err)
	}
	idle, err := h.Login(t.Context(), "alice", password, home)
	if err != nil {
		t.Fatal(err)
	}
	h.advance(operator.SessionIdle)
	if _, err := h.Session(t.Context(), idle); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("idle: got %v", err)
	}
	out, err := h.Login(t.Context(), "alice", password, home)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Logout(t.Context(), out); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Session(t.Context(), out); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("logged out: got %v", err)
	}
}

func TestAWrongNameAndAWrongPasswordAreAnsweredAlike(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Admin)
	_, wrong := h.Login(t.Context(), "alice", "not the password", home)
	_, nobody := h.Login(t.Context(), "nobody", password, home)
	_, long := h.Login(t.Context(), "alice", strings.Repeat("x", 1<<20), home)
	for _, err := range []error{wrong, nobody, long} {
		if !fault.Is(err, fault.Unauthenticated) || err.Error() != wrong.Error() {
			t.Errorf("got %v, want %v", err, wrong)
		}
	}
}

func TestGuessingAPasswordIsSlowedDownForTheGuesserOnly(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Admin)
	var err error
	for range 6 {
		_, err = h.Login(t.Context(), "alice", "not the password", "198.51.100.1")
	}
	mustFail(t, err, fault.Limited, "too many attempts")
	if _, err := h.Login(t.Context(), "alice", password, "198.51.100.1"); !fault.Is(err, fault.Limited) {
		t.Errorf("the guesser with the right password: %v", err)
	}
	if _, err := h.Login(t.Context(), "alice", password, home); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

func TestRemovingAnAccountEndsItsSessionsAtOnce(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Admin)
	h.user("bob", operator.Admin)
	token, err := h.Login(t.Context(), "bob", password, home)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RemoveUser(t.Context(), admin, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Session(t.Context(), token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("got %v", err)
	}
	mustFail(t, h.RemoveUser(t.Context(), admin, "bob"), fault.NotFound, "account")
	mustFail(t, h.RemoveUser(t.Context(), admin, "alice"), fault.Conflict, "last admin")
	if err := h.RemoveUser(t.Context(), flow.LocalActor(0), "alice"); err != nil {
		t.Errorf("the last admin, at the socket: %v", err)
	}
	if _, err := h.CreateUser(t.Context(), admin, "carol", password, "root"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a role that is none: %v", err)
	}
	h.user("carol", operator.Viewer)
	if _, err := h.CreateUser(t.Context(), admin, "carol", password, operator.Viewer); !fault.Is(err, fault.Conflict) {
		t.Errorf("a name twice: %v", err)
	}
}

func TestAnAPIKeyActsForThePersonWhoMadeIt(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Admin)
	key, err := h.CreateAPIKey(t.Context(), admin, "ci", operator.Operator, time.Hour)
	if err != nil || !strings.HasPrefix(key, "cutoff_key_") {
		t.Fatalf("got %q, %v", key, err)
	}
	h.notStored(key)
	actor, err := h.APIKey(t.Context(), key+"\n")
	if want := (flow.Actor{Name: "api:ci", Person: "alice", Role: operator.Operator}); err != nil || actor != want {
		t.Errorf("got %+v, %v; want %+v", actor, err, want)
	}
	if _, err := h.APIKey(t.Context(), key[:len(key)-1]); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a part of it: %v", err)
	}
	h.advance(time.Hour)
	_, err = h.APIKey(t.Context(), key)
	mustFail(t, err, fault.Unauthenticated, "expired")
	if _, err := h.CreateAPIKey(t.Context(), admin, "ci", operator.Operator, 0); err != nil {
		t.Errorf("the name of an expired key: %v", err)
	}
	for _, life := range []time.Duration{time.Second, -time.Hour, 400 * 24 * time.Hour} {
		if _, err := h.CreateAPIKey(t.Context(), admin, "other", operator.Viewer, life); !fault.Is(err, fault.Invalid) {
			t.Errorf("a life of %s: %v", life, err)
		}
	}
	local, err := h.CreateAPIKey(t.Context(), flow.LocalActor(1000), "cron", operator.Viewer, 0)
	if err != nil {
		t.Fatal(err)
	}
	if actor, err := h.APIKey(t.Context(), local); err != nil || actor.Person != operator.Local {
		t.Errorf("made at the socket: got %+v, %v", actor, err)
	}
}

func TestRemovingAnAccountRevokesTheKeysItMade(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Admin)
	h.user("bob", operator.Admin)
	bob := flow.Actor{Name: "bob", Person: "bob", Role: operator.Admin}
	make := func(actor flow.Actor, name string) string {
		t.Helper()
		key, err := h.CreateAPIKey(t.Context(), actor, name, operator.Admin, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := make(bob, "bobs")
	// A key made with a key is its maker's as well.
	actor, err := h.APIKey(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	second, alices := make(actor, "bobs-second"), make(admin, "alices")
	if err := h.RemoveUser(t.Context(), admin, "bob"); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{"his": first, "his by a key": second} {
		if _, err := h.APIKey(t.Context(), key); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a key that is %s: got %v", name, err)
		}
	}
	if _, err := h.APIKey(t.Context(), alices); err != nil {
		t.Errorf("another's key: %v", err)
	}
	revoked := 0
	for _, kind := range h.recorded("") {
		if kind == "api-key.revoked" {
			revoked++
		}
	}
	if revoked != 2 {
		t.Errorf("evidence names %d keys, want 2", revoked)
	}
}

func TestAKeyWithoutItsMakerIsRefused(t *testing.T) {
	h := newHarness(t)
	h.user("alice", operator.Admin)
	key, err := h.CreateAPIKey(t.Context(), admin, "ci", operator.Admin, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	// As a release left it that removed the account only.
	h.sql("DELETE FROM operators")
	_, err = h.APIKey(t.Context(), key)
	mustFail(t, err, fault.Unauthenticated, "revoked")
	h.advance(time.Minute)
	h.user("alice", operator.Viewer)
	_, err = h.APIKey(t.Context(), key)
	mustFail(t, err, fault.Unauthenticated, "revoked")
}

func TestAKeyIsListedAndRevokedByNameOrID(t *testing.T) {
	h := newHarness(t)
	local := flow.LocalActor(0)
	for _, by := range []string{"name", "id"} {
		key, err := h.CreateAPIKey(t.Context(), local, "ci", operator.Viewer, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		all, err := h.APIKeys(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != "ci" {
			t.Fatalf("got %+v, %v", all, err)
		}
		name := "ci"
		if by == "id" {
			name = all[0].ID()
		}
		if k, err := h.RevokeAPIKey(t.Context(), local, name); err != nil || k.Name != "ci" {
			t.Fatalf("by %s: got %+v, %v", by, k, err)
		}
		if _, err := h.APIKey(t.Context(), key); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("by %s: it is still good: %v", by, err)
		}
		_, err = h.RevokeAPIKey(t.Context(), local, name)
		mustFail(t, err, fault.NotFound, "API key")
	}
}
