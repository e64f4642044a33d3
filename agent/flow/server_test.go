package flow_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

const domain = "cutoff.test"

// server is a real gRPC server over real TLS with real keys; only what it
// decides is the test's.
type server struct {
	cutoffv1.UnimplementedAgentServiceServer
	t       *testing.T
	address string
	grpc    *grpc.Server

	root, order, lease ed25519.PrivateKey
	ca                 *x509.Certificate
	caKey              *ecdsa.PrivateKey
	secret             [32]byte
	escrow             *age.X25519Identity

	mu        sync.Mutex
	version   uint64
	deviceID  string
	deviceKey ed25519.PublicKey
	enrolled  int
	renewed   int
	life      time.Duration // of device certificates
	terms     *cutoffv1.Lease
	number    uint64 // of leases
	orders    uint64
	cutID     string
	withhold  bool // acknowledgements
	inventory bool
	noStream  bool   // Connect is refused
	untimed   bool   // grants have no deadlines: a person has to admit the device
	refuses   string // why there is no lease
	pending   []byte
	sends     map[*connection]bool
	seen      seen
}

// seen is what agents said.
type seen struct {
	hellos     []*cutoffv1.Hello
	reports    []*cutoffv1.Report
	receipts   []*cutoffv1.Receipt
	refusals   []*cutoffv1.Refusal
	received   []string
	inventory  []*cutoffv1.Inventory
	plans      []*cutoffv1.PlanResult
	challenges [][]byte
	nonces     [][]byte
	leavings   []*cutoffv1.Leaving
	unsealed   int
	// held are the catalogues agents said they keep.
	held []*cutoffv1.CatalogueHeld
}

func (s *seen) refusalsOf(what string) []*cutoffv1.Refusal {
	var of []*cutoffv1.Refusal
	for _, r := range s.refusals {
		if r.GetWhat() == what {
			of = append(of, r)
		}
	}
	return of
}

type connection struct {
	mu     sync.Mutex
	stream grpc.BidiStreamingServer[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]
}

func (c *connection) send(m *cutoffv1.ConnectResponse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream.Send(m)
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func raw(key crypto.Signer) []byte { return []byte(key.Public().(ed25519.PublicKey)) }

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{
		t: t, root: newKey(t), order: newKey(t), lease: newKey(t), version: 1, life: 24 * time.Hour,
		cutID: "cut_reserved", sends: map[*connection]bool{},
		terms: &cutoffv1.Lease{
			WarnMs: time.Hour.Milliseconds(), SealMs: (2 * time.Hour).Milliseconds(), RenewMs: (5 * time.Minute).Milliseconds(),
			AtExpiry: cutoffv1.AtExpiry_AT_EXPIRY_SEAL,
		},
	}
	_, _ = rand.Read(s.secret[:])
	var err error
	if s.escrow, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	if s.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der := s.sign(&x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}, nil, s.caKey.Public())
	if s.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.start("127.0.0.1:0", s.serverCertificate("/server"))
	return s
}

func (s *server) sign(template, parent *x509.Certificate, public any) []byte {
	s.t.Helper()
	if parent == nil {
		parent = template
	}
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, s.caKey)
	if err != nil {
		s.t.Fatal(err)
	}
	return der
}

func (s *server) serverCertificate(path string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der := s.sign(&x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs:        []*url.URL{{Scheme: "spiffe", Host: domain, Path: path}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, s.ca, key.Public())
	return tls.Certificate{Certificate: [][]byte{der, s.ca.Raw}, PrivateKey: key}
}

func (s *server) deviceCertificate(key ed25519.PublicKey) [][]byte {
	return [][]byte{s.sign(&x509.Certificate{
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(s.life),
		URIs:        []*url.URL{{Scheme: "spiffe", Host: domain, Path: "/device/" + s.deviceID}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, s.ca, key), s.ca.Raw}
}

// start listens; a stopped server may be started again at its address.
func (s *server) start(address string, certificate tls.Certificate) {
	s.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{certificate},
		})),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 25 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(signed.MaxEnvelope+4096))
	cutoffv1.RegisterAgentServiceServer(s.grpc, s)
	running := s.grpc
	go func() { _ = running.Serve(listener) }()
	s.t.Cleanup(running.Stop)
}

func (s *server) token() string {
	pin := sha256.Sum256(raw(s.root))
	text := base64.RawURLEncoding.EncodeToString
	return "cutoff1." + text([]byte(domain)) + "." + text(pin[:]) + "." + text(s.secret[:])
}

