package purge_test

// What is dangerous in trees that users control, and the tests that hold each.
// A danger that another system has is not in the table.
//
//	a link planted              TestAHostileHomeHarmsNothingOutsideIt, TestASealLeavesLinksThatLeadOut
//	a link swapped in           TestLinksSwappedDuringThePurgeNeverLeadOut, at each folder of the way
//	a link, legitimate          TestAHostileHomeHarmsNothingOutsideIt (dotfiles), TestSealAndLiftGiveBackEveryBit
//	links, mounts and /proc     files: TestNamesNeverLeadOutOfTheFolder, TestMountsAreNotCrossed
//	another's file hard-linked  TestRootsFilesInAHomeAreUnlinkedAtMost, TestHardLinksAreUnlinkedAndNeverEdited
//	one's own kept elsewhere    TestHardLinksAreUnlinkedAndNeverEdited, TestAPurgeAfterASealImprovesNothingThatAnotherNameHolds
//	rewriting in place          files: TestAWriteIsWholeOrNotAtAll, TestAnEditKeepsEverythingButTheBytes
//	FIFOs                       TestAHostileHomeHarmsNothingOutsideIt
//	sockets and devices         TestSocketsAndDevicesNamedLikeCredentialsAreLeft, files: TestOnlyRegularFilesAreOpened
//	a million files             TestPropertyManyFilesCannotStopTheRest
//	huge and deep folders       TestADeepTreeInACredentialFolderGoesWhole, TestATreeDeeperThanAnybodysIsReported
//	huge files                  TestAKeyThatCannotBeReadIsReported
//	a home that hangs (FUSE;    TestAFileSystemWhoseReadsHangHoldsUpNobody, TestAHomeThatDoesNotAnswerHoldsUpNobody,
//	NFS hangs alike)            TestALiftPassesByAHomeThatDoesNotAnswer
//	another file system         TestWhatLiesOnAMountOfThisKernelIsVerified, files: TestWhichFileSystemAPathLiesOn
//	the immutable flag          TestAnImmutableCredentialGoesAllTheSame, TestALiftPutsTheFlagBack, TestAnImmutableFolderIsReported
//	modes and ACLs that deny    TestAnOwnersClosedFilesAndFoldersHideNothing, TestAnotherUsersACLIsNoWayRoundTheOwner
//	a file that is open         TestAFileThatIsHeldOpenIsSaidToBe
//	SQLite's log and journal    TestOnlyRowsLeaveADatabase, TestADatabaseThatDoesNotParseGoesWithWhatLiesBesideIt
//	snapshots                   TestEarlierStatesOfTheSystemAreReported
//	what comes back             TestWhatComesBackAfterASealIsSealedBesideTheFirstCopy, TestWritingAgainWhatWasTakenAwayIsNoticedAndNothingElse,
//	                            flow: TestALoginAndATouchBringASweepWithinSeconds
//	a full disk                 TestWithoutRoomOnlyWhatASignInRegainsIsTaken, TestTheReserveIsGivenUpForASeal, TestALiftOnAFullDiskLosesNothing
//	a crash, or no power        TestAChildKilledAtAnyFrameOfASealCostsNothing, …OfALift…, TestAnAgentKilledAtAnyStepOfASealLosesNothing, …OfALift…
//	the owner kills             TestAChildThatItsUserKillsIsStartedAgainAndThenReported
//	the agent as a weapon       order, journal and flow: forged, replayed, stale and foreign orders
//	personal data               TestOnlyMatchingKeyringItemsGo, TestTheCompanysAccountsGoAndOthersStay, TestWhatAPolicyMustAllowStaysAndLivesOn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

