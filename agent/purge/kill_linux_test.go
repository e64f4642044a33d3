package purge_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// mortalHome has one of each kind of what is sealed.
func mortalHome(b *bench, u platformtest.User) {
	b.root.File(u, u.Home+"/.vault-token", secret)
	b.root.File(u, u.Home+"/.npmrc", "fund=false\n//r/:_authToken="+secret+"\n")
	b.root.File(u, u.Home+"/.aws/sso/cache/1.json", `{"accessToken":"`+secret+`"}`)
	b.root.File(u, u.Home+"/.aws/sso/cache/deep/2.json", `{"accessToken":"`+secret+`"}`)
	b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret)
}

func TestAChildKilledAtAnyFrameOfASealCostsNothing(t *testing.T) {
	for _, frame := range []string{"in", "out", "sent"} {
		for nth := 1; ; nth += stride() {
			b := newBench(t, user("alice"))
			u := user("alice")
			mortalHome(b, u)
			before := platformtest.Take(t, b.root.Dir)
			b.config.Self = dying{frame, nth, false}.executable(t)
			var log bytes.Buffer
			b.config.Log = slog.New(slog.NewTextHandler(&log, nil))
			b.seal() // each child dies at that frame of its own, if it comes to it
			died := strings.Contains(log.String(), "child stopped")
			b.config.Self = ""
			r := b.seal()
			checkOnce(t, r.Items, 4)
			noSecretBelow(t, b.root.Dir)
			noSecretBelow(t, b.state)
			b.lift()
			if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
				t.Fatalf("%s %d: not as it was:\n%s", frame, nth, strings.Join(diff, "\n"))
			}
			if t.Failed() {
				t.Fatalf("%s %d: %s", frame, nth, list(r.Items))
			}
			if !died {
				break
			}
		}
	}
}

// stride is how many steps lie between two kills: none in the heavy run.
func stride() int {
	if os.Getenv("CUTOFF_HEAVY") != "" {
		return 1
	}
	return 4
}

// checkOnce holds that each path is in the receipt once, sealed.
func checkOnce(t *testing.T, items []*cutoffv1.Item, number int) {
	t.Helper()
	seen := map[string]bool{}
	for _, i := range items {
		if i.GetProduct() == "home" {
			continue // that the child was killed
		}
		if seen[i.GetPath()] {
			t.Errorf("%s is listed twice", i.GetPath())
		}
		seen[i.GetPath()] = true
		if !i.GetSealed() || i.GetOutcome() != verified {
			t.Errorf("%s: %s %s", i.GetPath(), i.GetAction(), i.GetDetail())
		}
	}
	if len(seen) != number {
		t.Errorf("got %d items, want %d", len(seen), number)
	}
}
