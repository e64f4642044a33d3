// Package command runs other programs: a tool with an absolute path, fixed
// arguments, a deadline and bounded output, or this agent again as a child with
// one user's rights. It never goes through a shell, never searches PATH, hands
// on no environment, and must not know what a tool's output means.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// MaxOutput bounds what Run keeps of a tool's output.
const MaxOutput = 1 << 20

// ErrPath says that a program was not named by an absolute path.
var ErrPath = errors.New("program path is not absolute")

// ErrOutput says that a tool wrote more than MaxOutput.
var ErrOutput = errors.New("tool wrote too much")

// Run runs the tool at path and returns its standard output. ctx must bound its
// time; its standard error is dropped, since it may name what nobody should log.
func Run(ctx context.Context, path string, args ...string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("run %s: %w", path, ErrPath)
	}
	var out limited
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // absolute path, fixed arguments by callers
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return out.kept.Bytes(), fmt.Errorf("run %s: %w", path, err)
	}
	if out.over {
		return nil, fmt.Errorf("run %s: %w", path, ErrOutput)
	}
	return out.kept.Bytes(), nil
}

// limited keeps the first MaxOutput bytes and remembers that there was more. The
// buffer is a field: embedded, its ReadFrom would go round the bound.
type limited struct {
	kept bytes.Buffer
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if room := MaxOutput - l.kept.Len(); len(p) > room {
		l.over = true
		if room > 0 {
			l.kept.Write(p[:room])
		}
		return len(p), nil
	}
	return l.kept.Write(p)
}