func TestSocketsAndDevicesNamedLikeCredentialsAreLeft(t *testing.T) {
	needRoot(t)
	b := newBench(t, user("alice"))
	u := user("alice")
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)
	if err := unix.Mknod(b.root.Path(u.Home+"/.vault-token"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil { // endless zeroes
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", b.root.Path(u.Home+"/.netrc"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	r := b.purge()
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "left", verified, "device")
	want(t, at(t, r.Items, u.Home+"/.netrc"), "left", verified, "socket")
	want(t, at(t, r.Items, u.Home+"/.pgpass"), "delete", verified, "deleted")
}

// The heavy run has the million.
func TestPropertyManyFilesCannotStopTheRest(t *testing.T) {
	many := 20_000
	if os.Getenv("CUTOFF_HEAVY") != "" {
		many = 1_000_000
	}
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	cache := b.root.Path(u.Home + "/.aws/sso/cache")
	b.root.File(u, u.Home+"/.aws/sso/cache/token.json", `{"accessToken":"`+secret+`"}`)
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)
	b.root.File(user("bob"), user("bob").Home+"/.vault-token", secret)
	for n := range many {
		f, err := os.OpenFile(fmt.Sprintf("%s/%d", cache, n), os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			err = errors.Join(os.Lchown(f.Name(), u.UID, u.GID), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := b.purge()
	want(t, at(t, r.Items, u.Home+"/.pgpass"), "delete", verified, "deleted")
	want(t, at(t, r.Items, user("bob").Home+"/.vault-token"), "delete", verified, "deleted")
	folder := at(t, r.Items, u.Home+"/.aws/sso/cache")
	if many <= 20_000 {
		want(t, folder, "delete-dir", verified, "deleted")
	} else if folder.GetOutcome() == verified {
		if _, err := os.Lstat(cache); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("said to be gone, and is there: %v", err)
		}
	}
}

func TestALiftPassesByAHomeThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, platformtest.Users()...)
	alice, bob := user("alice"), user("bob")
	b.root.File(alice, alice.Home+"/.pgpass", "h:1:d:u:"+secret)
	path := b.root.File(bob, bob.Home+"/.pgpass", "h:1:d:u:"+secret)
	b.seal()
	hanging := mountHanging(t, b, alice)
	hanging.looks.Store(true)
	r := b.lift()
	want(t, at(t, r.Items, alice.Home+"/.pgpass"), "left", cutoffv1.Outcome_OUTCOME_RETRYING, "not-answering")
	want(t, at(t, r.Items, bob.Home+"/.pgpass"), "delete", verified, "restored")
	if _, err := os.Stat(path); err != nil || r.Complete {
		t.Errorf("complete=%t, %v", r.Complete, err)
	}
}

