package api

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

// AdminCuts is the part of Admin about cuts.
type AdminCuts interface {
	Open(ctx context.Context, request flow.OpenRequest) (caseID string, cuts []cut.Cut, err error)
	Preview(ctx context.Context, request flow.OpenRequest) (flow.Preview, error)
	Approve(ctx context.Context, actor flow.Actor, id, reason string) (cut.Cut, error)
	Refuse(ctx context.Context, actor flow.Actor, id, reason string) (cut.Cut, error)
	Lift(ctx context.Context, actor flow.Actor, cutID, reason string) (cut.Cut, error)
	Cut(ctx context.Context, id string) (cut.Cut, error)
	Case(ctx context.Context, id string) ([]cut.Cut, error)
	Cuts(ctx context.Context, filter flow.CutFilter) ([]cut.Cut, error)
	Exposure(c *cut.Cut) revoke.Residual
	Watch(cutID string) (changed <-chan struct{}, stop func())
}

const (
	// maxReason bounds a reason in characters.
	maxReason = 1000
	// watchAgain is how often a watched cut is sent although nothing said that
	// it changed: a notice is a hint, the rows are the truth.
	watchAgain = 5 * time.Second
)

func (s *adminService) OpenCut(
	ctx context.Context, req *cutoffv1.OpenCutRequest,
) (*cutoffv1.OpenCutResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(req.GetReason())
	if err != nil {
		return nil, err
	}
	request, err := openRequest(actor, req.GetDevice(), req.GetPerson(), req.GetCredential(), req.GetLevel())
	if err != nil {
		return nil, err
	}
	var durable time.Time
	request.Reason, request.Durable = reason, func(at time.Time) { durable = at }
	caseID, cuts, err := s.flow.Open(ctx, request)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.OpenCutResponse{CaseId: caseID, Cuts: each(cuts, s.cutMessage), DurableAt: stamp(durable)}, nil
}

func (s *adminService) PreviewCut(
	ctx context.Context, req *cutoffv1.PreviewCutRequest,
) (*cutoffv1.PreviewCutResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	request, err := openRequest(actor, req.GetDevice(), req.GetPerson(), req.GetCredential(), req.GetLevel())
	if err != nil {
		return nil, err
	}
	preview, err := s.flow.Preview(ctx, request)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.PreviewCutResponse{
		Held:  preview.Held,
		Steps: each(preview.Steps, stepMessage),
		Devices: each(preview.Devices, func(d flow.PreviewDevice) *cutoffv1.PreviewDevice {
			return &cutoffv1.PreviewDevice{
				DeviceId: d.DeviceID, Hostname: d.Hostname, Live: d.Live, AsOf: stamp(d.AsOf),
				Items: each(d.Items, itemMessage), Error: d.Problem,
			}
		}),
	}, nil
}

// openRequest is what an operator may ask for: exactly one subject and a level.
func openRequest(actor flow.Actor, device, person, credential, level string) (flow.OpenRequest, error) {
	named := 0
	for _, subject := range []string{device, person, credential} {
		if subject != "" {
			named++
		}
	}
	if named != 1 {
		return flow.OpenRequest{}, fault.New(fault.Invalid, "exactly one of device, person and credential is needed")
	}
	if !cut.Level(level).Valid() {
		return flow.OpenRequest{}, fault.New(fault.Invalid, "the level is %q, want seal or purge", printable(level, 20))
	}
	return flow.OpenRequest{
		Device: device, Person: person, Credential: credential,
		Level: cut.Level(level), Cause: cut.Operator, Actor: actor,
	}, nil
}

// reasonOf is a reason fit to be kept as evidence.
func reasonOf(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fault.New(fault.Invalid, "a reason is needed")
	}
	if len([]rune(text)) > maxReason {
		return "", fault.New(fault.Invalid, "the reason has more than %d characters", maxReason)
	}
	return printable(text, maxReason), nil
}

func (s *adminService) ListCuts(
	ctx context.Context, req *cutoffv1.ListCutsRequest,
) (*cutoffv1.ListCutsResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	filter := flow.CutFilter{State: cut.State(req.GetState())}
	if req.GetDevice() != "" {
		d, err := s.flow.Device(ctx, actor, req.GetDevice())
		if err != nil {
			return nil, err
		}
		filter.DeviceID = d.ID
	}
	cuts, err := s.flow.Cuts(ctx, filter)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListCutsResponse{Cuts: each(cuts, s.cutMessage)}, nil
}

