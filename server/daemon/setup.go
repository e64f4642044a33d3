package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// offerSetup puts the one-time setup code where only the administrator of this
// machine can read it, and says where; never the code itself. Once there is an
// account, the file goes.
func (s *Server) offerSetup(ctx context.Context, notices io.Writer, console string) error {
	path := s.dir.file(setupCodeFile)
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("setup code: %w", err)
	}
	kept := err == nil
	code, err := s.flow.SetupCode(ctx, kept)
	if err != nil {
		return err
	}
	if code != "" {
		if err := writeSecret(path, code+"\n"); err != nil {
			return fmt.Errorf("setup code: %w", err)
		}
		kept = true
	}
	pending, err := s.flow.SetupPending(ctx)
	if err != nil {
		return err
	}
	if !pending {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("setup code: %w", err)
		}
		return nil
	}
	if kept {
		_, _ = fmt.Fprintf(notices,
			"No operator yet. Make the first admin at %s/setup with the one-time code in %s (it holds for an hour).\n",
			console, path)
	}
	return nil
}

// dropSetupCode removes the code's file once there is an account; a next start
// tries again.
func (s *Server) dropSetupCode() {
	if err := os.Remove(s.dir.file(setupCodeFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Error("remove the used setup code", "err", err)
	}
}

// writeSecret replaces a file that only its owner may read.
func writeSecret(path, text string) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(next, path)
}
