package device_test

import (
	"errors"
	"testing"
	"time"

	"cutoff/server/device"
)

func TestADeviceMovesOnlyAsTheTableSays(t *testing.T) {
	all := []device.State{"", device.Pending, device.Trusted, device.Warned, device.Sealed, device.Purged, device.Retired}
	allowed := map[device.State]map[device.State]bool{
		device.Pending: {device.Trusted: true, device.Sealed: true, device.Purged: true, device.Retired: true},
		device.Trusted: {device.Warned: true, device.Sealed: true, device.Purged: true, device.Retired: true},
		device.Warned:  {device.Trusted: true, device.Sealed: true, device.Purged: true, device.Retired: true},
		device.Sealed:  {device.Trusted: true, device.Purged: true, device.Retired: true},
		device.Purged:  {device.Retired: true},
	}
	for _, from := range all {
		for _, to := range all {
			got, err := device.Move(from, to)
			switch ok := allowed[from][to] || from == to && from != ""; {
			case ok && (err != nil || got != to):
				t.Errorf("%q to %q: %q, %v", from, to, got, err)
			case !ok && (!errors.Is(err, device.ErrTransition) || got != from):
				t.Errorf("%q to %q was allowed: %q, %v", from, to, got, err)
			}
		}
	}
}

func TestATokensStateIsTheFirstThatHolds(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for want, token := range map[string]device.Token{
		device.TokenLive:    {Uses: 2, Used: 1, ExpiresAt: now.Add(time.Nanosecond)},
		device.TokenUsedUp:  {Uses: 2, Used: 2, ExpiresAt: now.Add(time.Hour)},
		device.TokenExpired: {Uses: 2, Used: 2, ExpiresAt: now},
		device.TokenRevoked: {Uses: 2, ExpiresAt: now, RevokedAt: now},
	} {
		if got := token.StateAt(now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := (&device.Token{}).StateAt(now); got == device.TokenLive {
		t.Fatal("the zero token is live")
	}
}
