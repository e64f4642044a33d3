package uplink

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"cutoff/agent/enroll"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// renewDue is how long until the certificate has used up two thirds of its
// life: counted from its renewal, if this process did it, else by this device's
// clock. A clock before the certificate's start says at once, for then nobody
// knows; a clock that is off cannot make every connection renew.
func (u *Uplink) renewDue() time.Duration {
	u.mu.Lock()
	leaf, renewed := u.certificate.Leaf, u.renewed
	u.mu.Unlock()
	now, life := u.config.Now(), leaf.NotAfter.Sub(leaf.NotBefore)*2/3
	switch {
	case !renewed.IsZero():
		return life - now.Sub(renewed)
	case now.Before(leaf.NotBefore):
		return 0
	default:
		return leaf.NotBefore.Add(life).Sub(now)
	}
}

// renewRetry is the pause after a renewal that failed.
const renewRetry = 5 * time.Minute

// keepRenewed renews while the stream lives, then ends it: the next one is the
// new certificate's first use.
func (u *Uplink) keepRenewed(ctx context.Context, conn *grpc.ClientConn, end context.CancelCauseFunc) error {
	wait := u.renewDue()
	if wait <= 0 {
		wait = renewRetry // it was tried when the session began
	}
	for {
		pause(ctx, wait)
		if ctx.Err() != nil {
			return nil
		}
		err := u.renew(ctx, conn)
		if err == nil {
			end(errRenewed)
			return errRenewed
		}
		u.config.Log.Warn("certificate not renewed", "err", err)
		wait = renewRetry
	}
}

func (u *Uplink) renew(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	csr, err := enroll.Request(u.config.Key)
	if err != nil {
		return err
	}
	answer, err := cutoffv1.NewAgentServiceClient(conn).Renew(ctx, &cutoffv1.RenewRequest{Csr: csr})
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	if len(answer.GetRoster()) > 0 {
		u.adopt(answer.GetRoster())
	}
	chain, err := enroll.Chain(answer.GetCertificate(), u.Roster(), u.config.Device, u.config.Key, u.config.Now())
	if err != nil {
		return err
	}
	next, err := parseCertificate(chain, u.config.Key)
	if err != nil {
		return err
	}
	if err := u.config.State.KeepCertificate(chain); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.certificate, u.renewed = next, u.config.Now()
	return nil
}

// reconcile fetches a pending order and hands in receipts without a stream.
func (u *Uplink) reconcile(ctx context.Context, conn *grpc.ClientConn, ch channel) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	receipts, err := u.config.Handler.Receipts()
	if err != nil {
		return err
	}
	hello, err := u.greeting(ch)
	if err != nil {
		return err
	}
	answer, err := cutoffv1.NewAgentServiceClient(conn).Reconcile(ctx, &cutoffv1.ReconcileRequest{
		Hello: hello.GetHello(), Challenge: hello.GetChallenge(), Receipts: receipts,
	})
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	for _, ack := range answer.GetAcks() {
		u.config.Handler.Received(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_ReceiptAck{ReceiptAck: ack}})
	}
	if len(answer.GetOrder()) > 0 {
		u.config.Handler.Received(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Order{Order: answer.GetOrder()}})
	}
	return nil
}

// Unseal asks the server to open age headers of this device's sealed items.
func (u *Uplink) Unseal(ctx context.Context, cutID string, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
	u.mu.Lock()
	conn := u.conn
	u.mu.Unlock()
	if conn == nil {
		return nil, fmt.Errorf("unseal %s: %w", cutID, ErrOffline)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	answer, err := cutoffv1.NewAgentServiceClient(conn).Unseal(ctx, &cutoffv1.UnsealRequest{CutId: cutID, Headers: headers})
	if err != nil {
		return nil, fmt.Errorf("unseal %s: %w", cutID, err)
	}
	return answer.GetKeys(), nil
}
