package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cutoff/agent/enroll"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

var (
	// errRenewed ends a session so that the next one uses the new certificate.
	errRenewed = errors.New("certificate renewed")
	errDrained = errors.New("the server goes away")
	errSilent  = errors.New("the server did not answer the hello")
	// ErrOffline: there is no connection now.
	ErrOffline = errors.New("not connected")
)

// welcomeTime is how long the server may take to answer a hello.
const welcomeTime = 30 * time.Second

// session is one connection from dial to loss. again is how long the server
// asked to stay away.
func (u *Uplink) session(ctx context.Context) (again time.Duration, err error) {
	conn, ch, err := u.dial()
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if u.renewDue() <= 0 {
		err := u.renew(ctx, conn)
		if err == nil {
			return 0, errRenewed
		}
		u.config.Log.Warn("certificate not renewed", "err", err)
	}
	u.setConn(conn, ch)
	defer u.setConn(nil, channel{})
	again, err = u.stream(ctx, conn, ch)
	if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied {
		return again, u.readmit(ctx, conn, ch, err)
	}
	return again, err
}

// readmit is for a device whose certificate the server does not take for a
// stream: the server may see by its own clock that it has expired.
func (u *Uplink) readmit(ctx context.Context, conn *grpc.ClientConn, ch channel, cause error) error {
	u.config.Log.Warn("stream refused", "err", cause)
	if err := u.renew(ctx, conn); err == nil {
		// Not errRenewed: a server that renews and refuses must not be hammered.
		return errors.New("stream refused, certificate renewed")
	}
	return errors.Join(cause, u.reconcile(ctx, conn, ch))
}

// stream says hello and then carries messages both ways until an end fails.
func (u *Uplink) stream(ctx context.Context, conn *grpc.ClientConn, ch channel) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	raw, err := cutoffv1.NewAgentServiceClient(conn).Connect(ctx)
	if err != nil {
		return 0, err
	}
	welcome, err := u.hello(raw, ch, cancel)
	if err != nil {
		return 0, cause(ctx, err)
	}
	s := &Stream{outbox: make(chan *cutoffv1.ConnectRequest, outboxSize), cancel: cancel}
	u.config.Handler.Opened(s, welcome)
	defer u.config.Handler.Closed()
	u.config.Log.Info("connected")

	var again time.Duration
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer cancel(nil)
		var err error
		again, err = u.receive(raw)
		return err
	})
	work.Go(func() error { return s.drain(ctx, raw) })
	work.Go(func() error { return u.keepRenewed(ctx, conn, cancel) })
	err = work.Wait()
	return again, cause(ctx, err)
}

// cause prefers what this side said about the end.
func cause(ctx context.Context, err error) error {
	if said := context.Cause(ctx); said != nil && !errors.Is(said, context.Canceled) {
		return said
	}
	return err
}

type connectStream = grpc.BidiStreamingClient[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]

// hello sends the first message and waits for the welcome; a roster may come
// before it.
func (u *Uplink) hello(raw connectStream, ch channel, cancel context.CancelCauseFunc) (*cutoffv1.Welcome, error) {
	hello, err := u.greeting(ch)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(welcomeTime, func() { cancel(errSilent) })
	defer late.Stop()
	err = raw.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Hello{
		Hello: hello,
	}})
	if err != nil {
		_, err = raw.Recv() // the stream's own error is read, not sent
		return nil, err
	}
	for {
		m, err := raw.Recv()
		if err != nil {
			return nil, err
		}
		switch what := m.GetMessage().(type) {
		case *cutoffv1.ConnectResponse_Roster:
			u.adopt(what.Roster)
		case *cutoffv1.ConnectResponse_Welcome:
			return what.Welcome, nil
		default:
			return nil, fmt.Errorf("the server answered the hello with %T", what)
		}
	}
}

func (u *Uplink) greeting(ch channel) (hello *cutoffv1.StreamHello, err error) {
	g, err := u.config.Handler.Greet()
	if err != nil {
		return nil, err
	}
	envelope, err := signed.Seal(signed.TypeHello, &cutoffv1.Hello{
		DeviceId: u.config.Device, HighestOrder: g.HighestOrder, HighestLease: g.HighestLease,
		CertificateSerial: fmt.Sprintf("%032x", u.current().Leaf.SerialNumber),
		RosterVersion:     u.Roster().Version, AgentVersion: u.config.Version, BootId: g.BootID,
		ChannelBinding: ch.value(),
	}, u.config.Key)
	if err != nil {
		return nil, fmt.Errorf("sign hello: %w", err)
	}
	hello = &cutoffv1.StreamHello{Hello: envelope, Challenge: g.Challenge}
	if g.CatalogueNumber > 0 {
		hello.Catalogue = &cutoffv1.CatalogueHeld{Number: g.CatalogueNumber, Content: g.Catalogue}
	}
	return hello, nil
}

// receive hands on what comes until the stream ends.
func (u *Uplink) receive(raw connectStream) (time.Duration, error) {
	for {
		m, err := raw.Recv()
		if err != nil {
			return 0, err
		}
		switch what := m.GetMessage().(type) {
		case *cutoffv1.ConnectResponse_Roster:
			u.adopt(what.Roster)
		case *cutoffv1.ConnectResponse_Drain:
			return drainWait(what.Drain), errDrained
		default:
			u.config.Handler.Received(m)
		}
	}
}

// maxDrain bounds how long a server may send its agents away.
const maxDrain = 10 * time.Minute

func drainWait(d *cutoffv1.Drain) time.Duration {
	return min(maxDrain, max(0, time.Duration(d.GetAfterMs())*time.Millisecond))
}

// adopt takes a roster of a higher version by the known root.
func (u *Uplink) adopt(envelope []byte) {
	next, err := enroll.OpenRoster(envelope, u.config.RootKey, u.config.Domain)
	if err != nil {
		u.config.Log.Warn("roster refused", "err", err)
		reason := "malformed"
		if errors.Is(err, signed.ErrUntrusted) {
			reason = "forged"
		}
		u.config.Handler.RosterRefused(reason, 0)
		return
	}
	switch have := u.Roster().Version; {
	case next.Version == have:
		return
	case next.Version < have:
		u.config.Handler.RosterRefused("stale", next.Version)
		return
	}
	if err := u.config.State.KeepRoster(envelope); err != nil {
		u.config.Log.Warn("roster not kept", "err", err)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.roster = next
}
