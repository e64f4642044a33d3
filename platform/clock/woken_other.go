//go:build !linux

package clock

import "context"

func woken(ctx context.Context, seen func()) error { return polled(ctx, Boot, seen) }
