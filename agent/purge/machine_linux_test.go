package purge_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
)

// system has a machine's own stores, one of which belongs to a service.
func system(t *testing.T) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs files of two owners, which only root can make")
	}
	b := newBench(t, platformtest.Users()...)
	b.root.File(platformtest.User{}, "/var/lib/iwd/home.psk", "[Security]\nPassphrase="+secret+"\n")
	b.root.File(platformtest.User{}, "/etc/wpa_supplicant/wlan0.conf", "network={\n\tssid=\"KEEP\"\n\tpsk=\""+secret+"\"\n}\n")
	core := b.root.File(platformtest.User{}, "/var/lib/systemd/coredump/core.gh.1000.zst", secret)
	if err := os.Chown(core, user("bob").UID, user("bob").GID); err != nil {
		t.Fatal(err)
	}
	b.root.File(platformtest.User{}, "/var/lib/sss/secrets/secrets.ldb", secret)
	return b
}

func TestTheMachinesStoresAreRootsToTake(t *testing.T) {
	b := system(t)
	for _, i := range b.plan() {
		if strings.HasPrefix(i.GetPath(), "/var/lib/") && i.GetUser() != "root" {
			t.Errorf("%s is planned for %s", i.GetPath(), i.GetUser())
		}
	}
	items := b.purgeAndSweep("cut_1").Items
	want(t, at(t, items, "/var/lib/systemd/coredump/core.gh.1000.zst"), "delete", verified, "deleted")
	want(t, at(t, items, "/var/lib/sss/secrets/secrets.ldb"), "delete", verified, "deleted")
	want(t, at(t, items, "/var/lib/iwd/home.psk"), "left", unsupported, "skipped-policy")
	if data, err := os.ReadFile(b.root.Path("/var/lib/iwd/home.psk")); err != nil || !strings.Contains(string(data), secret) {
		t.Errorf("a network went without a policy: %v", err)
	}
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Policies: []string{"network"}} }
	b.purgeAndSweep("cut_2")
	if _, err := os.Stat(b.root.Path("/var/lib/iwd/home.psk")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a network that a policy allows is left: %v", err)
	}
	data, err := os.ReadFile(b.root.Path("/etc/wpa_supplicant/wlan0.conf"))
	if err != nil || string(data) != "network={\n\tssid=\"KEEP\"\n}\n" {
		t.Errorf("left %q, %v", data, err)
	}
}

func TestALinkOfTheMachinesLeadsNowhere(t *testing.T) {
	b := system(t)
	b.root.File(platformtest.User{}, "/srv/dumps/core.x", "KEEP")
	if err := os.RemoveAll(b.root.Path("/var/lib/systemd/coredump")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/srv/dumps", b.root.Path("/var/lib/systemd/coredump")); err != nil {
		t.Fatal(err)
	}
	b.purge()
	if _, err := os.Stat(b.root.Path("/srv/dumps/core.x")); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

// What a user's, even root's, own files name outside his home is not the
// catalogue's word.
func TestRootsEnvironmentNamesNothingOfTheMachine(t *testing.T) {
	b := system(t)
	b.root.File(platformtest.User{}, "/etc/ssh/ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nKEEP\n")
	b.root.File(platformtest.User{}, "/etc/krb5.keytab", "KEEP")
	b.root.File(user("root"), "/root/.profile", "export AWS_SHARED_CREDENTIALS_FILE=/etc/krb5.keytab\nexport KRB5CCNAME=FILE:/etc/krb5.keytab\nexport XDG_CONFIG_HOME=/etc\n")
	b.root.File(user("root"), "/root/.ssh/config", "Host *\n  IdentityFile /etc/ssh/ssh_host_ed25519_key\n")
	b.purge()
	for _, name := range []string{"/etc/krb5.keytab", "/etc/ssh/ssh_host_ed25519_key"} {
		if _, err := os.Stat(b.root.Path(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheMachinesStoresComeBackAfterASeal(t *testing.T) {
	b := system(t)
	was := platformtest.Take(t, b.root.Dir)
	b.seal()
	if _, err := os.Stat(b.root.Path("/var/lib/systemd/coredump/core.gh.1000.zst")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not sealed: %v", err)
	}
	b.lift()
	if diff := was.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
}

func TestAVariableMakesNoCredentialOfAWholeHome(t *testing.T) {
	u := user("alice")
	b := newBench(t, u)
	b.root.File(u, u.Home+"/.profile", "export LPASS_HOME=$HOME\nexport PASSWORD_STORE_DIR=$HOME/Documents\n")
	b.root.File(u, u.Home+"/Documents/thesis.txt", "KEEP")
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Policies: catalogue.Policies()} }
	items := b.purge().Items
	want(t, at(t, items, u.Home), "left", blocked, "too-wide")
	if _, err := os.Stat(b.root.Path(u.Home + "/Documents/thesis.txt")); err != nil {
		t.Error(err)
	}
}
