//go:build !windows

package service

import "context"

// run: systemd and launchd start a program as any other and stop it by a
// signal, which ctx stands for.
func run(ctx context.Context, _ Spec, work func(ctx context.Context) error) error { return work(ctx) }