func mountTmpfs(t *testing.T, at string, u platformtest.User, size string) {
	t.Helper()
	needRoot(t)
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%s,uid=%d,gid=%d,mode=1777", size, u.UID, u.GID)); err != nil {
		t.Fatalf("a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(at, unix.MNT_DETACH) })
}

func TestWhatLiesOnAMountOfThisKernelIsVerified(t *testing.T) {
	b := newBench(t, user("alice"))
	u := user("alice")
	mountTmpfs(t, b.root.Path("/tmp"), platformtest.User{}, "1m")
	name := fmt.Sprintf("/tmp/krb5cc_%d", u.UID)
	path := b.root.Path(name)
	if err := errors.Join(os.WriteFile(path, []byte(secret), 0o600), os.Lchown(path, u.UID, u.GID)); err != nil {
		t.Fatal(err)
	}
	want(t, at(t, b.seal().Items, name), "delete", verified, "sealed")
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	want(t, at(t, b.lift().Items, name), "delete", verified, "restored")
	want(t, at(t, b.purge().Items, name), "delete", verified, "deleted")
}

func TestALiftOnAFullDiskLosesNothing(t *testing.T) {
	b := newBench(t, user("alice"))
	u := user("alice")
	mountTmpfs(t, b.root.Path(u.Home), u, "512k")
	b.root.File(u, u.Home+"/.aws/sso/cache/1.json", `{"accessToken":"`+strings.Repeat(secret, 8<<10)+`"}`)
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+strings.Repeat(secret, 8<<10))
	b.root.File(u, u.Home+"/.npmrc", "//r/:_authToken="+secret+"\n"+strings.Repeat("# kept\n", 8<<10))
	before := platformtest.Take(t, b.root.Dir)
	b.seal()
	filler := filepath.Join(b.root.Path(u.Home), "filler")
	full, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	r := b.lift()
	for _, name := range []string{"/.aws/sso/cache", "/.pgpass", "/.npmrc"} {
		if i := at(t, r.Items, u.Home+name); !i.GetSealed() || i.GetOutcome() != cutoffv1.Outcome_OUTCOME_RETRYING || i.GetDetail() != "no-room" {
			t.Errorf("%s: %s %s sealed=%t", name, i.GetOutcome(), i.GetDetail(), i.GetSealed())
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	checkBack(t, b, before, b.lift(), "with room")
}

func TestALiftPutsTheFlagBack(t *testing.T) {
	needRoot(t)
	b := newBench(t, user("alice"))
	u := user("alice")
	files := []string{b.root.File(u, u.Home+"/.vault-token", secret), b.root.File(u, u.Home+"/.npmrc", "//r/:_authToken="+secret+"\nfund=false\n")}
	for _, path := range files {
		setFlags(t, path, 0x10)
		t.Cleanup(func() { setFlags(t, path, 0) })
	}
	b.seal()
	noSecretBelow(t, b.root.Dir)
	b.lift()
	for _, path := range files {
		if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), secret) {
			t.Errorf("%s: %q, %v", path, data, err)
		}
		if err := os.WriteFile(path, nil, 0o600); err == nil {
			t.Errorf("%s lost its flag", path)
		}
	}
}

// A list that names another user denies its owner nothing that a mode does not.
func TestAnotherUsersACLIsNoWayRoundTheOwner(t *testing.T) {
	needRoot(t)
	b := newBench(t, user("alice"))
	u := user("alice")
	path := b.root.File(u, u.Home+"/.vault-token", secret)
	deny := acl(user("bob").UID)
	deny[6] = 0 // the owner's own entry: nothing
	if err := unix.Setxattr(path, "system.posix_acl_access", deny, 0); err != nil {
		t.Fatal(err)
	}
	before := platformtest.Take(t, b.root.Dir)
	want(t, at(t, b.seal().Items, u.Home+"/.vault-token"), "delete", verified, "sealed")
	checkBack(t, b, before, b.lift(), "with an ACL")
}

func TestAFileThatIsHeldOpenIsSaidToBe(t *testing.T) {
	needRoot(t)
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	held, err := os.Open(b.root.File(u, u.Home+"/.vault-token", secret))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)
	reader := exec.Command("sleep", "600")
	reader.Stdin, reader.SysProcAttr = held, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = reader.Process.Kill(); _ = reader.Wait() }
	defer end()
	r := b.purge()
	want(t, at(t, r.Items, u.Home+"/.vault-token"), "delete", blocked, "still-open")
	want(t, at(t, r.Items, u.Home+"/.pgpass"), "delete", verified, "deleted")
	if err := reader.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("under a trial root its reader was ended: %v", err)
	}
	want(t, at(t, b.purge().Items, u.Home+"/.vault-token"), "delete", blocked, "still-open")
	end()
	want(t, at(t, b.purge().Items, u.Home+"/.vault-token"), "delete", verified, "deleted")
}

func TestEarlierStatesOfTheSystemAreReported(t *testing.T) {
	needRoot(t)
	b := newBench(t, user("alice"))
	kept := b.root.File(platformtest.User{}, "/home/.snapshots/1/snapshot/alice/.vault-token", secret)
	for _, items := range [][]*cutoffv1.Item{b.plan(), b.purge().Items} {
		want(t, at(t, items, "/home/.snapshots"), "left", unsupported, "earlier-states-kept")
	}
	if data, err := os.ReadFile(kept); err != nil || string(data) != secret {
		t.Errorf("a snapshot was touched: %q, %v", data, err)
	}
}
