package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Refused is the server's own word against an enrolment.
type Refused struct{ Sentence string }

// Error is what the server said.
func (r *Refused) Error() string { return "the server refused: " + r.Sentence }

// maxAnswer bounds an answer of the server, in bytes.
const maxAnswer = 1 << 20

// callTime bounds one call.
const callTime = 30 * time.Second

// line is one connection, and one only: a second handshake is refused, so that
// the secret goes to exactly the peer whose certificate was checked.
type line struct {
	conn *grpc.ClientConn
	seen *once
}

// once is TLS without verification that shakes hands a single time and
// remembers with whom. Nothing secret is sent before line.roster has verified
// what it remembers.
type once struct {
	credentials.TransportCredentials
	mu    sync.Mutex
	state *tls.ConnectionState
}

var errSecondHandshake = errors.New("the connection broke during enrolment")

// ClientHandshake is credentials.TransportCredentials.
func (o *once) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != nil {
		return nil, nil, errSecondHandshake
	}
	conn, info, err := o.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, errors.Join(errors.New("the connection is not TLS"), conn.Close())
	}
	o.state = &tlsInfo.State
	return conn, info, nil
}

// Clone shares the memory: there is one connection.
func (o *once) Clone() credentials.TransportCredentials { return o }

func (o *once) connection() (tls.ConnectionState, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == nil {
		return tls.ConnectionState{}, false
	}
	return *o.state, true
}

func dial(server string) (*line, error) {
	seen := &once{TransportCredentials: credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		// The certificate is held against the roster before the secret is sent;
		// the roster against the token's pin. See line.roster.
		InsecureSkipVerify: true, //nolint:gosec // verified above the transport, see there
	})}
	conn, err := grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(seen), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	return &line{conn: conn, seen: seen}, nil
}

func (l *line) close() { _ = l.conn.Close() }

// roster fetches the roster and verifies, in this order, that its root key is
// the one pinned, that the root key signed it, and that the connection's other
// end has a certificate from its CA.
func (l *line) roster(ctx context.Context, token Token, now time.Time) (*Roster, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	answer, err := cutoffv1.NewAgentServiceClient(l.conn).Roster(ctx, &cutoffv1.RosterRequest{})
	if err != nil {
		return nil, nil, said("ask for the roster", err)
	}
	rootKey := answer.GetRootKey()
	pin := sha256.Sum256(rootKey)
	if !bytes.Equal(pin[:], token.RootPin[:]) {
		return nil, nil, fmt.Errorf("%w: its root key is not the one the token pins", ErrServer)
	}
	roster, err := OpenRoster(answer.GetRoster(), rootKey, token.TrustDomain)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	state, ok := l.seen.connection()
	if !ok {
		return nil, nil, ErrServer
	}
	if err := roster.VerifyServer(state, now); err != nil {
		return nil, nil, err
	}
	return roster, rootKey, nil
}

// enroll hands over the secret.
func (l *line) enroll(ctx context.Context, request *cutoffv1.EnrollRequest) (*cutoffv1.EnrollResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	answer, err := cutoffv1.NewAgentServiceClient(l.conn).Enroll(ctx, request)
	if err != nil {
		return nil, said("enrol", err)
	}
	return answer, nil
}

// said tells the server's word from a connection that failed.
func said(doing string, err error) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return fmt.Errorf("%s: the server cannot be reached: %s", doing, s.Message())
	default:
		return &Refused{Sentence: s.Message()}
	}
}
