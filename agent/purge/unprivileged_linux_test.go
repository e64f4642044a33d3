package purge_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// An agent that nobody made root works in its own user's session: the same
// tests, in a process of a normal user's.
func TestAKeyringIsWorkedOnByANormalUsersAgentToo(t *testing.T) {
	if os.Geteuid() != 0 {
		return // this run is one: the tests themselves have been held
	}
	tests := []string{"TestOnlyMatchingKeyringItemsGo", "TestASealedKeyringItemComesBackAsItWas", "TestALiftPutsNoItemOverOneThatCameBack",
		"TestALiftWaitsForALockedKeyring", "TestALockedKeyringIsReportedAndNeverUnlocked", "TestALiftPutsEverythingBackAsItWas"}
	tmp, err := os.MkdirTemp("", "u")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	u := carol()
	if err := os.Chown(tmp, u.UID, u.GID); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$")
	run.Dir, run.Env = tmp, []string{"TMPDIR=" + tmp, "PATH=/usr/bin:/bin", "HOME=" + tmp}
	run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}}
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass:\n%s", name, out)
		}
	}
}
