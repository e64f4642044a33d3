package api

import (
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/flow"
)

// maxAdmin bounds an admin request: a policy or connector file, with room.
const maxAdmin = 4 << 20

// maxAnswer bounds an answer: the largest evidence export, with room.
const maxAnswer = 520 << 20

// AdminConfig is what the admin servers are made of. All fields are required.
type AdminConfig struct {
	Flow       Admin
	Connectors Connectors
	Bearer     Bearer
	Now        flow.Clock
	Log        *slog.Logger
}

// NewSocketServer makes the admin service for the local socket, where the
// kernel says who calls.
func NewSocketServer(config AdminConfig) *grpc.Server {
	return newAdminServer(config, byLocalUser, grpc.Creds(socketCredentials{}))
}

// NewNetworkServer makes the admin service for callers with an API key. It is
// served behind the console's listener (see NewHandler), which does the TLS.
func NewNetworkServer(config AdminConfig) *grpc.Server {
	return newAdminServer(config, byBearer(config.Bearer))
}

func newAdminServer(config AdminConfig, who identify, more ...grpc.ServerOption) *grpc.Server {
	edge := edge{log: config.Log}
	desk := &desk{who: who, access: access(), log: config.Log}
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxAdmin),
		grpc.MaxSendMsgSize(maxAnswer),
		grpc.MaxConcurrentStreams(256),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 10 * time.Second, PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.ChainUnaryInterceptor(edge.unary, desk.unary),
		grpc.ChainStreamInterceptor(edge.stream, desk.stream),
	}, more...)...)
	cutoffv1.RegisterAdminServiceServer(server, NewAdmin(config))
	return server
}

// NewAdmin makes the admin service itself, for a caller in this process that
// has recognised its operator (WithActor) and asked whether he may (May).
func NewAdmin(config AdminConfig) cutoffv1.AdminServiceServer {
	return &adminService{flow: config.Flow, connectors: config.Connectors, now: config.Now}
}