// GetCut takes a cut's id first, then a case's.
func (s *adminService) GetCut(
	ctx context.Context, req *cutoffv1.GetCutRequest,
) (*cutoffv1.GetCutResponse, error) {
	c, err := s.flow.Cut(ctx, req.GetId())
	switch {
	case err == nil:
		return &cutoffv1.GetCutResponse{Cut: s.cutMessage(c), Cuts: []*cutoffv1.Cut{}}, nil
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	cuts, err := s.flow.Case(ctx, req.GetId())
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if len(cuts) == 0 {
		return nil, fault.New(fault.NotFound, "no cut and no case has the id %q", printable(req.GetId(), 60))
	}
	return &cutoffv1.GetCutResponse{Cuts: each(cuts, s.cutMessage)}, nil
}

// WatchCut sends the cut at once and again after each change.
func (s *adminService) WatchCut(
	req *cutoffv1.WatchCutRequest, stream grpc.ServerStreamingServer[cutoffv1.WatchCutResponse],
) error {
	ctx := stream.Context()
	changed, stop := s.flow.Watch(req.GetCutId())
	defer stop()
	again := time.NewTicker(watchAgain)
	defer again.Stop()
	for {
		c, err := s.flow.Cut(ctx, req.GetCutId())
		if err != nil {
			return err
		}
		if err := stream.Send(&cutoffv1.WatchCutResponse{Cut: s.cutMessage(c)}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *adminService) ApproveCut(
	ctx context.Context, req *cutoffv1.ApproveCutRequest,
) (*cutoffv1.ApproveCutResponse, error) {
	c, err := s.decide(ctx, req.GetId(), req.GetReason(), s.flow.Approve)
	return &cutoffv1.ApproveCutResponse{Cut: c}, err
}

func (s *adminService) RefuseCut(
	ctx context.Context, req *cutoffv1.RefuseCutRequest,
) (*cutoffv1.RefuseCutResponse, error) {
	c, err := s.decide(ctx, req.GetId(), req.GetReason(), s.flow.Refuse)
	return &cutoffv1.RefuseCutResponse{Cut: c}, err
}

func (s *adminService) LiftCut(
	ctx context.Context, req *cutoffv1.LiftCutRequest,
) (*cutoffv1.LiftCutResponse, error) {
	if _, err := reasonOf(req.GetReason()); err != nil {
		return nil, err
	}
	c, err := s.decide(ctx, req.GetCutId(), req.GetReason(), s.flow.Lift)
	return &cutoffv1.LiftCutResponse{Cut: c}, err
}

// decide is what approve, refuse and lift have in common. A verdict may be
// given without a reason.
func (s *adminService) decide(
	ctx context.Context, id, reason string,
	do func(context.Context, flow.Actor, string, string) (cut.Cut, error),
) (*cutoffv1.Cut, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(reason) != "" {
		if reason, err = reasonOf(reason); err != nil {
			return nil, err
		}
	}
	c, err := do(ctx, actor, id, reason)
	if err != nil {
		return nil, err
	}
	return s.cutMessage(c), nil
}

func (s *adminService) cutMessage(c cut.Cut) *cutoffv1.Cut {
	return &cutoffv1.Cut{
		CutId: c.ID, CaseId: c.CaseID, DeviceId: c.DeviceID, Level: string(c.Level), State: string(c.State),
		Reason: c.Reason, Exposure: s.flow.Exposure(&c).String(), Cause: string(c.Cause), Actor: c.Actor,
		OpenedAt: stamp(c.OpenedAt), SettledAt: stamp(c.SettledAt), HeldReason: c.HeldReason,
		Hostname: c.Hostname, PersonId: c.PersonID, CredentialId: c.CredentialID,
		OrderState: string(c.OrderState), OrderDeliveredAt: stamp(c.DeliveredAt), ReceiptAt: stamp(c.ReceiptAt),
		Items: each(c.Items, itemMessage), Steps: each(c.Steps, stepMessage),
		Approvals:  each(c.Approvals, approvalMessage),
		LiftReason: c.LiftReason, FirstRemovedMs: c.FirstRemoved.Milliseconds(),
	}
}

func itemMessage(i cut.Item) *cutoffv1.CutItem {
	return &cutoffv1.CutItem{
		Id: i.ID, Product: i.Product, User: i.User, Path: i.Path, Action: i.Action,
		Outcome: string(i.Outcome), Detail: i.Detail, ResidualUntil: i.Residual.String(),
		Identifiers: each(i.Identifiers, func(id cut.Identifier) *cutoffv1.Identifier {
			return &cutoffv1.Identifier{Kind: id.Kind, Value: id.Value}
		}),
		Sealed: i.Sealed, Regain: i.Regain, Confidence: i.Confidence,
	}
}

func stepMessage(s revoke.Step) *cutoffv1.CutStep {
	return &cutoffv1.CutStep{
		Id: s.ID, Connector: s.Connector, Target: s.Target, Outcome: string(s.Outcome),
		Proof: string(s.Proof), ResidualUntil: s.Residual.String(), Detail: s.Detail, Undo: string(s.Undo),
		State: string(s.State), Action: s.Action, Scope: string(s.Scope), UndoOf: s.UndoOf,
		Attempts: int32(s.Attempts), DueAt: stamp(s.Due), DoneAt: stamp(s.DoneAt),
	}
}

func approvalMessage(a cut.Approval) *cutoffv1.Approval {
	return &cutoffv1.Approval{Actor: a.Actor, Verdict: a.Verdict, At: stamp(a.At), Reason: a.Reason}
}
