package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// ErrUnheard says that the server did not store the agent's last word.
var ErrUnheard = errors.New("the server did not take the last word")

// leaveTime bounds each way of saying it: a service manager waits.
const leaveTime = 3 * time.Second

// Leave is the agent's last word before its process ends: by the connection
// that is open, else by one of its own. The server has stored it when Leave
// returns nil. permit is the number of the order that permits a removal, or 0.
func (u *Uplink) Leave(ctx context.Context, reason cutoffv1.LeavingReason, permit uint64) error {
	u.mu.Lock()
	conn, ch := u.conn, u.channel
	u.mu.Unlock()
	if conn != nil && conn.GetState() == connectivity.Ready {
		if err := u.leave(ctx, conn, ch, reason, permit); err == nil {
			return nil
		}
	}
	conn, ch, err := u.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return u.leave(ctx, conn, ch, reason, permit)
}

func (u *Uplink) leave(ctx context.Context, conn *grpc.ClientConn, ch channel, reason cutoffv1.LeavingReason, permit uint64) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := shaken(ctx, conn); err != nil {
		return err
	}
	hello, err := u.greeting(ch)
	if err != nil {
		return err
	}
	g, err := u.config.Handler.Greet()
	if err != nil {
		return err
	}
	leaving, err := signed.Seal(signed.TypeLeaving, &cutoffv1.Leaving{
		DeviceId: u.config.Device, Reason: reason, BootId: g.BootID, ChannelBinding: ch.value(),
		OrderNumber: permit, At: timestamppb.New(u.config.Now()),
	}, u.config.Key)
	if err != nil {
		return fmt.Errorf("sign the last word: %w", err)
	}
	// No challenge and no receipts: what the server would answer comes too late.
	answer, err := cutoffv1.NewAgentServiceClient(conn).Reconcile(ctx, &cutoffv1.ReconcileRequest{
		Hello: hello.GetHello(), Leaving: leaving,
	})
	if err != nil {
		return fmt.Errorf("say the last word: %w", err)
	}
	if answer.GetLeavingAck() == nil {
		return ErrUnheard
	}
	return nil
}

// shaken waits for the handshake: what is signed names its connection.
func shaken(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return ErrOffline
		default:
			if !conn.WaitForStateChange(ctx, state) {
				return ErrOffline
			}
		}
	}
}
