package purge_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cutoff/platform/platformtest"
)

// keyring is a real gnome-keyring, unlocked, on a session bus below a trial
// root, as the user that owns it.
type keyring struct {
	t    testing.TB
	user platformtest.User
	// runtime is the folder of the bus.
	runtime string
	env     []string
}

// newKeyring starts the bus and the daemon.
func newKeyring(t testing.TB, r *platformtest.Root, u platformtest.User) *keyring {
	t.Helper()
	k := newBus(t, r, u)
	k.gnome("trial")
	return k
}

// newBus starts a session bus. The packages must be there: a test that would skip
// without them proves nothing.
func newBus(t testing.TB, r *platformtest.Root, u platformtest.User) *keyring {
	t.Helper()
	for _, tool := range []string{"dbus-daemon", "gnome-keyring-daemon", "secret-tool", "kwalletd5", "keepassxc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: make setup", tool)
		}
	}
	runtime := "/run/user/" + strconv.Itoa(u.UID)
	r.Folder(platformtest.User{}, runtime, 0o700)
	if os.Geteuid() == 0 {
		if err := os.Chown(r.Path(runtime), u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
	bus := r.Path(runtime) + "/bus"
	if len(bus) > 100 { // a socket's address holds 108 bytes
		t.Fatalf("path of the bus is too long: %s", bus)
	}
	k := &keyring{t: t, user: u, runtime: r.Path(runtime), env: []string{"PATH=/usr/bin:/bin", "HOME=" + r.Path(u.Home), "XDG_RUNTIME_DIR=" + r.Path(runtime),
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + bus, "QT_QPA_PLATFORM=offscreen", "LC_ALL=C.UTF-8"}}
	k.start("", "dbus-daemon", "--session", "--address=unix:path="+bus, "--nofork", "--nopidfile")
	k.wait("the bus", func() bool { _, err := os.Stat(bus); return err == nil })
	return k
}

// gnome starts gnome-keyring, with its login keyring unlocked by a password or,
// without one, locked. It returns what ends it.
func (k *keyring) gnome(password string) (stop func()) {
	k.t.Helper()
	args := []string{"--components=secrets", "--foreground", "--control-directory=" + filepath.Join(k.runtime, "keyring")}
	if password != "" {
		args = append(args, "--unlock")
	}
	stop = k.start(password, "gnome-keyring-daemon", args...)
	k.owns("org.freedesktop.secrets")
	return stop
}

// owns waits until a name has an owner.
func (k *keyring) owns(name string) {
	k.t.Helper()
	k.wait(name, func() bool {
		out, err := k.dbus("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner", "string:"+name)
		return err == nil && strings.Contains(out, "boolean true")
	})
}

// dbus calls a method.
func (k *keyring) dbus(name, object, method string, args ...string) (string, error) {
	return k.run("", "dbus-send", append([]string{"--session", "--print-reply", "--dest=" + name, object, method}, args...)...)
}

// store puts a secret in, with attributes in pairs.
func (k *keyring) store(secret, label string, attributes ...string) {
	k.t.Helper()
	if out, err := k.run(secret, "secret-tool", append([]string{"store", "--label=" + label}, attributes...)...); err != nil {
		k.t.Fatalf("store %s: %v: %s", label, err, out)
	}
}

// has reports whether a secret with these attributes is there.
func (k *keyring) has(attributes ...string) bool {
	out, err := k.run("", "secret-tool", append([]string{"lookup"}, attributes...)...)
	return err == nil && out != ""
}

// lock locks every collection.
func (k *keyring) lock() {
	k.t.Helper()
	out, err := k.dbus("org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock",
		"array:objpath:/org/freedesktop/secrets/collection/login")
	if err != nil {
		k.t.Fatalf("lock: %v: %s", err, out)
	}
}

func (k *keyring) command(ctx context.Context, input, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = k.env, "/"
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(k.user.UID), Gid: uint32(k.user.GID)}
	}
	return cmd
}

func (k *keyring) run(input, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := k.command(ctx, input, name, args...).CombinedOutput()
	return string(out), err
}

// start runs a daemon until stop is called or the test ends.
func (k *keyring) start(input, name string, args ...string) (stop func()) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := k.command(ctx, input, name, args...)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		k.t.Fatal(fmt.Errorf("start %s: %w", name, err))
	}
	stop = sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait()
	})
	k.t.Cleanup(stop)
	return stop
}

// wait polls until something is there.
func (k *keyring) wait(what string, there func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if there() {
			return
		}
	}
	k.t.Fatalf("%s did not come up", what)
}