func (s *server) seal(kind string, m any, key crypto.Signer) []byte {
	s.t.Helper()
	var envelope []byte
	var err error
	switch m := m.(type) {
	case *cutoffv1.Roster:
		envelope, err = signed.Seal(kind, m, key)
	case *cutoffv1.Order:
		envelope, err = signed.Seal(kind, m, key)
	case *cutoffv1.Lease:
		envelope, err = signed.Seal(kind, m, key)
	case *cutoffv1.StandingGrant:
		envelope, err = signed.Seal(kind, m, key)
	default:
		err = fmt.Errorf("cannot sign %T", m)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return envelope
}

func (s *server) rosterOf(version uint64) []byte {
	return s.seal(signed.TypeRoster, &cutoffv1.Roster{
		TrustDomain: domain, Version: version, CaCertificates: [][]byte{s.ca.Raw},
		OrderKeys: [][]byte{raw(s.order)}, LeaseKeys: [][]byte{raw(s.lease)},
	}, s.root)
}

func (s *server) grant(cutID string) []byte {
	if s.untimed {
		return s.seal(signed.TypeGrant, &cutoffv1.StandingGrant{
			DeviceId: s.deviceID, CutId: cutID, EscrowRecipient: s.escrow.Recipient().String(),
		}, s.lease)
	}
	return s.seal(signed.TypeGrant, &cutoffv1.StandingGrant{
		DeviceId: s.deviceID, CutId: cutID, EscrowRecipient: s.escrow.Recipient().String(),
		WarnMs: s.terms.WarnMs, SealMs: s.terms.SealMs, AtExpiry: s.terms.AtExpiry, OnTamper: s.terms.OnTamper,
		BootTollMs: s.terms.BootTollMs,
	}, s.lease)
}

// Roster is the pinned roster.
func (s *server) Roster(context.Context, *cutoffv1.RosterRequest) (*cutoffv1.RosterResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &cutoffv1.RosterResponse{Roster: s.rosterOf(s.version), RootKey: raw(s.root)}, nil
}

// Enroll trades the secret.
func (s *server) Enroll(_ context.Context, in *cutoffv1.EnrollRequest) (*cutoffv1.EnrollResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(in.GetTokenSecret(), s.secret[:]) {
		return nil, status.Error(codes.PermissionDenied, "this token is not known")
	}
	csr, err := x509.ParseCertificateRequest(in.GetCsr())
	if err != nil || csr.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "bad request")
	}
	s.enrolled++
	s.deviceID = fmt.Sprintf("dev_%d", s.enrolled)
	s.deviceKey = csr.PublicKey.(ed25519.PublicKey)
	return &cutoffv1.EnrollResponse{
		DeviceId: s.deviceID, Certificate: s.deviceCertificate(s.deviceKey),
		StandingGrant: s.grant(s.cutID), Roster: s.rosterOf(s.version),
	}, nil
}

func (s *server) caller(ctx context.Context) (tls.ConnectionState, error) {
	p, _ := peer.FromContext(ctx)
	state := p.AuthInfo.(credentials.TLSInfo).State
	if len(state.PeerCertificates) == 0 {
		return state, status.Error(codes.Unauthenticated, "no certificate")
	}
	public, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || !public.Equal(s.deviceKey) {
		return state, status.Error(codes.Unauthenticated, "unknown device")
	}
	return state, nil
}

// Renew issues the next certificate.
func (s *server) Renew(ctx context.Context, _ *cutoffv1.RenewRequest) (*cutoffv1.RenewResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.caller(ctx); err != nil {
		return nil, err
	}
	s.renewed++
	if s.noStream {
		return nil, status.Error(codes.PermissionDenied, "not renewed")
	}
	return &cutoffv1.RenewResponse{Certificate: s.deviceCertificate(s.deviceKey), Roster: s.rosterOf(s.version)}, nil
}

// checkHello verifies signature and channel binding.
func (s *server) checkHello(state tls.ConnectionState, envelope []byte) error {
	keys, err := signed.NewKeys(s.deviceKey)
	if err != nil {
		return err
	}
	hello := &cutoffv1.Hello{}
	if _, err := signed.Open(envelope, signed.TypeHello, keys, hello); err != nil {
		return err
	}
	binding, err := state.ExportKeyingMaterial("EXPORTER-cutoff-hello", nil, 32)
	if err != nil {
		return err
	}
	leaf := state.PeerCertificates[0]
	if !bytes.Equal(binding, hello.GetChannelBinding()) || hello.GetDeviceId() != s.deviceID ||
		hello.GetCertificateSerial() != fmt.Sprintf("%032x", leaf.SerialNumber) {
		return errors.New("hello of another connection")
	}
	s.seen.hellos = append(s.seen.hellos, hello)
	return nil
}

