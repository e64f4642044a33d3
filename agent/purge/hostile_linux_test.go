package purge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// hostile fills alice's home with traps around what belongs to others, and
// returns the folder that nothing may touch.
func hostile(t *testing.T, b *bench, u platformtest.User) string {
	t.Helper()
	r := b.root
	other := platformtest.User{Home: ""}
	outside := r.Path("/srv")
	for name, content := range map[string]string{"/srv/credentials": "root's own", "/srv/config.json": `{"auths":{"x":{"auth":"rootsecret"}}}`,
		"/srv/aws/credentials": "root's", "/srv/aws/config": "root's", "/srv/deep/key": pemKey} {
		r.File(other, name, content)
	}
	home := u.Home
	r.Link(u, home+"/.aws", "/srv/aws")                                 // a folder that leads out
	r.Link(u, home+"/.docker/config.json", "../../../srv/config.json")  // a file that leads out
	r.Link(u, home+"/.git-credentials", outside+"/credentials")         // by the machine's own path
	r.Link(u, home+"/.vault-token", "/nowhere")                         // dangling
	r.Link(u, home+"/.pgpass", home+"/.pgpass")                         // round in circles
	r.Link(u, home+"/.config/gh/hosts.yml", home+"/dotfiles/hosts.yml") // a legitimate one
	r.File(u, home+"/dotfiles/hosts.yml", "github.com:\n    oauth_token: "+secret+"\n    user: alice\n")
	r.Folder(u, home+"/.cargo", 0o755)
	fifo(t, r, u, home+"/.cargo/credentials.toml")
	fifo(t, r, u, home+"/.netrc")
	return outside
}

