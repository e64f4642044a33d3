package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"cutoff/platform/secrets"
)

const (
	keyringName = "org.freedesktop.secrets"
	keyringPath = dbus.ObjectPath("/org/freedesktop/secrets")
	patience    = time.Minute
)

// A program of the user's may send signals of its own just before a keyring comes
// up, and the bus itself sends one to whoever is new.
func TestAKeyringThatComesUpBehindAnotherSignalIsSeen(t *testing.T) {
	b := newSessionBus(t)
	k := b.keyring(func() *dbus.Error { return nil })
	done, asked := b.await()
	<-asked
	b.signalOthers(k)
	b.take(k)
	want(t, done)
}

func TestAKeyringThatEndsWhileItIsLookedAtIsWaitedFor(t *testing.T) {
	b := newSessionBus(t)
	var k *dbus.Conn
	var once sync.Once
	gone := make(chan struct{})
	k = b.keyring(func() (answer *dbus.Error) {
		once.Do(func() {
			_, err := k.ReleaseName(keyringName)
			answer = dbus.MakeFailedError(errors.Join(errors.New("it ends"), err))
			close(gone)
		})
		return answer
	})
	b.take(k)
	done, _ := b.await()
	<-gone
	b.take(k)
	want(t, done)
}

func want(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("waited in vain: %v", err)
		}
	case <-time.After(patience):
		t.Error("it was not seen")
	}
}

// sessionBus is a real bus on which the test itself is the keyring.
type sessionBus struct {
	t      *testing.T
	socket string
}

func newSessionBus(t *testing.T) sessionBus {
	t.Helper()
	b := sessionBus{t, filepath.Join(t.TempDir(), "bus")}
	daemon := exec.Command("dbus-daemon", "--session", "--address=unix:path="+b.socket, "--nofork", "--nopidfile", "--print-address")
	ready, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return b
}

// keyring makes a keyring without collections that has no name yet; answer is
// what it says when it is asked for them.
func (b sessionBus) keyring(answer func() *dbus.Error) *dbus.Conn {
	b.t.Helper()
	conn, err := dbus.Connect("unix:path=" + b.socket)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	err = conn.ExportMethodTable(map[string]any{
		"Get": func(_, _ string) (dbus.Variant, *dbus.Error) {
			return dbus.MakeVariant([]dbus.ObjectPath{}), answer()
		},
	}, keyringPath, "org.freedesktop.DBus.Properties")
	if err != nil {
		b.t.Fatal(err)
	}
	return conn
}

func (b sessionBus) take(k *dbus.Conn) {
	b.t.Helper()
	if r, err := k.RequestName(keyringName, dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		b.t.Fatal(r, err)
	}
}

// signalOthers sends a signal to everybody else, asked for or not.
func (b sessionBus) signalOthers(from *dbus.Conn) {
	b.t.Helper()
	var names []string
	if err := from.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
		b.t.Fatal(err)
	}
	for _, name := range names {
		if name[0] != ':' || slices.Contains(from.Names(), name) {
			continue
		}
		from.Send(&dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(name), dbus.FieldPath: dbus.MakeVariant(keyringPath),
			dbus.FieldInterface: dbus.MakeVariant("org.example.Noise"), dbus.FieldMember: dbus.MakeVariant("Noise"),
		}}, nil)
	}
}

// await waits for an unlock. asked is closed when it asks who the keyring is, and
// so listens.
func (b sessionBus) await() (done <-chan error, asked <-chan struct{}) {
	b.t.Helper()
	conn, err := net.Dial("unix", b.socket)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result, ended := make(chan error, 1), make(chan struct{})
	heard := &overheard{Conn: conn, asked: make(chan struct{})}
	go func() {
		defer close(ended)
		result <- secrets.AwaitUnlock(ctx, heard)
	}()
	b.t.Cleanup(func() { cancel(); <-ended })
	return result, heard.asked
}

type overheard struct {
	net.Conn
	once  sync.Once
	asked chan struct{}
}

func (o *overheard) Write(p []byte) (int, error) {
	n, err := o.Conn.Write(p)
	if bytes.Contains(p, []byte("GetNameOwner")) {
		o.once.Do(func() { close(o.asked) })
	}
	return n, err
}
