package purge_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"cutoff/platform/platformtest"
)

const someKey = "[default]\naws_secret_access_key = S3CR3T\n"

// lost runs a purge and reports which of the user's files it took.
func lost(t *testing.T, b *bench, u platformtest.User, names ...string) map[string]bool {
	t.Helper()
	for _, name := range names {
		b.root.File(u, u.Home+"/"+name, someKey)
	}
	b.purge()
	gone := map[string]bool{}
	for _, name := range names {
		_, err := os.Stat(b.root.Path(u.Home + "/" + name))
		gone[name] = os.IsNotExist(err)
	}
	return gone
}

func TestStartupFilesAreReadWhereTheirOwnVariablesPutThem(t *testing.T) {
	u := user("alice")
	b := newBench(t, u)
	b.root.File(u, u.Home+"/.zshenv", "export ZDOTDIR=$HOME/.zsh\n")
	b.root.File(u, u.Home+"/.zsh/.zshrc", "export AWS_SHARED_CREDENTIALS_FILE=$HOME/a/zsh\n")
	b.root.File(u, u.Home+"/.config/fish/fish_variables", "# VERSION: 3.0\nSETUVAR --export AWS_SHARED_CREDENTIALS_FILE:"+
		strings.ReplaceAll(u.Home, "/", "\\x2f")+"\\x2fa\\x2ffish\nSETUVAR fish_greeting:AWS_SHARED\n")
	b.root.File(u, u.Home+"/.config/plasma-workspace/env/aws.sh", "export AWS_SHARED_CREDENTIALS_FILE=~/a/plasma\n")
	gone := lost(t, b, u, "a/zsh", "a/fish", "a/plasma", "a/other")
	for name, want := range map[string]bool{"a/zsh": true, "a/fish": true, "a/plasma": true, "a/other": false} {
		if gone[name] != want {
			t.Errorf("%s: gone %t, want %t", name, gone[name], want)
		}
	}
}

// managed starts a real bus of the user's below a trial root, and on it, as the
// user, a service manager that gives out one variable, or hangs.
func managed(t *testing.T, b *bench, u platformtest.User, value string) *bufio.Reader {
	t.Helper()
	runtime := "/run/user/" + strconv.Itoa(u.UID)
	b.root.Folder(platformtest.User{}, runtime, 0o700)
	if os.Geteuid() == 0 {
		if err := os.Chown(b.root.Path(runtime), u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
	bus := b.root.Path(runtime) + "/bus"
	as := &keyring{t: t, user: u, env: []string{"PATH=/usr/bin:/bin", "HOME=" + b.root.Path(u.Home)}}
	as.start("", "dbus-daemon", "--session", "--address=unix:path="+bus, "--nofork", "--nopidfile")
	as.wait("the bus", func() bool { _, err := os.Stat(bus); return err == nil })
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	self := b.root.File(platformtest.User{}, "/usr/lib/manager", string(program)) // where every uid gets to
	if err := os.Chmod(self, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := as.command(ctx, "", self, "service-manager", "unix:path="+bus, value)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the service manager said %q, %v", line, err)
	}
	return said
}

// serviceManager is the main of the process that managed starts.
func serviceManager(bus, value string) int {
	conn, err := dbus.Connect(bus)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := conn.Export(properties(value), "/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties"); err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := conn.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	select {}
}

// properties is what the manager gives out as AWS_SHARED_CREDENTIALS_FILE.
type properties string

// Get answers for Environment, or never.
func (p properties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	fmt.Println("asked", iface, name)
	if p == "hang" {
		select {}
	}
	return dbus.MakeVariant([]string{"HOME=/", "DEPLOY_TOKEN=S3CR3T", "AWS_SHARED_CREDENTIALS_FILE=" + string(p)}), nil
}

func TestAUsersServiceManagerSaysWhereToolsKeepTheirFiles(t *testing.T) {
	u := carol()
	b := newBench(t, u)
	managed(t, b, u, u.Home+"/a/systemd")
	if gone := lost(t, b, u, "a/systemd", "a/other"); !gone["a/systemd"] || gone["a/other"] {
		t.Errorf("gone: %v", gone)
	}
}

// One that takes the question and never answers costs a second, and no removal.
func TestAServiceManagerThatHangsKeepsNothing(t *testing.T) {
	u := carol()
	b := newBench(t, u)
	said := managed(t, b, u, "hang")
	b.root.File(u, u.Home+"/.profile", "export AWS_SHARED_CREDENTIALS_FILE=~/a/file\n")
	if gone := lost(t, b, u, ".aws/credentials", "a/file"); !gone[".aws/credentials"] || !gone["a/file"] {
		t.Errorf("gone: %v", gone)
	}
	if line, err := said.ReadString('\n'); line != "asked org.freedesktop.systemd1.Manager Environment\n" {
		t.Errorf("it was not asked: %q, %v", line, err)
	}
}