// Reconcile hands out the pending order and takes receipts.
func (s *server) Reconcile(ctx context.Context, in *cutoffv1.ReconcileRequest) (*cutoffv1.ReconcileResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkHello(state, in.GetHello()); err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	answer := &cutoffv1.ReconcileResponse{}
	if len(in.GetLeaving()) > 0 {
		if err := s.takeLeaving(state, in.GetLeaving()); err != nil {
			return nil, status.Error(codes.PermissionDenied, err.Error())
		}
		answer.LeavingAck = &cutoffv1.LeavingAck{}
	}
	for _, envelope := range in.GetReceipts() {
		ack, err := s.takeReceipt(envelope)
		if err != nil {
			return nil, err
		}
		answer.Acks = append(answer.Acks, ack)
		s.pending = nil
	}
	if s.pending != nil {
		answer.Order = s.orderFor(cutoffv1.OrderKind_ORDER_KIND_PURGE, string(s.pending), in.GetChallenge())
	}
	return answer, nil
}

// takeLeaving verifies signature and channel binding.
func (s *server) takeLeaving(state tls.ConnectionState, envelope []byte) error {
	keys, err := signed.NewKeys(s.deviceKey)
	if err != nil {
		return err
	}
	said := &cutoffv1.Leaving{}
	if _, err := signed.Open(envelope, signed.TypeLeaving, keys, said); err != nil {
		return err
	}
	binding, err := state.ExportKeyingMaterial("EXPORTER-cutoff-hello", nil, 32)
	if err != nil || !bytes.Equal(binding, said.GetChannelBinding()) || said.GetDeviceId() != s.deviceID {
		return errors.Join(errors.New("last word of another connection"), err)
	}
	s.seen.leavings = append(s.seen.leavings, said)
	return nil
}

func (s *server) takeReceipt(envelope []byte) (*cutoffv1.ReceiptAck, error) {
	keys, err := signed.NewKeys(s.deviceKey)
	if err != nil {
		return nil, err
	}
	receipt := &cutoffv1.Receipt{}
	if _, err := signed.Open(envelope, signed.TypeReceipt, keys, receipt); err != nil {
		return nil, err
	}
	s.seen.receipts = append(s.seen.receipts, receipt)
	return &cutoffv1.ReceiptAck{CutId: receipt.GetCutId(), OrderId: receipt.GetOrderId(), Part: receipt.GetPart()}, nil
}

// Unseal answers a key for each header.
func (s *server) Unseal(_ context.Context, in *cutoffv1.UnsealRequest) (*cutoffv1.UnsealResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &cutoffv1.UnsealResponse{}
	for _, h := range in.GetHeaders() {
		s.seen.unsealed++
		answer.Keys = append(answer.Keys, &cutoffv1.FileKey{ItemId: h.GetItemId(), Key: h.GetHeader()})
	}
	return answer, nil
}

// Connect is the stream.
func (s *server) Connect(stream grpc.BidiStreamingServer[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]) error {
	state, err := s.greet(stream)
	if err != nil {
		return err
	}
	c := &connection{stream: stream}
	s.mu.Lock()
	s.sends[c] = true
	welcome := &cutoffv1.Welcome{ReportIntervalMs: time.Hour.Milliseconds(), Inventory: s.inventory}
	s.mu.Unlock()
	defer func() { s.mu.Lock(); delete(s.sends, c); s.mu.Unlock() }()
	if err := c.send(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	_ = state
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if answer := s.heard(m); answer != nil {
			if err := c.send(answer); err != nil {
				return err
			}
		}
	}
}

func (s *server) greet(stream grpc.BidiStreamingServer[cutoffv1.ConnectRequest, cutoffv1.ConnectResponse]) (tls.ConnectionState, error) {
	s.mu.Lock()
	state, err := s.caller(stream.Context())
	refused := s.noStream
	s.mu.Unlock()
	if err != nil {
		return state, err
	}
	if refused {
		return state, status.Error(codes.Unauthenticated, "the device certificate has expired")
	}
	first, err := stream.Recv()
	if err != nil {
		return state, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkHello(state, first.GetHello().GetHello()); err != nil {
		return state, status.Error(codes.Unauthenticated, err.Error())
	}
	s.seen.challenges = append(s.seen.challenges, first.GetHello().GetChallenge())
	return state, nil
}

func (s *server) heard(m *cutoffv1.ConnectRequest) *cutoffv1.ConnectResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := signed.NewKeys(s.deviceKey)
	if err != nil {
		s.t.Error(err)
	}
	switch what := m.GetMessage().(type) {
	case *cutoffv1.ConnectRequest_Report:
		s.seen.reports = append(s.seen.reports, what.Report)
	case *cutoffv1.ConnectRequest_Challenge:
		s.seen.challenges = append(s.seen.challenges, what.Challenge.GetChallenge())
	case *cutoffv1.ConnectRequest_OrderReceived:
		s.seen.received = append(s.seen.received, what.OrderReceived.GetOrderId())
	case *cutoffv1.ConnectRequest_Inventory:
		s.seen.inventory = append(s.seen.inventory, what.Inventory)
	case *cutoffv1.ConnectRequest_Catalogue:
		s.seen.held = append(s.seen.held, what.Catalogue)
	case *cutoffv1.ConnectRequest_Plan:
		s.seen.plans = append(s.seen.plans, what.Plan)
	case *cutoffv1.ConnectRequest_Refusal:
		refusal := &cutoffv1.Refusal{}
		if _, err := signed.Open(what.Refusal, signed.TypeRefusal, keys, refusal); err != nil {
			s.t.Errorf("refusal: %v", err)
		}
		s.seen.refusals = append(s.seen.refusals, refusal)
	case *cutoffv1.ConnectRequest_Receipt:
		ack, err := s.takeReceipt(what.Receipt)
		if err != nil {
			s.t.Errorf("receipt: %v", err)
		}
		if !s.withhold {
			return &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_ReceiptAck{ReceiptAck: ack}}
		}
	case *cutoffv1.ConnectRequest_Lease:
		s.seen.nonces = append(s.seen.nonces, what.Lease.GetNonce())
		if s.refuses != "" {
			return &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Lease{
				Lease: &cutoffv1.LeaseAnswer{Nonce: what.Lease.GetNonce(), Refused: s.refuses},
			}}
		}
		return leaseAnswer(what.Lease.GetNonce(), s.nextLease(what.Lease.GetNonce()))
	}
	return nil
}

