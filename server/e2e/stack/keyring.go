package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrNoKeyring says that this machine has no gnome-keyring and D-Bus.
var ErrNoKeyring = errors.New("gnome-keyring, dbus-daemon or secret-tool is not installed")

// Keyring is a user's Secret Service whose bus lies below a scratch root.
type Keyring struct {
	bus  string
	home string
	uid  int
	cmds []*exec.Cmd
}

// StartKeyring starts a session bus and an unlocked gnome-keyring for uid.
func StartKeyring(ctx context.Context, root, home string, uid int) (*Keyring, error) {
	for _, tool := range []string{"dbus-daemon", "gnome-keyring-daemon", "secret-tool"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, ErrNoKeyring
		}
	}
	runtime := filepath.Join(root, "run", "user", fmt.Sprint(uid))
	if err := os.MkdirAll(filepath.Dir(runtime), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(runtime, 0o700); err != nil {
		return nil, err
	}
	k := &Keyring{bus: filepath.Join(runtime, "bus"), home: home, uid: uid}
	if os.Getuid() == 0 {
		if err := os.Chown(runtime, uid, uid); err != nil {
			return nil, err
		}
	}
	if err := k.start("", "dbus-daemon", "--session", "--address=unix:path="+k.bus, "--nofork", "--nopidfile"); err != nil {
		return nil, err
	}
	if err := waitFor(ctx, func() bool { _, err := os.Stat(k.bus); return err == nil }); err != nil {
		k.Close()
		return nil, fmt.Errorf("session bus: %w", err)
	}
	if err := k.start("demo password", "gnome-keyring-daemon", "--unlock", "--components=secrets", "--foreground"); err != nil {
		k.Close()
		return nil, err
	}
	owned := func() bool {
		out, err := k.Command(ctx, "dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/",
			"org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets").Output()
		return err == nil && strings.Contains(string(out), "boolean true")
	}
	if err := waitFor(ctx, owned); err != nil {
		k.Close()
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return k, nil
}

// Command is a program of the user's session.
func (k *Keyring) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + k.home, "XDG_RUNTIME_DIR=" + filepath.Dir(k.bus),
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + k.bus, "LC_ALL=C.UTF-8",
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(k.uid), Gid: uint32(k.uid)}
	}
	return cmd
}

func (k *Keyring) start(input, name string, args ...string) error {
	cmd := k.Command(context.Background(), name, args...)
	cmd.Stdin = strings.NewReader(input)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	k.cmds = append(k.cmds, cmd)
	return nil
}

// Store puts a secret into the default collection.
func (k *Keyring) Store(ctx context.Context, label, secret string, attributes ...string) error {
	cmd := k.Command(ctx, "secret-tool", append([]string{"store", "--label=" + label}, attributes...)...)
	cmd.Stdin = strings.NewReader(secret)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("secret-tool store: %w: %s", err, out)
	}
	return nil
}

// Has reports whether a secret with these attributes is there.
func (k *Keyring) Has(ctx context.Context, attributes ...string) bool {
	out, err := k.Command(ctx, "secret-tool", append([]string{"lookup"}, attributes...)...).Output()
	return err == nil && len(out) > 0
}

// Close ends the daemons.
func (k *Keyring) Close() {
	for i := len(k.cmds) - 1; i >= 0; i-- {
		_ = syscall.Kill(-k.cmds[i].Process.Pid, syscall.SIGKILL)
		_ = k.cmds[i].Wait()
	}
}

func waitFor(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			return errors.New("it did not start within 15 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
