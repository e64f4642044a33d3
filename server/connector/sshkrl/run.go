package sshkrl

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"cutoff/server/connector/config"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Memo keys.
const (
	memoVersion = "version"
	memoDone    = "done_at"
)

// Revoke publishes a list that names what the step is for, or, undoing, names
// it no more unless another cut wants it.
func (c *Connector) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	change := revoke.ListChange{Render: c.render, Add: c.entries(s)}
	if s.Action == actionUnlist {
		change.Add, change.Remove = nil, s.UndoOf
	}
	made, err := c.lists.Change(ctx, c.name, change)
	if err != nil {
		return revoke.Result{Outcome: revoke.Retrying, Detail: "not-published", Residual: s.Residual}
	}
	memo := map[string]string{memoVersion: strconv.FormatUint(made.Version, 10), memoDone: c.now().UTC().Format(time.RFC3339)}
	return revoke.Result{Outcome: revoke.Retrying, Done: true, Memo: memo, Residual: c.untilHosts(s)}
}

// Confirm reads back what is published (L1) and waits a while for the hosts of
// the file to say that they have it. Only then is it verified: a list that no
// host reads stops nobody. Sessions that were open go on (sshd looks at the
// list when somebody signs in), so they are the residual.
func (c *Connector) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	l, version, err := c.published(ctx)
	if err != nil {
		return revoke.Result{Outcome: revoke.Retrying, Done: true, Detail: "not-read-back", Residual: s.Residual, Memo: s.Memo}
	}
	if s.Action == actionUnlist {
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true, Memo: s.Memo, Detail: fmt.Sprintf("published as version %d", version)}
	}
	for _, e := range c.entries(s) {
		if gone := !e.ExpiresAt.IsZero() && e.ExpiresAt.Before(c.now()); !gone && !c.names(l, e) {
			return revoke.Result{Outcome: revoke.Retrying, Detail: "not-in-the-list", Residual: s.Residual}
		}
	}
	asked, err := strconv.ParseUint(s.Memo[memoVersion], 10, 64)
	if err != nil {
		asked = version
	}
	r := revoke.Result{
		Outcome: revoke.Accepted, Proof: revoke.L1, Done: true, Memo: s.Memo, Residual: c.untilHosts(s),
		Detail: fmt.Sprintf("published as version %d; which hosts have it is not known", asked),
	}
	if len(c.file.hosts) == 0 {
		return r
	}
	hosts, err := c.lists.Hosts(ctx, c.name)
	if err != nil {
		return revoke.Result{Outcome: revoke.Retrying, Done: true, Detail: "hosts-not-read", Residual: s.Residual, Memo: s.Memo}
	}
	behind := c.behind(hosts, asked)
	if len(behind) == 0 {
		r.Outcome, r.Detail = revoke.Verified, fmt.Sprintf("all %d hosts have version %d", len(c.file.hosts), asked)
		r.Residual = revoke.Residual{Unbounded: true}
		if !c.file.open {
			r.Residual = revoke.Residual{Until: c.now().Add(c.file.session)}
		}
		return r
	}
	r.Detail = fmt.Sprintf("published as version %d; %d of %d hosts have not said that they have it: %s",
		asked, len(behind), len(c.file.hosts), strings.Join(behind[:min(len(behind), 5)], ", "))
	if done, err := time.Parse(time.RFC3339, s.Memo[memoDone]); err == nil && c.now().Before(done.Add(window)) {
		r.Outcome, r.Again = revoke.Retrying, 5*time.Second
	}
	return r
}

// untilHosts is until when a certificate signs in at a host without the list,
// and how long the session goes on that it opened last.
func (c *Connector) untilHosts(s revoke.Step) revoke.Residual {
	end, err := time.Parse(time.RFC3339, s.Params[paramExpires])
	if err != nil || c.file.open {
		return revoke.Residual{Unbounded: true}
	}
	return revoke.Residual{Until: end.Add(c.file.session)}
}

// current is the list as hosts get it, checked by who signed it. Where there
// is none yet, or one that another key signed, it is made.
func (c *Connector) current(ctx context.Context) (revoke.List, error) {
	l, err := c.lists.Published(ctx, c.name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return l, err
	}
	if err == nil && l.Signer == ssh.FingerprintSHA256(c.signer.PublicKey()) {
		return l, nil
	}
	return c.lists.Change(ctx, c.name, revoke.ListChange{Render: c.render})
}

// published reads the current list back, and its version.
func (c *Connector) published(ctx context.Context) (list, uint64, error) {
	l, err := c.current(ctx)
	if err != nil {
		return list{}, 0, err
	}
	read, err := decode(l.Bytes)
	if err == nil && read.version != l.Version {
		err = errors.New("the list says another version")
	}
	return read, l.Version, err
}

// Check reads the list back and says which hosts have it. It makes the first
// one, which names nothing: hosts need a list before anybody may sign in.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	l, version, err := c.published(ctx)
	if err != nil {
		return []config.Finding{{Name: "list", Detail: "it cannot be read back"}}
	}
	names := len(l.keys)
	for _, s := range l.serials {
		names += len(s)
	}
	found := []config.Finding{{
		Name: "list", OK: true,
		Detail: fmt.Sprintf("version %d names %d, at /krl/%s/list; signed by %s", version, names, c.name, ssh.FingerprintSHA256(c.signer.PublicKey())),
	}}
	hosts, err := c.lists.Hosts(ctx, c.name)
	if err != nil {
		return append(found, config.Finding{Name: "hosts", Detail: "they cannot be read"})
	}
	if len(c.file.hosts) == 0 {
		return append(found, config.Finding{Name: "hosts", OK: true, Detail: "none are named: revocations will be accepted, never verified"})
	}
	if behind := c.behind(hosts, version); len(behind) > 0 {
		return append(found, config.Finding{Name: "hosts", Detail: "have not said that they have it: " + strings.Join(behind, ", ")})
	}
	return append(found, config.Finding{Name: "hosts", OK: true, Detail: "all have it"})
}
