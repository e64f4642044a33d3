package daemon

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"cutoff/agent/config"
	"cutoff/agent/enroll"
	"cutoff/platform/service"
)

// Waits between attempts to enrol: full jitter below a doubling cap. A server
// that said no is asked seldom; settings that change are tried at once.
const (
	awaitFirst   = time.Second
	awaitMost    = time.Minute
	awaitRefused = 15 * time.Minute
	// awaitLook is how often the settings are looked at.
	awaitLook = 3 * time.Second
)

// enrolled is await, with signs of life: whoever waits for the agent at boot
// goes on, for a machine without trust has none to lose.
func enrolled(ctx context.Context, o Options) error {
	if _, err := o.State.Read(); o.Settings != "" && errors.Is(err, config.ErrNotEnrolled) {
		if err := service.Ready(); err != nil {
			o.Log.Warn("service manager not told", "err", err)
		}
	}
	work, ctx := errgroup.WithContext(ctx)
	done, cancel := context.WithCancel(ctx)
	work.Go(func() error {
		defer cancel()
		return await(ctx, o)
	})
	work.Go(func() error { return watched(done, o, func(context.Context) error { return nil }) })
	return work.Wait()
}

// await returns once this machine is enrolled, by the settings that whoever
// rolls the agent out leaves on it, however many days the settings or the
// network take. Without a settings file it returns at once.
func await(ctx context.Context, o Options) error {
	if o.Settings == "" {
		return nil
	}
	_, err := o.State.Read()
	if err == nil {
		forget(o) // left by a crash between the two, or laid down again
		return nil
	}
	if !errors.Is(err, config.ErrNotEnrolled) {
		return nil //nolint:nilerr // open says what is wrong with it
	}
	held := ""
	for attempt := 0; ctx.Err() == nil; attempt++ {
		seen := stamp(o.Settings)
		err := enrol(ctx, o)
		if err == nil || errors.Is(err, context.Canceled) {
			return err
		}
		o.Log.Log(ctx, levelOf(held, err), "not enrolled yet", "err", err)
		held = err.Error()
		if untilChanged(ctx, o.Settings, seen, awaitWait(attempt, err)) {
			attempt = -1
		}
	}
	return ctx.Err()
}

// levelOf keeps a machine that waits for days from filling its log.
func levelOf(held string, err error) slog.Level {
	if err.Error() == held {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func enrol(ctx context.Context, o Options) error {
	s, err := config.ReadSettings(o.Settings)
	if err != nil {
		return err
	}
	result, err := enroll.Run(ctx, enroll.Input{
		State: o.State, Server: s.Server, Token: s.Token, Version: o.Version, Now: time.Now(),
	})
	if err != nil {
		return err
	}
	o.Log.Info("enrolled", "device_id", result.DeviceID, "server", s.Server, "pending", result.Pending)
	forget(o)
	return nil
}

// forget takes the token off the machine. Settings that are not there, or hold
// none, have nothing to forget.
func forget(o Options) {
	s, err := config.ReadSettings(o.Settings)
	if err != nil {
		return
	}
	if err := s.Forget(); err != nil {
		o.Log.Warn("the enrolment token is left on this machine", "file", o.Settings, "err", err)
	}
}

// awaitWait is the pause after an attempt.
func awaitWait(attempt int, err error) time.Duration {
	limit := awaitMost
	if attempt < 6 {
		limit = min(awaitMost, awaitFirst<<attempt)
	}
	var refused *enroll.Refused
	if errors.As(err, &refused) || errors.Is(err, enroll.ErrServer) {
		limit = min(awaitRefused, limit*15)
	}
	return rand.N(limit) + awaitFirst/2 // spreads load, guards nothing
}

// stamp tells one content of a file from the next.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return info.ModTime().String() + info.Mode().String() + strconv.FormatInt(info.Size(), 10)
}

// untilChanged waits, and reports whether the settings changed meanwhile.
func untilChanged(ctx context.Context, path, seen string, wait time.Duration) bool {
	look := time.NewTicker(awaitLook)
	defer look.Stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return false
		case <-look.C:
			if stamp(path) != seen {
				return true
			}
		}
	}
}
