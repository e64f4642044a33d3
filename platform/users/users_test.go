package users_test

import (
	"os"
	"path/filepath"
	"testing"

	"cutoff/platform/platformtest"
	"cutoff/platform/users"
)

func TestUsersOfATrialRootAreThoseWithAHomeInIt(t *testing.T) {
	r := platformtest.NewRoot(t, platformtest.Users()...)
	passwd, err := os.ReadFile(r.Path("/etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	odd := string(passwd) + "# comment\nnobody:x:65534:65534::/nonexistent:/bin/false\nbroken:x:1\nminus:x:-1:0::/home/alice:/bin/sh\ndaemon:x:1:1::/etc:/bin/false\nrelative:x:2:2::home:/bin/sh\n+nis\n"
	if err := os.WriteFile(r.Path("/etc/passwd"), []byte(odd), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Path("/etc/group"), []byte("docker:x:999:alice,bob\nbad\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := users.List(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]users.User{}
	for _, u := range all {
		got[u.Name] = u
	}
	if len(all) != len(platformtest.Users())+1 {
		t.Errorf("got %v", all)
	}
	if u := got["alice"]; u.Home != "/home/alice" || len(u.Groups) != 1 || u.Groups[0] != 999 || !u.OwnsHome {
		t.Errorf("alice is %+v", u)
	}
	if u, ok := got["daemon"]; !ok || u.OwnsHome && os.Geteuid() == 0 {
		t.Errorf("daemon is %+v", u)
	}
	if os.Geteuid() == 0 && (all[0].Name != "alice" || all[len(all)-1].Name != "daemon") {
		t.Errorf("people do not come first: %v", all)
	}
}

func TestAHomeThatIsALinkOutOfTheRootStaysInIt(t *testing.T) {
	r := platformtest.NewRoot(t)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Link(platformtest.User{}, "/home/eve", outside)
	if err := os.WriteFile(r.Path("/etc/passwd"), []byte("eve:x:41009:41009::/home/eve:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := users.List(r.Dir)
	if err != nil || len(all) != 0 {
		t.Errorf("got %v, %v: a home outside the trial root", all, err)
	}
}

func TestWhoMaySearchAFolder(t *testing.T) {
	u := users.User{UID: 5, GID: 6, Groups: []uint32{7}}
	for _, c := range []struct {
		s    users.Search
		want bool
	}{
		{users.Search{UID: 5, Mode: 0o100}, true}, {users.Search{UID: 5, Mode: 0o011}, false}, {users.Search{GID: 6, Mode: 0o010}, true},
		{users.Search{GID: 7, Mode: 0o101}, false}, {users.Search{Mode: 0o001}, true}, {users.Search{Mode: 0o770}, false},
	} {
		if got := u.Searchable(c.s); got != c.want {
			t.Errorf("%+v: got %t", c.s, got)
		}
	}
	if !(users.User{}).Searchable(users.Search{UID: 5}) {
		t.Error("root may not search a folder")
	}
}
