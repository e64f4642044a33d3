//go:build !linux

package watch

import (
	"context"
	"errors"
	"os"
)

type watcher struct{}

func newWatcher() (*Watcher, error) { return nil, errors.ErrUnsupported }

func (w *watcher) add(*os.File, []string) error            { return errors.ErrUnsupported }
func (w *watcher) clear()                                  {}
func (w *watcher) run(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }
func (w *watcher) close()                                  {}
