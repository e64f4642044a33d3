//go:build !linux

package service

import (
	"context"
	"time"
)

// notify: launchd and the service control manager take a started process for a
// ready one.
func notify(string) error { return nil }

func watched() time.Duration { return 0 }

// whyEnding: neither says.
func whyEnding(context.Context, string) Ending { return Unknown }
