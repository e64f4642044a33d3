package notify_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"cutoff/platform/notify"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == notify.ChildArg {
		os.Exit(notify.ChildMain())
	}
	os.Exit(m.Run())
}

// desktop takes notifications on a real session bus.
type desktop struct {
	mu    sync.Mutex
	taken []string
	hang  bool
}

// Notify is org.freedesktop.Notifications.Notify.
func (d *desktop) Notify(app string, _ uint32, _, title, text string, _ []string, hints map[string]dbus.Variant, expires int32) (uint32, *dbus.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hang {
		d.mu.Unlock()
		select {}
	}
	d.taken = append(d.taken, fmt.Sprintf("%s|%s|%s|%v|%d", app, title, text, hints["urgency"].Value(), expires))
	return 7, nil
}

// login gives uid of the trial root a home, a bus and a desktop.
func login(t *testing.T, root string, uid int) *desktop {
	t.Helper()
	home, runtime := filepath.Join(root, "home", strconv.Itoa(uid)), filepath.Join(root, "run/user", strconv.Itoa(uid))
	for _, dir := range []string{home, runtime, filepath.Join(root, "etc")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	passwd, err := os.OpenFile(filepath.Join(root, "etc/passwd"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(passwd, "u%d:x:%d:%d::/home/%d:/bin/sh\n", uid, uid, uid, uid)
	_ = passwd.Close()
	daemon := exec.Command("dbus-daemon", "--session", "--address=unix:path="+filepath.Join(runtime, "bus"), "--nofork", "--nopidfile", "--print-address=1")
	if os.Geteuid() == 0 {
		for _, dir := range []string{home, runtime} {
			if err := os.Chown(dir, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		daemon.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	if _, err := out.Read(make([]byte, 200)); err != nil {
		t.Fatal(err)
	}
	return &desktop{}
}

// serves puts the desktop on its own bus. Only its user may connect, so that a
// test as root speaks as root only where the user is root.
func (d *desktop) serves(t *testing.T, root string, uid int) {
	t.Helper()
	bus, err := dbus.Connect("unix:path=" + filepath.Join(root, "run/user", strconv.Itoa(uid), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	if err := bus.Export(d, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if reply, err := bus.RequestName("org.freedesktop.Notifications", 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
}

func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestANoticeReachesTheDesktopOfWhoIsLoggedIn(t *testing.T) {
	root, uid := scratch(t), os.Geteuid()
	d := login(t, root, uid)
	d.serves(t, root, uid)
	if uid == 0 {
		login(t, root, 65534) // a bus without a desktop: the notice is refused there
	}
	told, err := notify.Users(t.Context(), root, notify.Notice{Title: "Connect", Text: "a <b>&", Urgent: true})
	if told != 1 || uid == 0 && err == nil {
		t.Errorf("told %d, %v", told, err)
	}
	if len(d.taken) != 1 || d.taken[0] != "Cutoff|Connect|a &lt;b&gt;&amp;|2|0" {
		t.Errorf("got %q", d.taken)
	}
}

func TestWithoutASessionNobodyIsTold(t *testing.T) {
	root := scratch(t)
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(root, "home")
	runtime := filepath.Join(root, "run/user", strconv.Itoa(os.Geteuid()))
	for _, dir := range []string{home, runtime} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	line := fmt.Sprintf("u:x:%d:%d::/home:/bin/sh\n", os.Geteuid(), os.Getegid())
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	// A link is no way out of the root.
	if err := os.Symlink("/run/dbus/system_bus_socket", filepath.Join(runtime, "bus")); err != nil {
		t.Fatal(err)
	}
	if told, err := notify.Users(t.Context(), root, notify.Notice{Title: "x"}); told != 0 || err != nil {
		t.Errorf("told %d, %v", told, err)
	}
}

func TestADesktopThatHangsIsLeftAlone(t *testing.T) {
	root, uid := scratch(t), os.Geteuid()
	d := login(t, root, uid)
	d.hang = true
	d.serves(t, root, uid)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	ended := make(chan error)
	go func() { _, err := notify.Users(ctx, root, notify.Notice{Title: "x"}); ended <- err }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a desktop that never answered took the notice")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for a desktop that hangs")
	}
}
