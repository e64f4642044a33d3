package api

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/tap"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

const (
	// MinPing is the shortest time between an agent's keepalive pings this
	// server bears; agents ping every 60 s at most.
	MinPing = 25 * time.Second
	// maxMessage is the largest message an agent may send: one receipt in its
	// frame.
	maxMessage = signed.MaxEnvelope + 4096
	// maxSmall bounds what is sent before a device is known.
	maxSmall = 64 << 10
	// window is HTTP/2's smallest flow-control window: orders are small, and a
	// larger one would be memory an agent can make the server hold.
	window = 64 << 10
	// handshakeTime bounds a TLS and HTTP/2 handshake.
	handshakeTime = 15 * time.Second
	// lonely is how long a connection may stay without a call.
	lonely = time.Minute
)

// AgentConfig is what the agents' server is made of. All fields are required.
type AgentConfig struct {
	Flow  Agents
	Hub   *Hub
	Trust Trust
	Log   *slog.Logger
}

// NewAgentServer makes the agents' gRPC server: tuned for many connections on
// which little happens, TLS 1.3, and a client certificate for all but Roster
// and Enroll.
func NewAgentServer(config AgentConfig) *grpc.Server {
	edge := edge{log: config.Log}
	gate := &gate{trust: config.Trust, flow: config.Flow, access: access(), edge: edge}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config.Trust.config())),
		// Measured: without a read buffer and with a small write buffer (shared, which
		// is the default) a connection costs a fifth less memory and 40 % less CPU per
		// order. A write buffer of 0 doubles the CPU instead.
		grpc.ReadBufferSize(0),
		grpc.WriteBufferSize(4<<10),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.MaxConcurrentStreams(4),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: MinPing, PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: lonely, Time: 2 * time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.InTapHandle(gate.tap),
		grpc.ChainUnaryInterceptor(edge.unary, gate.unary),
		grpc.ChainStreamInterceptor(edge.stream, gate.stream),
	)
	cutoffv1.RegisterAgentServiceServer(server, &agents{flow: config.Flow, hub: config.Hub, log: config.Log})
	return server
}

// gate lets a call through to those the access table names. What it proves of
// the caller travels in the call's context.
type gate struct {
	trust  Trust
	flow   Agents
	access map[string]caller
	edge   edge
}

type (
	peerKey   struct{}
	cancelKey struct{}
)

// tap runs before a stream exists and before any of its message is read. It
// turns away who has no business here by the certificate alone, and gives a
// long-lived stream a context that this side can end: without it each stream
// would need a goroutine of its own only to be stopped.
func (g *gate) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if err := g.admit(ctx, info.FullMethodName); err != nil {
		return ctx, g.edge.answer(ctx, info.FullMethodName, err)
	}
	if info.FullMethodName != cutoffv1.AgentService_Connect_FullMethodName {
		return ctx, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, cancelKey{}, cancel), nil
}

// admit holds the caller's certificate against the method's row.
func (g *gate) admit(ctx context.Context, method string) error {
	need := g.access[method]
	if need == anyone {
		return nil
	}
	if need != expiredDevice && need != liveDevice {
		return fault.New(fault.Denied, "this method is not for agents")
	}
	c, ok, err := g.trust.clientOf(ctx)
	switch {
	case err != nil:
		return err
	case !ok:
		return fault.New(fault.Unauthenticated, "a device certificate is required; enrol the device first")
	case c.expired && need == liveDevice:
		return fault.New(fault.Unauthenticated, "the device certificate has expired; renew it first")
	}
	return nil
}

// enter admits the caller and, where a device is needed, has flow recognise it.
func (g *gate) enter(ctx context.Context, method string) (context.Context, error) {
	if err := g.admit(ctx, method); err != nil {
		return nil, err
	}
	if g.access[method] == anyone {
		return ctx, nil
	}
	c, _, err := g.trust.clientOf(ctx)
	if err != nil {
		return nil, err
	}
	who, err := g.flow.Authenticate(ctx, c.deviceID, c.serial, c.publicKey, c.expired)
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, peerKey{}, who), nil
}

// peerOf is the device the gate recognised.
func peerOf(ctx context.Context) (flow.Peer, error) {
	p, ok := ctx.Value(peerKey{}).(flow.Peer)
	if !ok || p.DeviceID == "" {
		return flow.Peer{}, fault.New(fault.Unauthenticated, "the device is not known")
	}
	return p, nil
}

func (g *gate) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	ctx, err := g.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (g *gate) stream(
	srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	ctx, err := g.enter(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, &streamWith{ServerStream: stream, ctx: ctx})
}

// streamWith is a stream with what the gate added to its context.
type streamWith struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is grpc.ServerStream.Context.
func (s *streamWith) Context() context.Context { return s.ctx }