func fifo(t *testing.T, r *platformtest.Root, u platformtest.User, name string) {
	t.Helper()
	if err := syscall.Mkfifo(r.Path(name), 0o666); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(r.Path(name), u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAHostileHomeHarmsNothingOutsideIt(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	outside := hostile(t, b, u)
	before := platformtest.Take(t, outside)
	r := b.purge()
	if diff := before.Diff(platformtest.Take(t, outside)); len(diff) > 0 {
		t.Fatalf("harm outside:\n%s", strings.Join(diff, "\n"))
	}
	want(t, at(t, r.Items, u.Home+"/.aws"), "left", blocked, "link-outside")
	want(t, at(t, r.Items, u.Home+"/.docker/config.json"), "delete", blocked, "link-outside")
	want(t, at(t, r.Items, u.Home+"/.git-credentials"), "delete", blocked, "link-outside")
	want(t, at(t, r.Items, u.Home+"/.pgpass"), "delete", blocked, "link-outside")
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "left", verified, "dangling-link")
	want(t, at(t, r.Items, u.Home+"/.cargo/credentials.toml"), "left", verified, "fifo")
	want(t, at(t, r.Items, u.Home+"/.netrc"), "left", verified, "fifo")
	want(t, at(t, r.Items, u.Home+"/dotfiles/hosts.yml"), "edit", verified, "edited")
	if _, err := os.Lstat(b.root.Path(u.Home + "/.aws")); err != nil {
		t.Errorf("a folder that leads out was taken away: %v", err)
	}
	noSecretBelow(t, b.root.Path(u.Home))
}

func TestASealLeavesLinksThatLeadOut(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	outside := hostile(t, b, u)
	before := platformtest.Take(t, outside)
	r := b.seal()
	if diff := before.Diff(platformtest.Take(t, outside)); len(diff) > 0 {
		t.Fatalf("harm outside:\n%s", strings.Join(diff, "\n"))
	}
	want(t, at(t, r.Items, u.Home+"/.docker/config.json"), "left", blocked, "link-outside")
	if _, err := os.Lstat(b.root.Path(u.Home + "/.docker/config.json")); err != nil {
		t.Errorf("a seal unlinked a link: %v", err)
	}
}

func TestHardLinksAreUnlinkedAndNeverEdited(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.docker/config.json", `{"auths":{"x":{"auth":"`+secret+`"}}}`)
	elsewhere := b.root.Path("/srv/kept.json")
	b.root.Folder(platformtest.User{}, "/srv", 0o755)
	if err := os.Link(b.root.Path(u.Home+"/.docker/config.json"), elsewhere); err != nil {
		t.Fatal(err)
	}
	before := platformtest.Take(t, b.root.Path("/srv"))
	r := b.purge()
	want(t, at(t, r.Items, u.Home+"/.docker/config.json"), "delete", blocked, "other-hard-link")
	data, err := os.ReadFile(elsewhere)
	if err != nil || !strings.Contains(string(data), secret) {
		t.Errorf("the other name's content changed: %q, %v", data, err)
	}
	if diff := before.Diff(platformtest.Take(t, b.root.Path("/srv"))); len(diff) > 0 {
		t.Errorf("harm outside:\n%s", strings.Join(diff, "\n"))
	}
	if _, err := os.Stat(b.root.Path(u.Home + "/.docker/config.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name in the home is still there: %v", err)
	}
}

func TestAPurgeAfterASealImprovesNothingThatAnotherNameHolds(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := b.root.File(u, u.Home+"/.vault-token", secret)
	elsewhere := b.root.Path(u.Home + "/kept")
	if err := os.Link(path, elsewhere); err != nil {
		t.Fatal(err)
	}
	sealed := at(t, b.seal().Items, u.Home+"/.vault-token")
	want(t, sealed, "delete", blocked, "other-hard-link")
	i := at(t, b.purge().Items, u.Home+"/.vault-token")
	want(t, i, "delete", blocked, "other-hard-link")
	if i.GetSealed() {
		t.Error("a destroyed copy is shown as sealed")
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Errorf("the other name: %v", err)
	}
}

func TestRootsFilesInAHomeAreUnlinkedAtMost(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	r := b.root
	r.Folder(u, u.Home+"/.aws", 0o755)
	victim := r.File(platformtest.User{}, "/srv/shadow", "root:$6$hash")
	if err := os.Link(victim, r.Path(u.Home+"/.aws/credentials")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Path(u.Home+"/.npmrc"), []byte("//r/:_authToken="+secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := platformtest.Take(t, r.Path("/srv"))
	done := b.purge()
	want(t, at(t, done.Items, u.Home+"/.aws/credentials"), "delete", blocked, "foreign-owner")
	want(t, at(t, done.Items, u.Home+"/.npmrc"), "left", blocked, "foreign-owner")
	if diff := before.Diff(platformtest.Take(t, r.Path("/srv"))); len(diff) > 0 {
		t.Errorf("harm outside:\n%s", strings.Join(diff, "\n"))
	}
}

func TestADeepTreeInACredentialFolderGoesWhole(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	deep := u.Home + "/.aws/sso/cache" + strings.Repeat("/d", 100)
	b.root.File(u, deep+"/token.json", `{"accessToken":"`+secret+`"}`)
	for n := range 500 {
		b.root.File(u, fmt.Sprintf("%s/.aws/sso/cache/many/%d.json", u.Home, n), secret)
	}
	b.root.Link(u, u.Home+"/.aws/sso/cache/out", "/etc")
	r := b.purge()
	want(t, at(t, r.Items, u.Home+"/.aws/sso/cache"), "delete-dir", verified, "deleted")
	if _, err := os.Lstat(b.root.Path(u.Home + "/.aws/sso/cache")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := os.Stat(b.root.Path("/etc/passwd")); err != nil {
		t.Errorf("a link in the folder was followed: %v", err)
	}
}

func TestATreeDeeperThanAnybodysIsReported(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.aws/sso/cache"+strings.Repeat("/d", 300)+"/x", secret)
	r := b.purge()
	want(t, at(t, r.Items, u.Home+"/.aws/sso/cache"), "left", blocked, "too-deep")
}

func TestAnImmutableCredentialGoesAllTheSame(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := b.root.File(u, u.Home+"/.vault-token", secret)
	setFlags(t, path, 0x10)
	mixed := b.root.File(u, u.Home+"/.npmrc", "//r/:_authToken="+secret+"\nfund=false\n")
	setFlags(t, mixed, 0x10)
	r := b.seal()
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "delete", verified, "sealed")
	want(t, at(t, r.Items, u.Home+"/.npmrc"), "edit", verified, "sealed")
	noSecretBelow(t, b.root.Dir)
}

func TestAnImmutableFolderIsReported(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.cargo/credentials.toml", secret)
	folder := b.root.Path(u.Home + "/.cargo")
	setFlags(t, folder, 0x10)
	t.Cleanup(func() { setFlags(t, folder, 0) })
	want(t, at(t, b.purge().Items, u.Home+"/.cargo/credentials.toml"), "left", blocked, "immutable")
}

func setFlags(t *testing.T, path string, flags int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
		t.Skipf("this file system has no immutable flag: %v", err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs files of two owners, which only root can make")
	}
}

func TestAnothersFolderThatMayNotBeEnteredIsReportedOnce(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.aws/credentials", secret)
	closed := b.root.Path(u.Home + "/.aws")
	if err := os.Lchown(closed, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	r := b.purge()
	if len(r.Items) != 1 {
		t.Fatalf("got %s, want one item", list(r.Items))
	}
	want(t, r.Items[0], "left", blocked, "foreign-owner")
	if !r.Items[0].GetResidualUnbounded() {
		t.Error("what is in a closed folder is said to end")
	}
}

// closedHome has credentials whose owner took his own rights off them.
func closedHome(t *testing.T, b *bench, u platformtest.User) {
	t.Helper()
	b.root.File(u, u.Home+"/.ssh/id_work", pemKey)
	b.root.File(u, u.Home+"/.ssh/deep/id_deep", pemKey)
	b.root.File(u, u.Home+"/.ssh/known_hosts", "a host\n")
	b.root.File(u, u.Home+"/.npmrc", "//r/:_authToken="+secret+"\nfund=false\n")
	b.root.File(u, u.Home+"/.config/gh/hosts.yml", "github.com:\n    oauth_token: "+secret+"\n    user: alice\n")
	b.root.File(u, u.Home+"/.docker/config.json", `{"auths":{"x":{"auth":"`+secret+`"}},"psFormat":"x"}`)
	b.root.File(u, u.Home+"/.aws/sso/cache/deep/a.json", `{"accessToken":"`+secret+`"}`)
	b.root.File(u, u.Home+"/.vault-token", secret)
	for _, name := range []string{"/.ssh/id_work", "/.ssh/deep", "/.ssh/known_hosts", "/.ssh", "/.npmrc", "/.config/gh/hosts.yml", "/.docker",
		"/.aws/sso/cache/deep/a.json", "/.aws/sso/cache/deep", "/.aws/sso/cache", "/.aws", "/.vault-token"} {
		if err := os.Chmod(b.root.Path(u.Home+name), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnOwnersClosedFilesAndFoldersHideNothing(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	closedHome(t, b, u)
	before := platformtest.Take(t, b.root.Path(u.Home))
	planned := b.plan()
	for _, name := range []string{"/.ssh/id_work", "/.ssh/deep/id_deep", "/.npmrc", "/.docker/config.json", "/.config/gh/hosts.yml", "/.vault-token"} {
		if i := at(t, planned, u.Home+name); i.GetAction() == "left" {
			t.Errorf("%s: %s", name, i.GetDetail())
		}
	}
	if diff := before.Diff(platformtest.Take(t, b.root.Path(u.Home))); len(diff) > 0 {
		t.Errorf("a plan changed:\n%s", strings.Join(diff, "\n"))
	}
	sealed := b.seal()
	for _, i := range sealed.Items {
		if i.GetOutcome() != verified {
			t.Errorf("seal: %s: %s %s", i.GetPath(), i.GetAction(), i.GetDetail())
		}
	}
	noSecretBelow(t, b.root.Path(u.Home))
	for _, name := range []string{"/.ssh", "/.docker", "/.npmrc", "/.ssh/known_hosts"} {
		if i, err := os.Stat(b.root.Path(u.Home + name)); err != nil || i.Mode().Perm() != 0 {
			t.Errorf("%s: the mode is not as it was: %v, %v", name, i, err)
		}
	}
	for _, i := range b.lift().Items {
		if i.GetDetail() != "restored" {
			t.Errorf("lift: %s: %s", i.GetPath(), i.GetDetail())
		}
	}
	if diff := before.Diff(platformtest.Take(t, b.root.Path(u.Home))); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
	b.purge()
	noSecretBelow(t, b.root.Path(u.Home))
}

func TestAKeyThatCannotBeReadIsReported(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.ssh/huge", pemKey+strings.Repeat("x", 9<<20))
	b.root.File(u, u.Home+"/.ssh/roots", pemKey)
	b.root.File(u, u.Home+"/.ssh/open", pemKey)
	b.root.File(u, u.Home+"/.ssh/known_hosts", "a host\n")
	for name, mode := range map[string]os.FileMode{"roots": 0o600, "open": 0o644, "known_hosts": 0o644} {
		path := b.root.Path(u.Home + "/.ssh/" + name)
		if err := errors.Join(os.Lchown(path, 0, 0), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(items []*cutoffv1.Item) {
		t.Helper()
		want(t, at(t, items, u.Home+"/.ssh/huge"), "left", blocked, "too-large")
		want(t, at(t, items, u.Home+"/.ssh/roots"), "left", blocked, "foreign-owner")
		for _, i := range items {
			if !i.GetResidualUnbounded() {
				t.Errorf("%s is said to end", i.GetPath())
			}
		}
		if len(items) != 3 {
			t.Errorf("got %s", list(items))
		}
	}
	check(b.plan())
	check(b.seal().Items)
	r := b.purge()
	check(r.Items)
	want(t, at(t, r.Items, u.Home+"/.ssh/open"), "delete", blocked, "foreign-owner")
}

// A user who keeps killing the work in his home gets nothing by it: under a
// trial root his home is reported, and everybody else's work goes on.
func TestAChildThatItsUserKillsIsStartedAgainAndThenReported(t *testing.T) {
	needRoot(t)
	alice, bob := user("alice"), user("bob")
	alice.UID = 50_000 + os.Getpid()%10_000 // other runs of these tests have theirs
	b := newBench(t, alice, bob)
	b.root.File(bob, bob.Home+"/.vault-token", secret)
	for n := range 9000 { // enough work to be caught at
		b.root.File(alice, fmt.Sprintf("%s/.aws/sso/cache/%d.json", alice.Home, n), secret)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			killOf(alice.UID)
		}
	}()
	r := b.purge()
	cancel()
	<-stopped
	want(t, at(t, r.Items, alice.Home), "left", blocked, "child-killed")
	want(t, at(t, r.Items, bob.Home+"/.vault-token"), "delete", verified, "deleted")
	again := b.purge() // a sweep, with nobody killing
	want(t, at(t, again.Items, alice.Home+"/.aws/sso/cache"), "delete-dir", verified, "deleted")
	want(t, at(t, again.Items, alice.Home), "left", verified, "absent")
}

// killOf kills every process of a test's own uid, which nobody else has.
func killOf(uid int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ownedBy(pid, uid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func ownedBy(pid, uid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err == nil && strings.Contains(string(status), fmt.Sprintf("\nUid:\t%d\t", uid))
}

func TestAFolderAboveTheTrialRootThatIsClosedIsNamed(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	closed := filepath.Dir(b.root.Dir)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := purge.New(b.config)
	var unsearchable *users.UnsearchableError
	if !errors.As(err, &unsearchable) || unsearchable.Folder != closed {
		t.Fatalf("got %v, want the folder %s named", err, closed)
	}
}

func TestLinksSwappedDuringThePurgeNeverLeadOut(t *testing.T) {
	for _, swapped := range []string{".aws", ".aws/sso", ".aws/sso/cache"} {
		t.Run(swapped, func(t *testing.T) { swap(t, swapped) })
	}
}

// swap purges while a folder on the way to credentials is, by turns, itself, a
// link that leads out, and nothing.
func swap(t *testing.T, swapped string) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	outside := b.root.Path("/srv/aws")
	for _, n := range []string{"credentials", "config", "sso/cache/1.json"} {
		b.root.File(platformtest.User{}, "/srv/aws/"+n, "[default]\naws_secret_access_key = "+"outside\n")
		b.root.File(u, u.Home+"/.aws/"+n, "[default]\naws_secret_access_key = inside\n")
	}
	if os.Geteuid() == 0 { // everything outside belongs to the user: only the walk protects it
		for name := range platformtest.Take(t, outside) {
			_ = os.Lchown(filepath.Join(outside, name), u.UID, u.GID)
		}
	}
	before := platformtest.Take(t, outside)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		at, spare, real := b.root.Path(u.Home+"/"+swapped), b.root.Path(u.Home+"/spare"), b.root.Path(u.Home+"/real")
		target := "/srv/aws" + strings.TrimPrefix(swapped, ".aws")
		_ = os.Rename(at, real)
		for ctx.Err() == nil {
			_ = os.Symlink(target, at)
			_ = os.Rename(at, spare)
			_ = os.Rename(real, at)
			_ = os.Rename(at, real)
			_ = os.Remove(spare)
			_ = os.Remove(at)
		}
	}()
	deadline := time.Now().Add(time.Second)
	for time.Now().Before(deadline) {
		b.purge()
	}
	cancel()
	<-ended
	if diff := before.Diff(platformtest.Take(t, outside)); len(diff) > 0 {
		t.Errorf("harm outside:\n%s", strings.Join(diff, "\n"))
	}
}
