package secrets

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestOnlyTheServicesOwnWordSaysThatAnItemIsGone(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"no such object, says GNOME's", dbus.Error{Name: "org.freedesktop.DBus.Error.UnknownMethod"}, true},
		{"no such object, says KDE's", dbus.Error{Name: "org.freedesktop.DBus.Error.UnknownObject"}, true},
		{"no such object, wrapped", fmt.Errorf("read: %w", dbus.Error{Name: "org.freedesktop.Secret.Error.NoSuchObject"}), true},
		{"no answer in time", context.DeadlineExceeded, false},
		{"no answer, says the bus", dbus.Error{Name: "org.freedesktop.DBus.Error.NoReply"}, false},
		{"the service went away", dbus.Error{Name: "org.freedesktop.DBus.Error.ServiceUnknown"}, false},
		{"the bus went away", dbus.ErrClosed, false},
		{"another error", errors.New("unknown"), false},
	} {
		if got := denied(c.err); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
