package home

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/scan"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// ProductText is the product of a secret that was found in a text and that no
// catalogue entry takes away.
const ProductText = "text"

// Bounds of the search of all work trees of a home: beyond them it says that it
// did not see everything.
const (
	textTime  = 20 * time.Second
	textBytes = 512 << 20
	textFile  = 1 << 20 // longer texts are data, not what somebody wrote
	textFinds = 1000    // in all
	fileFinds = 20      // in one file
)

// text is the state of that search.
type text struct {
	scanner *scan.Scanner
	ends    time.Time
	bytes   int64
	finds   int
	full    bool
}

// inText searches a file of a work tree that no entry treated. What it finds
// stays: code is the user's work, and only its provider ends a token for good.
func (w *Worker) inText(at place, info files.Info) error {
	t := &w.text
	if !w.job.Text || t.full || info.Size == 0 || info.Size > textFile || w.seen[at.base+"\x00"+at.name] {
		return nil
	}
	if t.scanner == nil {
		t.scanner, t.ends = scan.New(), time.Now().Add(textTime)
	}
	if t.scanner.Skips(at.name) {
		return nil
	}
	t.bytes += info.Size
	if t.bytes > textBytes || t.finds >= textFinds || time.Now().After(t.ends) {
		t.full = true
		i := wire.Item{ID: ID(ProductText, w.job.User, w.job.Home, 0), Product: ProductText, Path: w.job.Home, Regain: "none",
			Confidence: "confirmed", Unbounded: true}
		return w.left(i, wire.Unsupported, "budget")
	}
	data, _, err := w.read(at)
	if err != nil {
		return nil //nolint:nilerr // it went away, or may not be read: a text is no credential's place
	}
	defer clear(data)
	ctx, cancel := context.WithDeadline(w.ctx, t.ends)
	defer cancel()
	return w.findings(at, t.scanner.Scan(ctx, at.name, data))
}

// findings reports what was found in one file: each secret once, where it
// stands first.
func (w *Worker) findings(at place, found []scan.Finding) error {
	said := map[string]bool{}
	for _, f := range found {
		key := f.Rule + "\x00" + string(f.Secret)
		if said[key] || len(said) >= fileFinds || w.text.finds >= textFinds {
			continue
		}
		said[key] = true
		w.text.finds++
		path := w.seenAs(at)
		if f.Line > 0 {
			path = fmt.Sprintf("%s:%d", path, f.Line)
		}
		i := wire.Item{ID: ID(ProductText, w.job.User, path+" "+f.Rule, len(said)), Product: ProductText, Path: path, Regain: "none",
			Confidence: "confirmed", Unbounded: true, Identifiers: []identify.Identifier{{Kind: "secret-rule", Value: f.Rule}}}
		if print := w.fingerprint(f); print != "" {
			i.Identifiers = append(i.Identifiers, identify.Identifier{Kind: "token-hmac", Value: print})
		}
		if err := w.left(i, wire.Unsupported, "in-text"); err != nil {
			return err
		}
	}
	return nil
}

// leastToken is how long a generated token is at the least, in bytes: what is
// shorter could be guessed from its fingerprint by who has the key.
const leastToken = 20

// fingerprint tells a generated token apart, as the server tells those it holds.
// A password has none.
func (w *Worker) fingerprint(f scan.Finding) string {
	if !f.Generated || len(f.Secret) < leastToken || len(w.job.Scope.FingerprintKey) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, w.job.Scope.FingerprintKey)
	h.Write(f.Secret)
	return hex.EncodeToString(h.Sum(nil)[:12])
}
