package purge_test

import (
	"context"
	"testing"
	"time"

	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

func TestWritingAgainWhatWasTakenAwayIsNoticedAndNothingElse(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	b.root.File(u, u.Home+"/.aws/credentials", "[default]\naws_secret_access_key = "+secret+"\n")
	b.root.File(u, u.Home+"/.vault-token", secret)
	p, err := purge.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	touched, ended := make(chan struct{}, 1024), make(chan error, 1)
	go func() { ended <- p.Watch(ctx, func() { touched <- struct{}{} }) }()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(20 * time.Second); ; {
		// The watch begins beside this; a run before it watches nothing.
		if _, err := p.Run(ctx, b.warrant(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_1")); err != nil {
			t.Fatal(err)
		}
		b.root.File(u, u.Home+"/.vault-token", secret)
		select {
		case <-touched:
		case <-time.After(200 * time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatal("what came back was not noticed")
			}
			continue
		}
		break
	}
	for quiet := false; !quiet; {
		select {
		case <-touched:
		case <-time.After(200 * time.Millisecond):
			quiet = true
		}
	}
	b.root.File(u, u.Home+"/notes", "nothing of ours")
	b.root.File(u, u.Home+"/.aws/other", "whatever")
	select {
	case <-touched:
	case <-time.After(10 * time.Second):
		t.Fatal("a write into a tool's own folder was not noticed")
	}
}
