package stepca

import (
	"context"
	"errors"
	"time"

	"cutoff/server/device"
	"cutoff/server/revoke"
)

// Confirm reads back: an X.509 serial in the CRL; without one, and for SSH, by
// revoking once more, which the CA refuses for what it has (and only then: an
// unknown serial gets a yes as well).
//
// Proof is L1: the CA renews it no more. Whoever takes the certificate on its
// signature alone takes it until it ends, so its end is the residual.
func (c *Connector) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	if s.Action == actionFollow {
		return c.confirmFollowing(ctx, s)
	}
	cert := certificateOf(s)
	list, err := c.listFor(ctx, cert)
	if err != nil {
		return unsure(err, s)
	}
	how, err := c.recorded(ctx, cert, list)
	switch {
	case err != nil:
		return unsure(err, s)
	case how == "":
		return revoke.Result{Outcome: revoke.Retrying, Detail: "not-recorded", Residual: s.Residual}
	}
	if s.Memo[memoAlready] != "" {
		how = "already, " + how
	}
	return revoke.Result{
		Outcome: revoke.Verified, Proof: revoke.L1, Done: true, Detail: how, Memo: s.Memo,
		Residual: c.afterwards(cert, list, doneAt(s, c.now())),
	}
}

// listFor is the CRL where it says something of cert; nil where there is none.
func (c *Connector) listFor(ctx context.Context, cert device.Certificate) (*crl, error) {
	if cert.Kind == device.SSH {
		return nil, nil
	}
	list, err := c.list(ctx)
	if errors.Is(err, errNoCRL) {
		return nil, nil
	}
	return list, err
}

// recorded says how the CA shows that it has cert revoked; "" if it has not.
func (c *Connector) recorded(ctx context.Context, cert device.Certificate, list *crl) (string, error) {
	serial, ok := decimal(cert)
	if !ok {
		return "", &keyError{"no-serial"}
	}
	if list != nil && list.has(serial) {
		return "in-the-crl", nil
	}
	already, err := c.revoke(ctx, cert)
	if err != nil || !already {
		return "", err
	}
	if list != nil {
		return "recorded, in the CRL from " + list.next.UTC().Format(time.RFC3339), nil
	}
	if cert.Kind == device.SSH {
		return "recorded: hosts take it until it ends, or a key revocation list names it", nil
	}
	return "recorded, no CRL", nil
}

// afterwards is until when a revoked certificate may be taken: those who read
// the CRL may have one from before that is good until it is replaced.
func (c *Connector) afterwards(cert device.Certificate, list *crl, at time.Time) revoke.Residual {
	end := c.ends(cert, at)
	if list == nil || !c.file.listed || cert.Kind != device.X509 || list.next.IsZero() {
		return end
	}
	serial, _ := decimal(cert)
	read := list.next // not in it yet: the next one has it, and the one from before may be kept until then
	if list.has(serial) {
		read = at.Add(list.next.Sub(list.made))
	} else {
		read = read.Add(list.next.Sub(list.made))
	}
	if end.Unbounded || end.Until.After(read) {
		return revoke.Residual{Until: read}
	}
	return end
}

func doneAt(s revoke.Step, now time.Time) time.Time {
	if t, err := time.Parse(time.RFC3339, s.Memo[memoDone]); err == nil {
		return t
	}
	return now
}

// unsure is the result where the read-back had no answer: the act is done.
func unsure(err error, s revoke.Step) revoke.Result {
	r := failed(err, s)
	r.Done = true
	var bad *malformed
	if errors.As(err, &bad) {
		r.Detail = bad.Error()
	}
	return r
}
