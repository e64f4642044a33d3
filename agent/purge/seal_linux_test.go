package purge_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

const lift = cutoffv1.OrderKind_ORDER_KIND_LIFT

func TestALiftNeverOverwritesWhatCameBackMeanwhile(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.vault-token", secret)
	b.root.File(u, u.Home+"/.npmrc", "fund=false\n//r/:_authToken="+secret+"\n")
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)
	b.seal()
	b.root.File(u, u.Home+"/.vault-token", "a new login")
	b.root.File(u, u.Home+"/.npmrc", "fund=true\n")
	r := b.lift()
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "left", blocked, "came-back")
	want(t, at(t, r.Items, u.Home+"/.npmrc"), "left", blocked, "came-back")
	want(t, at(t, r.Items, u.Home+"/.pgpass"), "delete", verified, "restored")
	for name, content := range map[string]string{"/.vault-token": "a new login", "/.npmrc": "fund=true\n", "/.pgpass": "h:1:d:u:" + secret} {
		if data, err := os.ReadFile(b.root.Path(u.Home + name)); err != nil || string(data) != content {
			t.Errorf("%s holds %q, %v", name, data, err)
		}
	}
	if !at(t, r.Items, u.Home+"/.vault-token").GetSealed() {
		t.Error("what could not go back is not shown as sealed")
	}
}

func TestWhatComesBackAfterASealIsSealedBesideTheFirstCopy(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := b.root.File(u, u.Home+"/.pgpass", "first "+secret)
	b.seal()
	b.root.File(u, u.Home+"/.pgpass", "second "+secret)
	r := b.seal() // a sweep
	if n := len(r.Items); n != 2 {
		t.Fatalf("got %s, want both copies", list(r.Items))
	}
	noSecretBelow(t, b.root.Dir)
	done := b.lift()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "second "+secret {
		t.Errorf("the newest copy is not back: %q, %v", data, err)
	}
	details := map[string]int{}
	for _, i := range done.Items {
		details[i.GetDetail()]++
	}
	if details["restored"] != 1 || details["came-back"] != 1 {
		t.Errorf("got %s", list(done.Items))
	}
}

func TestAnItemWhoseFolderIsGoneBringsItBack(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.aws/sso/cache/a.json", secret)
	b.root.File(u, u.Home+"/.config/rclone/rclone.conf", "[s3]\npass = "+secret+"\n")
	b.root.File(u, u.Home+"/.cargo/credentials.toml", secret)
	if err := os.Chmod(b.root.Path(u.Home+"/.cargo"), 0o751); err != nil {
		t.Fatal(err)
	}
	before := platformtest.Take(t, b.root.Dir)
	b.seal()
	for _, gone := range []string{"/.aws", "/.cargo"} {
		if err := os.RemoveAll(b.root.Path(u.Home + gone)); err != nil {
			t.Fatal(err)
		}
	}
	r := b.lift()
	want(t, at(t, r.Items, u.Home+"/.aws/sso/cache"), "delete-dir", verified, "restored")
	want(t, at(t, r.Items, u.Home+"/.cargo/credentials.toml"), "delete", verified, "restored")
	want(t, at(t, r.Items, u.Home+"/.config/rclone/rclone.conf"), "edit", verified, "restored")
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
}

func TestALiftThatTheServerRefusesChangesNothingAndCanBeTriedAgain(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := b.root.File(u, u.Home+"/.vault-token", secret)
	b.seal()
	p, err := purge.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	w := b.warrant(lift, "cut_1")
	refuse := func(_ context.Context, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
		return []*cutoffv1.FileKey{{ItemId: headers[0].GetItemId(), Refused: "cut is not lifting"}}, nil
	}
	r, err := p.Restore(context.Background(), w, refuse)
	if err != nil || r.Complete {
		t.Fatalf("complete=%t, %v", r.Complete, err)
	}
	broken := func(context.Context, []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
		return nil, errors.New("no connection")
	}
	if _, err := p.Restore(context.Background(), w, broken); err == nil {
		t.Error("a lift without a server ended well")
	}
	wrong := func(_ context.Context, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
		return []*cutoffv1.FileKey{{ItemId: headers[0].GetItemId(), Key: make([]byte, 16)}}, nil
	}
	r, err = p.Restore(context.Background(), w, wrong)
	if err != nil {
		t.Fatal(err)
	}
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "left", blocked, "unreadable")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a wrong key brought something back: %v", err)
	}
	r, err = p.Restore(context.Background(), w, b.unseal)
	if err != nil {
		t.Fatal(err)
	}
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "delete", verified, "restored")
}

