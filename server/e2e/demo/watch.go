package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// cutView is what `cut show --json` prints of a cut.
type cutView struct {
	ID       string     `json:"cut_id"`
	State    string     `json:"state"`
	Level    string     `json:"level"`
	Exposure string     `json:"exposure"`
	Opened   *time.Time `json:"opened_at"`
	Sent     *time.Time `json:"order_delivered_at"`
	Receipt  *time.Time `json:"receipt_at"`
	Settled  *time.Time `json:"settled_at"`
	First    int64      `json:"first_removed_ms"`
	Items    []struct {
		Product, User, Path, Action, Outcome, Detail string
	} `json:"items"`
	Steps []struct {
		Connector, Target, Action, Outcome, Proof, Detail string
		Residual                                          string `json:"residual_until"`
	} `json:"steps"`
}

const poll = 150 * time.Millisecond

// every calls check until it answers true.
func every(ctx context.Context, limit time.Duration, what string, check func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := check()
		if ok || err != nil {
			return err
		}
		if limit > 0 && time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s", what, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// inventoried waits until the server knows what is on the laptop.
func (s *scene) inventoried(ctx context.Context) error {
	return every(ctx, 30*time.Second, "the agent's inventory", func() (bool, error) {
		var list struct{ Credentials []struct{} }
		err := s.server.CLI(ctx, "", &list, "credential", "list", "--device", s.agent.DeviceID)
		return len(list.Credentials) > 20, err
	})
}

// latest is the newest cut, or none.
func (s *scene) latest(ctx context.Context) (*cutView, error) {
	var list struct{ Cuts []cutView }
	if err := s.server.CLI(ctx, "", &list, "cut", "list"); err != nil {
		return nil, err
	}
	if len(list.Cuts) == 0 {
		return nil, nil
	}
	cut := &cutView{}
	if err := s.server.CLI(ctx, "", cut, "cut", "show", list.Cuts[0].ID); err != nil {
		return nil, err
	}
	return cut, nil
}

func (s *scene) interactive(ctx context.Context) error {
	s.screen.print(fmt.Sprintf(`
  Open      %s
            (its certificate is from the demo's own CA: let the browser pass)
  Sign in   admin / %s
  Press     Devices → %s → Cut this device → Purge, a reason, the name → Cut
  Or here   %s/cutoff-server cut %s --level purge --reason lost --wait --data %s

  Waiting for the cut. Ctrl-C cleans up.

`, s.server.Console, s.password, hostname, s.stack.Bin, hostname, s.server.Data))
	var cut *cutView
	err := every(ctx, 0, "", func() (bool, error) {
		latest, err := s.latest(ctx)
		if err != nil || latest == nil || (latest.State != "settled" && latest.State != "lifted") {
			return false, err
		}
		cut = latest
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := s.prove(ctx, cut); err != nil {
		s.screen.bad("proof", "%v", err)
	}
	s.screen.print("\n  The console stays up; look around, or lift a seal. Ctrl-C cleans up.\n")
	<-ctx.Done()
	return ctx.Err()
}

func (s *scene) unattended(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.sessionLives(ctx); err != nil {
		return err
	}
	s.screen.print("\n  Cutting " + hostname + ": level purge.\n\n")
	begun := time.Now()
	// Exit status 1 is expected: some credentials of the inventory are out of
	// every connector's reach, and the cut says so.
	cutErr := s.server.CLI(ctx, "", nil, "cut", hostname, "--level", "purge", "--reason", "demo", "--wait", "--timeout", "60s")
	took := time.Since(begun)
	cut, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if cut == nil {
		return errors.Join(errors.New("no cut was opened"), cutErr)
	}
	s.screen.done("command", "cut --wait returned after %d ms", took.Milliseconds())
	return s.prove(ctx, cut)
}
