package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/api"
	"cutoff/server/ca"
	"cutoff/server/flow"
	"cutoff/server/store"
)

// stack is the real agents' listener on a loopback port, with the real CA, flow
// and store; only the clock and, where a test says so, the orders are its own.
type stack struct {
	t         *testing.T
	hub       *api.Hub
	flow      *flow.Flow
	authority *ca.Authority
	address   string
	orders    *orders

	mu  sync.Mutex
	now time.Time
}

// orders is what the hub is told is due, by device.
type orders struct {
	mu    sync.Mutex
	due   map[string][]byte
	asked chan string
}

func (o *orders) PendingOrder(_ context.Context, peer flow.Peer, challenge []byte) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.asked <- peer.DeviceID:
	default:
	}
	order := o.due[peer.DeviceID]
	if order == nil {
		return nil, nil
	}
	delete(o.due, peer.DeviceID)
	return append(append([]byte{}, order...), challenge...), nil
}

func (o *orders) OrdersDue(context.Context) (ids []string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.due {
		ids = append(ids, id)
	}
	return ids, nil
}

func (o *orders) set(deviceID, order string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due[deviceID] = []byte(order)
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{
		t: t, now: time.Now(),
		orders: &orders{due: map[string][]byte{}, asked: make(chan string, 1024)},
	}
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	var err error
	if s.authority, err = ca.Open(dir, s.Now()); err != nil {
		t.Fatal(err)
	}
	vault, err := ca.OpenVault(dir)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), dir+"/cutoff.db")
	if err != nil {
		t.Fatal(err)
	}
	s.hub = api.NewHub(log)
	s.flow = flow.New(store.Flow{Store: db}, flow.Config{
		Signers: s.authority.Signers(), Hub: s.hub, Now: s.Now, Log: log, Authority: s.authority, Vault: vault,
		DataKey: s.authority.DataKey(), TrustDomain: s.authority.TrustDomain(), Devices: s.hub,
	})
	roots := x509.NewCertPool()
	roots.AddCert(s.authority.Certificate())
	own := s.authority.Agents(s.Now, "127.0.0.1")
	server := api.NewAgentServer(api.AgentConfig{
		Flow: s.flow, Hub: s.hub, Log: log,
		Trust: api.Trust{
			Domain: s.authority.TrustDomain(), Roots: roots, Now: s.Now,
			Certificate: func() (*tls.Certificate, error) { return own.GetCertificate(nil) },
		},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(api.Limited(listener, 100)) })
	running.Go(func() { _ = s.hub.Run(ctx, s.orders) })
	written := make(chan struct{})
	writing, stopWriting := context.WithCancel(context.Background())
	go func() { defer close(written); _ = db.Run(writing) }()
	t.Cleanup(func() {
		stop()
		server.Stop()
		running.Wait()
		stopWriting()
		<-written
		_ = db.Close()
	})
	return s
}

// Now is the stack's clock.
func (s *stack) Now() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now }

// advance moves it.
func (s *stack) advance(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.now = s.now.Add(d) }

// device is an enrolled one.
type device struct {
	id    string
	key   ed25519.PrivateKey
	chain [][]byte
}

// enrol makes a device as an agent would.
func (s *stack) enrol(hostname string) *device {
	s.t.Helper()
	ctx := s.t.Context()
	text, _, err := s.flow.CreateToken(ctx, flow.LocalActor(0), "", 1, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := base64.RawURLEncoding.DecodeString(text[strings.LastIndexByte(text, '.')+1:])
	if err != nil {
		s.t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.dial(nil)
	answer, err := client.Enroll(ctx, &cutoffv1.EnrollRequest{
		TokenSecret: secret, Csr: requestFor(s.t, key, hostname), Hostname: hostname, Anchor: anchor(hostname),
		Os: "linux", Arch: "amd64", AgentVersion: "test",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return &device{id: answer.GetDeviceId(), key: key, chain: answer.GetCertificate()}
}

func anchor(hostname string) []byte {
	a := make([]byte, 32)
	copy(a, hostname)
	return a
}

func requestFor(t *testing.T, key ed25519.PrivateKey, name string) []byte {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// bound is TLS that remembers the channel binding of the connection it made.
type bound struct {
	credentials.TransportCredentials
	value chan []byte
}

func (b bound) ClientHandshake(ctx context.Context, name string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := b.TransportCredentials.ClientHandshake(ctx, name, raw)
	if err != nil {
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, err
	}
	value, err := tlsInfo.State.ExportKeyingMaterial("EXPORTER-cutoff-hello", nil, 32)
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

func (b bound) Clone() credentials.TransportCredentials {
	return bound{b.TransportCredentials.Clone(), b.value}
}

// dial reaches the listener with the device's certificate, or without one.
func (s *stack) dial(d *device) cutoffv1.AgentServiceClient {
	client, _ := s.dialBound(d)
	return client
}

func (s *stack) dialBound(d *device) (cutoffv1.AgentServiceClient, chan []byte) {
	s.t.Helper()
	config := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
	if d != nil {
		config.Certificates = []tls.Certificate{{Certificate: d.chain, PrivateKey: d.key}}
	}
	b := bound{credentials.NewTLS(config), make(chan []byte, 1)}
	conn, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(b),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return cutoffv1.NewAgentServiceClient(conn), b.value
}

type stream = grpc.BidiStreamingClient[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]

// connect opens a stream, says hello and waits for the welcome.
func (s *stack) connect(d *device, challenge byte) stream {
	s.t.Helper()
	client, binding := s.dialBound(d)
	opened, err := client.Connect(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	err = opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Hello{Hello: &cutoffv1.StreamHello{
		Hello: s.hello(d, <-binding), Challenge: challengeOf(challenge),
	}}})
	if err != nil {
		s.t.Fatal(err)
	}
	first, err := opened.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	if first.GetWelcome() == nil {
		s.t.Fatalf("first message is %v, want a welcome", first)
	}
	s.until("connected", func() bool { return s.hub.Connected(d.id) })
	return opened
}

func (s *stack) hello(d *device, binding []byte) []byte {
	s.t.Helper()
	hello, err := signed.Seal(signed.TypeHello, &cutoffv1.Hello{
		DeviceId: d.id, AgentVersion: "test", ChannelBinding: binding, RosterVersion: s.authority.RosterVersion(),
	}, d.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return hello
}

func challengeOf(b byte) []byte {
	c := make([]byte, 32)
	for i := range c {
		c[i] = b
	}
	return c
}

// until waits for a condition.
func (s *stack) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			s.t.Fatalf("not %s within 10 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantCode fails unless err is of code.
func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}
