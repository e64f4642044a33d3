package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// prove shows the receipt and checks, from the outside, that what it says is
// so. It returns an error if anything is not.
func (s *scene) prove(ctx context.Context, cut *cutView) error {
	s.receipt(cut)
	s.times(cut)
	if cut.Level != "purge" {
		s.screen.note("proof", "the cut was a %s: its secrets are encrypted on the laptop and a lift brings them back", cut.Level)
		return nil
	}
	s.screen.print("\n  Checked from the outside:\n")
	return errors.Join(s.sessionDead(ctx), s.secretsGone(), s.keyringCut(ctx), s.nothingElse(), s.evidence(ctx, cut))
}

func (s *scene) receipt(cut *cutView) {
	s.screen.print(fmt.Sprintf("\n  Cut %s: %s, exposure %s\n\n  On the laptop\n", cut.ID, cut.State, cut.Exposure))
	type row struct{ product, outcome, detail string }
	counts, order := map[row]int{}, []row{}
	for _, i := range cut.Items {
		r := row{i.Product, i.Outcome, i.Detail}
		if counts[r] == 0 {
			order = append(order, r)
		}
		counts[r]++
	}
	for _, r := range order {
		s.screen.print(fmt.Sprintf("    %3d × %-22s %-12s %s\n", counts[r], r.product, r.outcome, r.detail))
	}
	s.screen.print("\n  In the clouds\n")
	open := 0
	for _, step := range cut.Steps {
		if step.Connector == "none" {
			open++
			continue
		}
		s.screen.print(fmt.Sprintf("    %-14s %-22s %-12s %s %s\n", step.Connector, step.Target, step.Outcome, step.Proof, step.Detail))
	}
	if open > 0 {
		s.screen.print(fmt.Sprintf("    %d credentials of the inventory have no connector here: unsupported, and said so\n", open))
	}
}

func (s *scene) times(cut *cutView) {
	if cut.Opened == nil {
		return
	}
	since := func(at *time.Time) string {
		if at == nil {
			return "–"
		}
		return fmt.Sprintf("%d ms", at.Sub(*cut.Opened).Milliseconds())
	}
	s.screen.print(fmt.Sprintf("\n  Times       opened → order delivered %s · receipt stored %s · settled %s\n", since(cut.Sent), since(cut.Receipt), since(cut.Settled)))
	s.screen.print(fmt.Sprintf("              order received → first file removed %d ms\n", cut.First))
}

func (s *scene) sessionDead(ctx context.Context) error {
	if s.oauth.Refresh(ctx) == nil {
		return s.fail("session", "the refresh token still works")
	}
	if s.oauth.UserInfo(ctx) == nil {
		return s.fail("session", "the access token still works")
	}
	s.screen.done("session", "%s's refresh token and access token are refused by the provider", person)
	return nil
}

func (s *scene) secretsGone() error {
	if live := s.laptop.Live(s.laptop.Root); len(live) > 0 {
		return s.fail("secrets", "%d files still hold one: %s", len(live), strings.Join(live, ", "))
	}
	s.screen.done("secrets", "0 of %d are left anywhere below the laptop", len(s.laptop.Secrets))
	return nil
}

func (s *scene) keyringCut(ctx context.Context) error {
	if s.keyring == nil {
		return nil
	}
	for _, item := range keyringItems {
		if there := s.keyring.Has(ctx, item.attributes...); there != item.mine {
			return s.fail("keyring", "%s: there %t, want %t", item.label, there, item.mine)
		}
	}
	s.screen.done("keyring", "its tokens are gone, the personal item is still there")
	return nil
}

func (s *scene) nothingElse() error {
	if harm := s.laptop.Harm(s.before); len(harm) > 0 {
		return s.fail("everything else", "%s", strings.Join(harm, "; "))
	}
	s.screen.done("everything else", "not a byte, owner, mode or time changed; mixed files lost only their secrets")
	return nil
}

func (s *scene) evidence(ctx context.Context, cut *cutView) error {
	file, key := filepath.Join(s.dir, "evidence"), filepath.Join(s.dir, "evidence.key")
	if err := s.server.CLI(ctx, "", nil, "evidence", "export", cut.ID, "-o", file); err != nil {
		return s.fail("evidence", "%v", err)
	}
	if err := s.writeKey(ctx, key); err != nil {
		return s.fail("evidence", "%v", err)
	}
	if _, err := s.stack.Run(ctx, "", "cutoff-server", "evidence", "verify", file, "--key", key); err != nil {
		return s.fail("evidence", "%v", err)
	}
	s.screen.done("evidence", "exported and verified without the server")
	return nil
}

func (s *scene) fail(what, format string, args ...any) error {
	s.screen.bad(what, format, args...)
	return fmt.Errorf(what+": "+format, args...)
}

// writeKey keeps what `evidence key` prints, as an auditor would.
func (s *scene) writeKey(ctx context.Context, file string) error {
	out, err := s.stack.Run(ctx, "", "cutoff-server", "evidence", "key", "--data", s.server.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o600)
}