func leaseAnswer(nonce, envelope []byte) *cutoffv1.ConnectResponse {
	return &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Lease{
		Lease: &cutoffv1.LeaseAnswer{Nonce: nonce, Lease: envelope},
	}}
}

func (s *server) nextLease(nonce []byte) []byte {
	s.number++
	return s.seal(signed.TypeLease, &cutoffv1.Lease{
		DeviceId: s.deviceID, Number: s.number, Nonce: nonce, WarnMs: s.terms.WarnMs, SealMs: s.terms.SealMs,
		RenewMs: s.terms.RenewMs, AtExpiry: s.terms.AtExpiry, OnTamper: s.terms.OnTamper, BootTollMs: s.terms.BootTollMs, CutId: s.cutID,
		EscrowRecipient: s.escrow.Recipient().String(), RosterVersion: s.version,
		Codes: s.terms.Codes, IssuedAt: s.terms.IssuedAt, Mirrors: s.terms.Mirrors,
	}, s.lease)
}

// orderFor signs an order; the caller holds the lock.
func (s *server) orderFor(kind cutoffv1.OrderKind, cutID string, challenge []byte) []byte {
	return s.seal(signed.TypeOrder, s.orderMessage(kind, cutID, challenge), s.order)
}

func (s *server) orderMessage(kind cutoffv1.OrderKind, cutID string, challenge []byte) *cutoffv1.Order {
	s.orders++
	m := &cutoffv1.Order{
		OrderId: fmt.Sprintf("ord_%d", s.orders), CutId: cutID, CaseId: "case_1", DeviceId: s.deviceID, Kind: kind,
		Number: s.orders, Challenge: challenge, Reason: "lost laptop",
	}
	if kind == cutoffv1.OrderKind_ORDER_KIND_SEAL {
		m.EscrowRecipient = s.escrow.Recipient().String()
	}
	if kind == cutoffv1.OrderKind_ORDER_KIND_LIFT {
		m.NextGrant = s.grant("cut_next")
	}
	return m
}

// push sends m on every open stream.
func (s *server) push(m *cutoffv1.ConnectResponse) {
	s.t.Helper()
	s.mu.Lock()
	open := make([]*connection, 0, len(s.sends))
	for c := range s.sends {
		open = append(open, c)
	}
	s.mu.Unlock()
	if len(open) == 0 {
		s.t.Fatal("no stream is open")
	}
	for _, c := range open {
		if err := c.send(m); err != nil {
			s.t.Log(err)
		}
	}
}

func (s *server) pushOrder(envelope []byte) {
	s.t.Helper()
	s.push(&cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Order{Order: envelope}})
}

// command sends an order for the newest challenge and returns its envelope.
func (s *server) command(kind cutoffv1.OrderKind, cutID string) []byte {
	s.t.Helper()
	s.mu.Lock()
	challenge := s.seen.challenges[len(s.seen.challenges)-1]
	envelope := s.orderFor(kind, cutID, challenge)
	s.mu.Unlock()
	s.pushOrder(envelope)
	return envelope
}

// until waits for what was seen to satisfy ok.
func (s *server) until(what string, ok func(*seen) bool) {
	s.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		s.mu.Lock()
		done := ok(&s.seen)
		s.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("never saw %s: %+v", what, s.seen)
		}
		pause()
	}
}

// pause lets others run between two looks at a condition.
func pause() { <-time.After(2 * time.Millisecond) }

func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}