func TestAPurgeOfASealedCutDestroysTheSealedCopies(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.vault-token", secret)
	b.seal()
	r := b.purge()
	i := at(t, r.Items, u.Home+"/.vault-token")
	want(t, i, "delete", verified, "sealed-copy-destroyed")
	if i.GetSealed() {
		t.Error("a destroyed copy is shown as sealed")
	}
	if left, err := os.ReadDir(filepath.Join(b.state, "sealed")); err != nil || len(left) > 0 {
		t.Errorf("%d files left, %v", len(left), err)
	}
}

func TestARunAfterACrashReportsWhatWasDoneAndDoesWhatWasNot(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	furnish(b.root, u)
	first := b.seal()
	// The crash: one file is back, as if its removal had never reached the disk.
	b.root.File(u, u.Home+"/.vault-token", "hvs."+secret)
	second := b.seal()
	if len(second.Items) != len(first.Items)+1 {
		t.Errorf("first %d, second %d items", len(first.Items), len(second.Items))
	}
	noSecretBelow(t, b.root.Dir)
}

func TestWithoutRoomOnlyWhatASignInRegainsIsTaken(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	if err := syscall.Mount("tmpfs", b.state, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(b.state, 0) })
	full, err := os.Create(filepath.Join(b.state, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	b.root.File(u, u.Home+"/.vault-token", secret)                            // regained by a sign-in
	kept := b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)              // not
	b.root.File(u, u.Home+"/.aws/sso/cache/a.json", "{\"a\":\""+secret+"\"}") // a folder, regained
	r := b.seal()
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "delete", verified, "deleted")
	want(t, at(t, r.Items, u.Home+"/.aws/sso/cache"), "delete-dir", verified, "deleted")
	want(t, at(t, r.Items, u.Home+"/.pgpass"), "left", blocked, "no-room")
	if data, err := os.ReadFile(kept); err != nil || !strings.Contains(string(data), secret) {
		t.Errorf("what could not be sealed is not there: %q, %v", data, err)
	}
}

func TestTheReserveIsGivenUpForASeal(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	if err := syscall.Mount("tmpfs", b.state, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(b.state, 0) })
	if err := os.WriteFile(filepath.Join(b.state, "reserve"), make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	full, err := os.Create(filepath.Join(b.state, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)
	want(t, at(t, b.seal().Items, u.Home+"/.pgpass"), "delete", verified, "sealed")
}

func TestAWarrantOfAnotherKindOpensNothing(t *testing.T) {
	b := newBench(t, user("alice"))
	path := b.root.File(user("alice"), "/home/alice/.vault-token", secret)
	p, err := purge.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(context.Background(), b.warrant(lift, "cut_1")); !errors.Is(err, purge.ErrWarrant) {
		t.Errorf("a lift purged: %v", err)
	}
	if _, err := p.Run(context.Background(), nil); !errors.Is(err, purge.ErrWarrant) {
		t.Errorf("no warrant purged: %v", err)
	}
	if _, err := p.Restore(context.Background(), b.warrant(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_1"), b.unseal); !errors.Is(err, purge.ErrWarrant) {
		t.Errorf("a purge lifted: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("something was taken: %v", err)
	}
}

func TestOverridesInStartUpFilesAreFollowedBelowTheRoot(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	outside := b.root.File(u, u.Home+"/elsewhere/aws", "[a]\naws_secret_access_key = "+secret+"\n")
	b.root.File(u, u.Home+"/.bashrc", "export AWS_SHARED_CREDENTIALS_FILE=\"$HOME/elsewhere/aws\" # mine\nexport PGPASSFILE=$(pass show x)\nKUBECONFIG='/home/alice/k1':~/k2\n")
	b.root.File(u, u.Home+"/k1", "users:\n- name: a\n  user: {token: "+secret+"}\n")
	b.root.File(platformtest.User{}, "/etc/environment", "DOCKER_CONFIG=/data/alice/docker\n")
	b.root.Folder(platformtest.User{}, "/data/alice/docker", 0o755)
	inData := b.root.Path("/data/alice/docker/config.json")
	if err := os.WriteFile(inData, []byte(`{"auths":{"r":{"auth":"`+secret+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		for _, p := range []string{inData, filepath.Dir(inData)} {
			if err := os.Chown(p, u.UID, u.GID); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := b.purge()
	want(t, at(t, r.Items, "/home/alice/elsewhere/aws"), "delete", verified, "deleted")
	want(t, at(t, r.Items, "/home/alice/k1"), "edit", verified, "edited")
	want(t, at(t, r.Items, "/data/alice/docker/config.json"), "edit", verified, "edited")
	if _, err := os.Stat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Error("the overridden file is still there")
	}
	noSecretBelow(t, b.root.Dir)
}
