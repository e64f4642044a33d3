package stepca

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cutoff/server/device"
	"cutoff/server/revoke"
)

// Waits between two looks for a device's answer.
const (
	firstLook = 5 * time.Second
	lastLook  = 5 * time.Minute
)

// perTurn bounds how many serials one turn of a following revokes.
const perTurn = 16

// follow revokes every certificate of this CA that was ever reported to lie on
// the device: those from before a renewal can be renewed as well.
func (c *Connector) follow(ctx context.Context, s revoke.Step) revoke.Result {
	all, _, err := c.followed(ctx, s)
	if err != nil {
		return waits(s, "certificates-not-read")
	}
	done := strings.Fields(s.Memo[memoSerials])
	left := missing(all, done)
	memo := map[string]string{memoDone: c.now().UTC().Format(time.RFC3339)}
	for _, cert := range left[:min(len(left), perTurn)] {
		if _, err := c.revoke(ctx, cert); err != nil {
			memo[memoSerials] = strings.Join(done, " ")
			s.Memo = memo
			return failed(err, s)
		}
		done = append(done, key(cert))
	}
	memo[memoSerials] = strings.Join(done, " ")
	r := revoke.Result{
		Outcome: revoke.Retrying, Done: true, Memo: memo, Residual: revoke.Residual{Unbounded: true},
		Detail: fmt.Sprintf("%d revoked", len(done)),
	}
	if len(left) > perTurn {
		r.Done, r.Again = false, time.Millisecond // the rest at once
	}
	return r
}

// confirmFollowing is done once the CA has all of them and the device has
// answered: its answer names what it removed, it has no key to renew with, and
// the CA renews nothing that is revoked. Until then one may have been renewed
// that nobody here knows.
func (c *Connector) confirmFollowing(ctx context.Context, s revoke.Step) revoke.Result {
	all, answered, err := c.followed(ctx, s)
	if err != nil {
		r := waits(s, "certificates-not-read")
		r.Done = true
		return r
	}
	done := strings.Fields(s.Memo[memoSerials])
	if len(missing(all, done)) > 0 {
		return waits(s, "another-was-reported")
	}
	left := revoke.Residual{}
	list, err := c.listFor(ctx, device.Certificate{Kind: device.X509})
	if err != nil {
		return unsure(err, s)
	}
	for _, cert := range all {
		how, err := c.recorded(ctx, cert, list)
		if err != nil {
			return unsure(err, s)
		}
		if how == "" {
			r := waits(s, "not-recorded")
			r.Memo = map[string]string{memoSerials: ""}
			return r
		}
		left = left.Later(c.afterwards(cert, list, doneAt(s, c.now())))
	}
	count := fmt.Sprintf("%d revoked", len(all))
	switch {
	case answered:
		return revoke.Result{
			Outcome: revoke.Verified, Proof: revoke.L1, Done: true, Memo: s.Memo, Residual: left,
			Detail: count + ", and the device has answered",
		}
	case s.Params[paramOnly] != "":
		return revoke.Result{
			Outcome: revoke.Accepted, Proof: revoke.L1, Done: true, Memo: s.Memo, Residual: revoke.Residual{Unbounded: true},
			Detail: count + "; one renewed since the device last reported is not among them",
		}
	default:
		r := waits(s, count+"; waits for the device's answer: one renewed since its last report is not among them")
		r.Done, r.Proof = true, revoke.L1
		r.Again = min(lastLook, max(firstLook, c.now().Sub(doneAt(s, c.now()))/4))
		return r
	}
}

// followed are the X.509 certificates of this CA that a step is about.
func (c *Connector) followed(ctx context.Context, s revoke.Step) ([]device.Certificate, bool, error) {
	seen, answered, err := c.seen(ctx, s.CutID, s.Params[paramDevice])
	if err != nil {
		return nil, false, err
	}
	only := strings.Split(s.Params[paramOnly], "\n")
	var all []device.Certificate
	for _, cert := range seen {
		if _, ok := decimal(cert); !ok || cert.Kind != device.X509 || !c.file.ours(cert) {
			continue
		}
		if s.Params[paramOnly] == "" || slices.Contains(only, cert.Name) {
			all = append(all, cert)
		}
	}
	return all, answered, nil
}

func missing(all []device.Certificate, done []string) []device.Certificate {
	return slices.DeleteFunc(slices.Clone(all), func(c device.Certificate) bool { return slices.Contains(done, key(c)) })
}

func key(c device.Certificate) string { return c.Kind + ":" + c.Serial }

func waits(s revoke.Step, why string) revoke.Result {
	return revoke.Result{Outcome: revoke.Retrying, Detail: why, Memo: s.Memo, Residual: revoke.Residual{Unbounded: true}}
}
