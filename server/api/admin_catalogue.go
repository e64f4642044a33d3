package api

import (
	"context"

	"cutoff/proto/addition"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/catalogue"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// AdminCatalogue is the part of Admin about what administrators add to the
// agents' catalogue.
type AdminCatalogue interface {
	ProposeCatalogue(ctx context.Context, actor flow.Actor, p flow.Proposal) (flow.CatalogueView, []*addition.Problem, error)
	CatalogueChanges(ctx context.Context) ([]flow.CatalogueView, error)
	CatalogueChange(ctx context.Context, id string) (flow.CatalogueView, error)
	CountCatalogue(ctx context.Context, actor flow.Actor, id string) (flow.CatalogueView, error)
	ApproveCatalogue(ctx context.Context, actor flow.Actor, id string) (flow.CatalogueView, error)
	PromoteCatalogue(ctx context.Context, actor flow.Actor, id string) (flow.CatalogueView, error)
	WithdrawCatalogue(ctx context.Context, actor flow.Actor, id string) (flow.CatalogueView, error)
}

func (s *adminService) ProposeCatalogue(
	ctx context.Context, req *cutoffv1.ProposeCatalogueRequest,
) (*cutoffv1.ProposeCatalogueResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	view, problems, err := s.flow.ProposeCatalogue(ctx, actor, flow.Proposal{
		Files: each(req.GetFiles(), func(f *cutoffv1.CatalogueFile) addition.File {
			return addition.File{Name: f.GetName(), YAML: f.GetYaml()}
		}),
		Canary: req.GetCanary(), Reason: req.GetReason(), CheckOnly: req.GetCheckOnly(),
	})
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 || req.GetCheckOnly() {
		return &cutoffv1.ProposeCatalogueResponse{Problems: each(problems, func(p *addition.Problem) *cutoffv1.FileProblem {
			return &cutoffv1.FileProblem{File: p.File, Line: int32(p.Line), Column: int32(p.Column), Message: p.Message}
		})}, nil
	}
	return &cutoffv1.ProposeCatalogueResponse{Change: changeMessage(view)}, nil
}

func (s *adminService) ListCatalogue(
	ctx context.Context, _ *cutoffv1.ListCatalogueRequest,
) (*cutoffv1.ListCatalogueResponse, error) {
	all, err := s.flow.CatalogueChanges(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListCatalogueResponse{Changes: each(all, changeMessage)}, nil
}

func (s *adminService) GetCatalogue(
	ctx context.Context, req *cutoffv1.GetCatalogueRequest,
) (*cutoffv1.GetCatalogueResponse, error) {
	view, err := s.flow.CatalogueChange(ctx, req.GetChangeId())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.GetCatalogueResponse{Change: changeMessage(view)}, nil
}

func (s *adminService) CountCatalogue(
	ctx context.Context, req *cutoffv1.CountCatalogueRequest,
) (*cutoffv1.CountCatalogueResponse, error) {
	c, err := s.oneChange(ctx, req.GetChangeId(), s.flow.CountCatalogue)
	return &cutoffv1.CountCatalogueResponse{Change: c}, err
}

func (s *adminService) ApproveCatalogue(
	ctx context.Context, req *cutoffv1.ApproveCatalogueRequest,
) (*cutoffv1.ApproveCatalogueResponse, error) {
	c, err := s.oneChange(ctx, req.GetChangeId(), s.flow.ApproveCatalogue)
	return &cutoffv1.ApproveCatalogueResponse{Change: c}, err
}

func (s *adminService) PromoteCatalogue(
	ctx context.Context, req *cutoffv1.PromoteCatalogueRequest,
) (*cutoffv1.PromoteCatalogueResponse, error) {
	c, err := s.oneChange(ctx, req.GetChangeId(), s.flow.PromoteCatalogue)
	return &cutoffv1.PromoteCatalogueResponse{Change: c}, err
}

func (s *adminService) WithdrawCatalogue(
	ctx context.Context, req *cutoffv1.WithdrawCatalogueRequest,
) (*cutoffv1.WithdrawCatalogueResponse, error) {
	c, err := s.oneChange(ctx, req.GetChangeId(), s.flow.WithdrawCatalogue)
	return &cutoffv1.WithdrawCatalogueResponse{Change: c}, err
}

// oneChange is what all methods about one change have in common.
func (s *adminService) oneChange(
	ctx context.Context, id string, do func(context.Context, flow.Actor, string) (flow.CatalogueView, error),
) (*cutoffv1.CatalogueChange, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, fault.New(fault.Invalid, "which catalogue change: an id is needed")
	}
	view, err := do(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	return changeMessage(view), nil
}

func changeMessage(v flow.CatalogueView) *cutoffv1.CatalogueChange {
	return &cutoffv1.CatalogueChange{
		ChangeId: v.ID, State: string(v.State), Version: v.Version, Canary: v.Canary,
		Files: catalogue.FilesMessage(v.Files), Products: v.Products(), Reason: v.Reason,
		AskedBy: v.Asked.Actor, AskedAt: stamp(v.Asked.At), ApprovedBy: v.Approved.Actor, ApprovedAt: stamp(v.Approved.At),
		PromotedBy: v.Promoted.Actor, PromotedAt: stamp(v.Promoted.At),
		WithdrawnBy: v.Retracted.Actor, WithdrawnAt: stamp(v.Retracted.At), Count: countMessage(v.Count),
		CanaryDevices: int32(v.CanaryDevices), CanaryPlanned: int32(v.CanaryPlanned),
		CanaryMatching: int32(v.Matching), CanaryItems: int32(v.Items),
	}
}

// countMessage is null before the first count.
func countMessage(c catalogue.Count) *cutoffv1.CatalogueCount {
	if c.At.IsZero() {
		return nil
	}
	return &cutoffv1.CatalogueCount{
		At: stamp(c.At), Devices: int32(c.Devices), Asked: int32(c.Asked), Answered: int32(c.Answered),
		Matching: int32(c.Matching), Items: int32(c.Items), Problems: c.Problems,
		Groups: each(c.Groups, func(g catalogue.GroupCount) *cutoffv1.CatalogueGroupCount {
			return &cutoffv1.CatalogueGroupCount{Group: g.Group, Devices: int32(g.Devices), Answered: int32(g.Answered),
				Matching: int32(g.Matching), Items: int32(g.Items)}
		}),
	}
}

// choicesOf translates what a request changes of a group's choices.
func choicesOf(req *cutoffv1.SetGroupRequest) (flow.ChoicesChange, error) {
	change := flow.ChoicesChange{Enrich: req.Enrich, Wider: req.GetWider()}
	if req.Keyring != nil {
		everything := req.GetKeyring() == keyringEverything
		if !everything && req.GetKeyring() != keyringCatalogue {
			return change, fault.New(fault.Invalid, "keyring is %s or %s, not %.40q", keyringCatalogue, keyringEverything, req.GetKeyring())
		}
		change.Everything = &everything
	}
	for _, set := range []struct {
		from *cutoffv1.Texts
		to   **[]string
	}{{req.GetAccounts(), &change.Accounts}, {req.GetPolicies(), &change.Policies}, {req.GetWorkTrees(), &change.WorkTrees}} {
		if set.from != nil {
			values := set.from.GetValues()
			*set.to = &values
		}
	}
	return change, nil
}

// Words of Group.keyring.
const (
	keyringCatalogue  = "catalogue"
	keyringEverything = "everything"
)

func keyringWord(everything bool) string {
	if everything {
		return keyringEverything
	}
	return keyringCatalogue
}
