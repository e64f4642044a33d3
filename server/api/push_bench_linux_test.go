package api_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/api"
	"cutoff/server/flow"
)

// pushFleet is how many devices have a stream while orders are pushed.
const pushFleet = 1000

// fleetVariable makes the test binary the fleet of BenchmarkPush.
const fleetVariable = "CUTOFF_BENCH_FLEET"

func TestMain(m *testing.M) {
	if os.Getenv(fleetVariable) != "" {
		if err := runFleet(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "fleet:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// BenchmarkPush is what delivering one order and taking the device's word for it
// costs the server without signing and rows: the real listener, TLS 1.3 with
// client certificates, the real streams and hub, and a flow that has an order of
// the usual size at hand and keeps nothing. The fleet is a process of its own,
// so that the processor time is the server's alone.
func BenchmarkPush(b *testing.B) {
	f := newPushed(b)
	f.round(b, pushFleet) // every device has said its first challenge
	before := cpuTime(b)
	b.ResetTimer()
	for left := b.N; left > 0; left -= pushFleet {
		f.round(b, min(left, pushFleet))
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/delivery")
}

// pushed is a flow without rows behind the agents' listener.
type pushed struct {
	api.Agents
	hub   *api.Hub
	order []byte
	heard atomic.Int64
	done  chan struct{}
	want  atomic.Int64
}

func (f *pushed) Authenticate(_ context.Context, id, serial string, _ []byte, _ bool) (flow.Peer, error) {
	return flow.Peer{DeviceID: id, Serial: serial}, nil
}

func (f *pushed) OnHello(context.Context, flow.Peer, []byte, []byte) (flow.Welcome, error) {
	return flow.Welcome{ReportInterval: time.Hour}, nil
}

func (f *pushed) OnClosed(context.Context, flow.Peer) {}

// PendingOrder has none: what is due is pushed.
func (f *pushed) PendingOrder(context.Context, flow.Peer, []byte) ([]byte, error) { return nil, nil }

func (f *pushed) OrdersDue(context.Context) ([]string, error) { return nil, nil }

func (f *pushed) OnOrderReceived(flow.Peer, string) {
	if f.heard.Add(1) == f.want.Load() {
		f.done <- struct{}{}
	}
}

// round pushes an order to each of the first n devices and waits for their words.
func (f *pushed) round(b *testing.B, n int) {
	b.Helper()
	f.heard.Store(0)
	f.want.Store(int64(n))
	for i := range n {
		id := benchDevice(i)
		challenge := f.hub.Challenge(id)
		for deadline := time.Now().Add(time.Minute); challenge == nil; challenge = f.hub.Challenge(id) {
			if time.Now().After(deadline) {
				b.Fatal("a device has no challenge")
			}
			time.Sleep(100 * time.Microsecond) // its word came, its challenge is on the way
		}
		f.hub.Push(id, challenge, f.order)
	}
	select {
	case <-f.done:
	case <-time.After(time.Minute):
		b.Fatalf("%d of %d devices answered", f.heard.Load(), n)
	}
}

func benchDevice(i int) string { return fmt.Sprintf("dev_bench%06d", i) }

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fleetJob is what the fleet's process is told.
type fleetJob struct {
	Address string
	Domain  string
	CA, Key []byte
	N       int
}

func newPushed(b *testing.B) *pushed {
	b.Helper()
	ca, key := benchCA(b)
	own, err := leaf(ca, key, "server")
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	f := &pushed{hub: api.NewHub(log), order: make([]byte, 300), done: make(chan struct{}, 1)}
	_, _ = rand.Read(f.order)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	server := api.NewAgentServer(api.AgentConfig{Flow: f, Hub: f.hub, Log: log, Trust: api.Trust{
		Domain: benchDomain, Roots: roots, Now: time.Now,
		Certificate: func() (*tls.Certificate, error) { return &own, nil },
	}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(api.Limited(listener, 2*pushFleet)) })
	running.Go(func() { _ = f.hub.Run(ctx, f) })
	b.Cleanup(func() { stop(); server.Stop(); running.Wait() })
	startFleet(b, fleetJob{
		Address: listener.Addr().String(), Domain: benchDomain, CA: ca.Raw, Key: key.Seed(), N: pushFleet,
	})
	return f
}

func startFleet(b *testing.B, job fleetJob) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fleetVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if err := json.NewEncoder(in).Encode(job); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "connected\n" {
		b.Fatalf("the fleet said %q, %v", line, err)
	}
}

// runFleet connects the job's devices and answers what they are sent until in ends.
func runFleet(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var job fleetJob
	if err := json.Unmarshal(line, &job); err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(job.CA)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range job.N {
		group.Go(func() error { return joinFleet(ctx, job.Address, ca, ed25519.NewKeyFromSeed(job.Key), benchDevice(i)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "connected"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, lines)
	return err
}

// joinFleet opens a device's stream, whose answers outlive this function.
func joinFleet(ctx context.Context, address string, ca *x509.Certificate, key ed25519.PrivateKey, id string) error {
	own, err := leaf(ca, key, id)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(4<<10),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Certificates: []tls.Certificate{own},
		})))
	if err != nil {
		return err
	}
	opened, err := cutoffv1.NewAgentServiceClient(conn).Connect(ctx)
	if err != nil {
		return err
	}
	hello := &cutoffv1.StreamHello{Hello: []byte("hello"), Challenge: randomChallenge()}
	if err := opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	if first, err := opened.Recv(); err != nil || first.GetWelcome() == nil {
		return errors.Join(errors.New("no welcome"), err)
	}
	received := &cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_OrderReceived{
		OrderReceived: &cutoffv1.OrderReceived{OrderId: "ord_0123456789abcdef0123456789abcdef"},
	}}
	go func() {
		for {
			if _, err := opened.Recv(); err != nil {
				return
			}
			next := &cutoffv1.Challenge{Challenge: randomChallenge()}
			_ = opened.Send(received)
			_ = opened.Send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Challenge{Challenge: next}})
		}
	}()
	return nil
}

func randomChallenge() []byte {
	c := make([]byte, 32)
	_, _ = rand.Read(c)
	return c
}

const benchDomain = "bench.test"

func benchCA(b *testing.B) (*x509.Certificate, ed25519.PrivateKey) {
	b.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "bench CA"}}, public, key)
	if err != nil {
		b.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	return ca, key
}

// leaf is a certificate, and its key, of the device of that id.
func leaf(ca *x509.Certificate, caKey ed25519.PrivateKey, id string) (tls.Certificate, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		URIs:        []*url.URL{{Scheme: "spiffe", Host: benchDomain, Path: "/device/" + id}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, ca, public, caKey)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
