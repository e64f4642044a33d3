package api

import (
	"context"
	"log/slog"

	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// Agents is what the agents' service asks of flow.
type Agents interface {
	Roster() (envelope, rootKey []byte)
	Enroll(ctx context.Context, in flow.EnrollInput) (flow.EnrollResult, error)
	Authenticate(
		ctx context.Context, deviceID, serial string, publicKey []byte, expired bool,
	) (flow.Peer, error)
	Renew(ctx context.Context, peer flow.Peer, csr []byte) (chain [][]byte, roster []byte, err error)
	OnHello(ctx context.Context, peer flow.Peer, hello, binding []byte) (flow.Welcome, error)
	OnReport(ctx context.Context, peer flow.Peer, report *cutoffv1.Report) error
	OnInventory(ctx context.Context, peer flow.Peer, inventory *cutoffv1.Inventory) error
	GrantLease(
		ctx context.Context, peer flow.Peer, nonce []byte, held *uint64,
	) (envelope []byte, refused string, err error)
	OnLeaving(ctx context.Context, peer flow.Peer, envelope, binding []byte) (*cutoffv1.LeavingAck, error)
	OnClosed(ctx context.Context, peer flow.Peer)

	PendingOrder(ctx context.Context, peer flow.Peer, challenge []byte) ([]byte, error)
	OnOrderReceived(peer flow.Peer, orderID string)
	OnReceipt(ctx context.Context, peer flow.Peer, envelope []byte) (*cutoffv1.ReceiptAck, error)
	OnRefusal(ctx context.Context, peer flow.Peer, envelope []byte) error
	OnCatalogue(ctx context.Context, peer flow.Peer, held flow.HeldCatalogue) error
	Unseal(
		ctx context.Context, peer flow.Peer, cutID string, headers []*cutoffv1.SealedHeader,
	) ([]*cutoffv1.FileKey, error)
}

// agents is AgentService: it checks shapes and sizes and hands on to flow.
type agents struct {
	cutoffv1.UnimplementedAgentServiceServer
	flow Agents
	hub  *Hub
	log  *slog.Logger
}

// challengeSize is the one length of challenges and nonces.
const challengeSize = 32

// maxReceipts bounds receipts in one Reconcile.
const maxReceipts = 256

// maxHeaders and maxHeader bound Unseal.
const (
	maxHeaders = 20_000
	maxHeader  = 4 << 10
)

// Roster answers the signed roster to anyone.
func (a *agents) Roster(context.Context, *cutoffv1.RosterRequest) (*cutoffv1.RosterResponse, error) {
	roster, root := a.flow.Roster()
	return &cutoffv1.RosterResponse{Roster: roster, RootKey: root}, nil
}

// Enroll trades a token's secret for a device identity.
func (a *agents) Enroll(ctx context.Context, req *cutoffv1.EnrollRequest) (*cutoffv1.EnrollResponse, error) {
	if proto.Size(req) > maxSmall {
		return nil, fault.New(fault.Invalid, "the request is too large")
	}
	result, err := a.flow.Enroll(ctx, flow.EnrollInput{
		Secret: req.GetTokenSecret(), CSR: req.GetCsr(),
		Hostname: printable(req.GetHostname(), 253), OS: printable(req.GetOs(), 64),
		Arch: printable(req.GetArch(), 64), AgentVersion: printable(req.GetAgentVersion(), 64),
		TrialRoot: req.GetTrialRoot(), Anchor: req.GetAnchor(), Source: sourceOf(ctx),
	})
	if err != nil {
		return nil, err
	}
	return &cutoffv1.EnrollResponse{
		DeviceId: result.DeviceID, Certificate: result.Chain,
		StandingGrant: result.Grant, Roster: result.Roster, Pending: result.Pending,
	}, nil
}

// Renew issues the device's next certificate.
func (a *agents) Renew(ctx context.Context, req *cutoffv1.RenewRequest) (*cutoffv1.RenewResponse, error) {
	peer, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	if len(req.GetCsr()) > maxSmall {
		return nil, fault.New(fault.Invalid, "the certificate request is too large")
	}
	chain, roster, err := a.flow.Renew(ctx, peer, req.GetCsr())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.RenewResponse{Certificate: chain, Roster: roster}, nil
}

// Reconcile takes receipts and answers a due order, without a stream.
func (a *agents) Reconcile(
	ctx context.Context, req *cutoffv1.ReconcileRequest,
) (*cutoffv1.ReconcileResponse, error) {
	peer, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	if n := len(req.GetReceipts()); n > maxReceipts {
		return nil, fault.New(fault.Invalid, "%d receipts in one call, %d at most", n, maxReceipts)
	}
	binding, err := bindingOf(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := a.flow.OnHello(ctx, peer, req.GetHello(), binding); err != nil {
		return nil, err
	}
	resp := &cutoffv1.ReconcileResponse{}
	for _, receipt := range req.GetReceipts() {
		ack, err := a.flow.OnReceipt(ctx, peer, receipt)
		if err != nil {
			return nil, err
		}
		resp.Acks = append(resp.Acks, ack)
	}
	if len(req.GetLeaving()) > 0 {
		if resp.LeavingAck, err = a.flow.OnLeaving(ctx, peer, req.GetLeaving(), binding); err != nil {
			return nil, err
		}
	}
	if len(req.GetChallenge()) == 0 {
		return resp, nil
	}
	if len(req.GetChallenge()) != challengeSize {
		return nil, fault.New(fault.Invalid, "a challenge has %d bytes", challengeSize)
	}
	resp.Order, err = a.flow.PendingOrder(ctx, peer, req.GetChallenge())
	return resp, err
}

// Unseal opens headers of the device's own sealed items during a lift.
func (a *agents) Unseal(ctx context.Context, req *cutoffv1.UnsealRequest) (*cutoffv1.UnsealResponse, error) {
	peer, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	if n := len(req.GetHeaders()); n > maxHeaders {
		return nil, fault.New(fault.Invalid, "%d headers in one call, %d at most", n, maxHeaders)
	}
	for _, h := range req.GetHeaders() {
		if len(h.GetHeader()) > maxHeader {
			return nil, fault.New(fault.Invalid, "a sealed item's header is too large")
		}
	}
	keys, err := a.flow.Unseal(ctx, peer, req.GetCutId(), req.GetHeaders())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.UnsealResponse{Keys: keys}, nil
}
