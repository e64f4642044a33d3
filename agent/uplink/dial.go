package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"cutoff/proto/signed"
)

// Bounds of the connection.
const (
	maxMessage = signed.MaxEnvelope + 4096
	window     = 64 << 10
	pingAfter  = 60 * time.Second
	pingWait   = 20 * time.Second
	dialTime   = 20 * time.Second
	callTime   = 30 * time.Second
)

// binding is the label and size of the exporter value a hello repeats.
const (
	bindingLabel = "EXPORTER-cutoff-hello"
	bindingSize  = 32
)

// channel is TLS that remembers the exporter value of its newest connection.
type channel struct {
	credentials.TransportCredentials
	mu      *sync.Mutex
	binding *[]byte
}

// ClientHandshake is credentials.TransportCredentials.
func (c channel) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, errors.Join(errors.New("the connection is not TLS"), conn.Close())
	}
	value, err := tlsInfo.State.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("bind the connection: %w", err), conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.binding = value
	return conn, info, nil
}

// Clone shares the memory.
func (c channel) Clone() credentials.TransportCredentials { return c }

func (c channel) value() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.binding
}

// dial makes a connection whose other end must be the roster's server. It is
// opened by the first call.
func (u *Uplink) dial() (*grpc.ClientConn, channel, error) {
	ch := channel{
		TransportCredentials: credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return u.current(), nil
			},
			// The server is known by roster and SPIFFE id, whatever its address,
			// and whatever this device's clock says: VerifyConnection does it.
			InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
			VerifyConnection: func(state tls.ConnectionState) error {
				return u.Roster().VerifyServer(state, u.config.Now())
			},
		}),
		mu: &sync.Mutex{}, binding: new([]byte),
	}
	server := u.address()
	conn, err := grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(ch), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: dialTime}),
		grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(4<<10),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingWait}))
	if err != nil {
		return nil, channel{}, fmt.Errorf("connect to %s: %w", server, err)
	}
	return conn, ch, nil
}
