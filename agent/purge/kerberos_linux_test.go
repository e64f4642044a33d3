package purge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/command"
	"cutoff/platform/files"
	"cutoff/platform/platformtest"
)

// realm is a real Kerberos with one user, alice, and her session as another user
// of the machine.
type realm struct {
	t    testing.TB
	dir  string
	env  []string
	user platformtest.User
}

func newRealm(t testing.TB, manager string) *realm {
	t.Helper()
	r := &realm{t: t, dir: platformtest.Open(t), user: carol()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	listener.Close()
	config := "[libdefaults]\ndefault_realm=T.EXAMPLE\ndns_lookup_kdc=false\nrdns=false\n"
	if manager != "" {
		config += "kcm_socket=" + manager + "\n"
	}
	r.write("krb5.conf", config+"[realms]\nT.EXAMPLE={\nkdc="+at+"\n}\n")
	r.write("kdc.conf", fmt.Sprintf("[kdcdefaults]\nkdc_listen=%s\nkdc_tcp_listen=%s\n[realms]\nT.EXAMPLE={\ndatabase_name=%s/db\nkey_stash_file=%s/stash\nmax_renewable_life=7d\n}\n", at, at, r.dir, r.dir))
	r.env = []string{"PATH=/usr/sbin:/usr/bin:/bin", "KRB5_CONFIG=" + r.dir + "/krb5.conf", "KRB5_KDC_PROFILE=" + r.dir + "/kdc.conf"}
	for _, args := range [][]string{{"kdb5_util", "create", "-s", "-P", "m", "-r", "T.EXAMPLE"}, {"kadmin.local", "-q", "addprinc -pw pw alice"},
		{"kadmin.local", "-q", "addprinc -randkey host/x"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = r.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	r.daemon("krb5kdc", "-n")
	return r
}

func (r *realm) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *realm) daemon(name string, args ...string) {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = r.env
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// as runs a tool as the user, with a cache.
func (r *realm) as(cache, input, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = append(r.env, "KRB5CCNAME="+cache), "/", strings.NewReader(input)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(r.user.UID), Gid: uint32(r.user.GID)}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// signIn gets tickets; it waits for the daemons.
func (r *realm) signIn(cache string) {
	r.t.Helper()
	var (
		out string
		err error
	)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, err = r.as(cache, "pw\n", "kinit", "-r", "1d", "alice"); err == nil {
			if out, err = r.as(cache, "", "kvno", "host/x"); err == nil {
				return
			}
		}
	}
	r.t.Fatalf("sign in to %s: %v: %s", cache, err, out)
}

// signedOut holds that nothing can be done with the cache any more.
func (r *realm) signedOut(cache string) {
	r.t.Helper()
	for _, args := range [][]string{{"klist", "-s"}, {"kinit", "-R"}, {"kvno", "host/x"}} {
		if out, err := r.as(cache, "", args[0], args[1:]...); err == nil {
			r.t.Errorf("%v with %s still works: %s", args, cache, out)
		}
	}
}

func TestTicketsGoFromFilesFoldersAndTheCacheManager(t *testing.T) {
	onlyRoot(t)
	b := newBench(t, carol())
	u := carol()
	uid := strconv.Itoa(u.UID)
	b.root.Folder(platformtest.User{}, "/run", 0o755)
	r := newRealm(t, b.root.Path("/run/.heim_org.h5l.kcm-socket"))
	r.manager(b.root.Path("/run/.heim_org.h5l.kcm-socket"))
	for _, name := range []string{"/var/alt", "/var/dir"} {
		b.root.Folder(u, name, 0o755)
		if err := os.Chown(b.root.Path(name), u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
	b.root.File(platformtest.User{}, "/etc/krb5.conf", "[libdefaults]\n default_ccache_name = FILE:/var/alt/cc_%{uid}\n")
	b.root.File(u, u.Home+"/.profile", "export KRB5CCNAME=DIR:/var/dir\n")
	caches := []string{"FILE:" + b.root.Path("/var/alt/cc_"+uid), "DIR:" + b.root.Path("/var/dir"), "KCM:"}
	for _, c := range caches {
		r.signIn(c)
	}
	items := b.seal().Items
	found := only(t, items, "kcm:")
	want(t, found, "agent-clear", verified, "deleted")
	if got := found.GetIdentifiers(); len(got) != 1 || got[0].GetValue() != "alice@T.EXAMPLE" {
		t.Errorf("identifiers %v", got)
	}
	if until := found.GetResidualUntil().AsTime(); time.Until(until) < 20*time.Hour {
		t.Errorf("until %v: the ticket can be renewed for a day", until)
	}
	for _, c := range caches {
		r.signedOut(c)
	}
}

// manager runs sssd_kcm with folders of its own.
func (r *realm) manager(socket string) {
	r.t.Helper()
	script := `set -e; cd "$1"; mkdir -p etc/conf.d lib/db lib/secrets lib/mc lib/pipes/private log
printf '[sssd]\n[kcm]\nsocket_path = %s\n' "$2" > etc/sssd.conf; chmod 600 etc/sssd.conf
mount --make-rprivate /; mount --bind etc /etc/sssd; mount --bind lib /var/lib/sss; mount --bind log /var/log/sssd
sssd --genconf-section=kcm; exec /usr/libexec/sssd/sssd_kcm --logger=stderr`
	r.daemon("unshare", "-m", "sh", "-c", script, "sh", r.dir, socket)
}

func onlyRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs another user's keys, which only root can act on")
	}
}

// The kernel has one set of keys for a user, so that this works on the machine's
// own, of a user that is nobody's.
func TestTicketsAndKeysGoFromTheKernel(t *testing.T) {
	onlyRoot(t)
	r := newRealm(t, "")
	uid := strconv.Itoa(r.user.UID)
	caches := []string{"KEYRING:persistent:" + uid, "KEYRING:user:cutoff"}
	for _, c := range caches {
		r.signIn(c)
	}
	for _, key := range [][]string{{"user", "keyring-rs:alice@app"}, {"user", "0123456789abcdef"}, {"logon", "fscrypt:0123456789abcdef"}, {"user", "hers"}} {
		if out, err := r.as("", "", "keyctl", "add", key[0], key[1], secret, "@u"); err != nil {
			t.Fatal(out, err)
		}
	}
	t.Cleanup(func() { _, _ = r.as("", "", "keyctl", "clear", "@u") })
	items := r.child(wire.Seal, "")
	for _, c := range caches {
		r.signedOut(c)
	}
	for _, i := range items {
		if strings.Contains(i.Path, "keyring-rs") && i.Detail != "not-sealable" {
			t.Errorf("a key that cannot come back: %+v", i)
		}
	}
	r.child(wire.Purge, "")
	r.has(map[string]bool{"keyring-rs:alice@app": false, "0123456789abcdef": true, "fscrypt:0123456789abcdef": true, "hers": true})
	r.child(wire.Purge, "everything")
	r.has(map[string]bool{"0123456789abcdef": true, "fscrypt:0123456789abcdef": true, "hers": false})
}

func (r *realm) has(wanted map[string]bool) {
	r.t.Helper()
	out, err := r.as("", "", "keyctl", "list", "@u")
	if err != nil {
		out = ""
	}
	for name, there := range wanted {
		if strings.Contains(out, name) != there {
			r.t.Errorf("%s: there=%t\n%s", name, !there, out)
		}
	}
}

// child runs the purge's own child with the kernel in its reach, and nothing else.
func (r *realm) child(mode, scope string) []wire.Item {
	r.t.Helper()
	all, err := catalogue.Load(runtime.GOOS)
	if err != nil {
		r.t.Fatal(err)
	}
	job := wire.Job{Mode: mode, User: r.user.Name, Home: "/", UID: uint32(r.user.UID), Seconds: 30, Entries: 1000,
		Recipient: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", Scope: catalogue.Scope{Everything: scope == "everything"}}
	for _, c := range all {
		if c.Action == catalogue.KernelKey {
			job.Catalogue = append(job.Catalogue, c)
		}
	}
	base, err := files.Open(platformtest.Open(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	defer base.Close()
	var items []wire.Item
	child := command.Child{Args: []string{purge.ChildArg}, UID: uint32(r.user.UID), GID: uint32(r.user.GID), Files: []*os.File{base.File(), base.File()}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = child.Run(ctx, func(in io.WriteCloser, out io.Reader) error {
		entries, err := wire.Encode(job.Catalogue)
		if err == nil {
			err = wire.WriteJob(in, job, entries)
		}
		if err != nil {
			return err
		}
		for {
			kind, payload, err := wire.Read(out)
			if err != nil || kind == wire.KindDone {
				_ = in.Close()
				return err
			}
			var i wire.Item
			if err := wire.Unmarshal(payload, &i); err != nil {
				return err
			}
			items = append(items, i)
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return items
}
