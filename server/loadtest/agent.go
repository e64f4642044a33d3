package loadtest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// agent is one simulated device.
type agent struct {
	id     string
	key    ed25519.PrivateKey
	chain  [][]byte
	items  int
	roots  *x509.CertPool
	roster uint64
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]
}

// dialOptions are those of a real agent: small buffers, one stream.
func dialOptions(creds credentials.TransportCredentials) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(4 << 10),
		grpc.WithInitialWindowSize(64 << 10), grpc.WithInitialConnWindowSize(64 << 10),
	}
}

// enrol trades the token for an identity over conn.
func enrol(ctx context.Context, conn *grpc.ClientConn, secret []byte, n, items int) (*agent, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	host := fmt.Sprintf("load-%06d", n)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}}, key)
	if err != nil {
		return nil, err
	}
	anchor := make([]byte, 32)
	if _, err := rand.Read(anchor); err != nil {
		return nil, err
	}
	answer, err := cutoffv1.NewAgentServiceClient(conn).Enroll(ctx, &cutoffv1.EnrollRequest{
		TokenSecret: secret, Csr: csr, Hostname: host, Anchor: anchor, Os: "linux", Arch: "amd64", AgentVersion: "loadtest",
	})
	if err != nil {
		return nil, fmt.Errorf("enrol %s: %w", host, err)
	}
	roster := &cutoffv1.Roster{}
	if err := signed.Peek(answer.GetRoster(), signed.TypeRoster, roster); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, der := range roster.GetCaCertificates() {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		roots.AddCert(cert)
	}
	return &agent{id: answer.GetDeviceId(), key: key, chain: answer.GetCertificate(), items: items, roots: roots, roster: roster.GetVersion()}, nil
}

// binding captures the TLS state of one connection, for the hello's binding.
type binding struct {
	credentials.TransportCredentials
	value chan []byte
}

// ClientHandshake remembers the exporter value of the connection it makes.
func (b binding) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := b.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	state := info.(credentials.TLSInfo).State
	value, err := state.ExportKeyingMaterial("EXPORTER-cutoff-hello", nil, 32)
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-b.value:
	default:
	}
	b.value <- value
	return conn, info, nil
}

// Clone keeps the capture.
func (b binding) Clone() credentials.TransportCredentials {
	return binding{b.TransportCredentials.Clone(), b.value}
}

func (a *agent) tls() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: a.chain, PrivateKey: a.key}},
		// The server is known by roster and URI, not by its address.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: a.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			return err
		},
	}
}

// connect opens the stream and says hello, report and lease as a real agent.
func (a *agent) connect(ctx context.Context, address string) error {
	creds := binding{credentials.NewTLS(a.tls()), make(chan []byte, 1)}
	conn, err := grpc.NewClient("passthrough:///"+address, dialOptions(creds)...)
	if err != nil {
		return err
	}
	a.conn = conn
	if a.stream, err = cutoffv1.NewAgentServiceClient(conn).Connect(ctx, grpc.WaitForReady(true)); err != nil {
		return err
	}
	var value []byte
	select {
	case value = <-creds.value:
	case <-ctx.Done():
		return ctx.Err()
	}
	leaf, err := x509.ParseCertificate(a.chain[0])
	if err != nil {
		return err
	}
	hello, err := signed.Seal(signed.TypeHello, &cutoffv1.Hello{
		DeviceId: a.id, CertificateSerial: fmt.Sprintf("%x", leaf.SerialNumber), AgentVersion: "loadtest",
		BootId: "boot", ChannelBinding: value, RosterVersion: a.roster,
	}, a.key)
	if err != nil {
		return err
	}
	first := &cutoffv1.StreamHello{Hello: hello, Challenge: nonce()}
	if err := a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Hello{Hello: first}}); err != nil {
		return err
	}
	answer, err := a.stream.Recv()
	if err != nil {
		return err
	}
	if answer.GetWelcome() == nil {
		return fmt.Errorf("the server answered the hello with %T", answer.GetMessage())
	}
	report := &cutoffv1.Report{At: timestamppb.Now(), Facts: []*cutoffv1.Fact{
		{Name: "os", State: cutoffv1.FactState_FACT_STATE_KNOWN, Value: &cutoffv1.Fact_Text{Text: "linux"}},
		{Name: "disk_encrypted", State: cutoffv1.FactState_FACT_STATE_KNOWN, Value: &cutoffv1.Fact_Flag{Flag: true}},
	}}
	if err := a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Report{Report: report}}); err != nil {
		return err
	}
	ask := &cutoffv1.LeaseRequest{Nonce: nonce()}
	return a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Lease{Lease: ask}})
}

// serve answers orders and plans until the stream ends; it tells what came.
func (a *agent) serve(tell func(event)) error {
	for {
		message, err := a.stream.Recv()
		if err != nil {
			return err
		}
		now := time.Now().UnixMicro()
		switch m := message.GetMessage().(type) {
		case *cutoffv1.ConnectResponse_Lease:
			tell(event{Kind: "leased", Device: a.id, At: now, Note: m.Lease.GetRefused()})
		case *cutoffv1.ConnectResponse_Order:
			if err := a.obey(m.Order); err != nil {
				return err
			}
			tell(event{Kind: "order", Device: a.id, At: now})
		case *cutoffv1.ConnectResponse_ReceiptAck:
			tell(event{Kind: "ack", Device: a.id, At: now, Note: m.ReceiptAck.GetRefused()})
		case *cutoffv1.ConnectResponse_Plan:
			result := &cutoffv1.PlanResult{PlanId: m.Plan.GetPlanId()}
			if err := a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Plan{Plan: result}}); err != nil {
				return err
			}
		}
	}
}

// obey answers an order as a device that removed its items would.
func (a *agent) obey(raw []byte) error {
	order := &cutoffv1.Order{}
	if err := signed.Peek(raw, signed.TypeOrder, order); err != nil {
		return err
	}
	receipt := &cutoffv1.Receipt{
		DeviceId: a.id, CutId: order.GetCutId(), OrderId: order.GetOrderId(), OrderNumber: order.GetNumber(),
		Kind: order.GetKind(), Cause: cutoffv1.Cause_CAUSE_ORDER, Complete: true,
		StartedAt: timestamppb.Now(), FinishedAt: timestamppb.Now(), BootId: "boot", AgentVersion: "loadtest",
	}
	for i := range a.items {
		receipt.Items = append(receipt.Items, &cutoffv1.Item{
			Id: fmt.Sprintf("item-%d", i), Product: "aws-shared", User: "alice", Path: fmt.Sprintf("/home/alice/.aws/credentials-%d", i),
			Action: "delete", Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: "sealed", Sealed: true, Regain: "sign-in",
		})
	}
	envelope, err := signed.Seal(signed.TypeReceipt, receipt, a.key)
	if err != nil {
		return err
	}
	return errors.Join(
		a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_OrderReceived{
			OrderReceived: &cutoffv1.OrderReceived{OrderId: order.GetOrderId()}}}),
		a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Challenge{
			Challenge: &cutoffv1.Challenge{Challenge: nonce()}}}),
		a.stream.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Receipt{Receipt: envelope}}),
	)
}

func nonce() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return b
}

// secretOf is the secret of an enrolment token, its last part.
func secretOf(token string) ([]byte, error) {
	parts := strings.Split(token, ".")
	return base64.RawURLEncoding.DecodeString(parts[len(parts)-1])
}
