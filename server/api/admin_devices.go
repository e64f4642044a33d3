package api

import (
	"context"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/decision"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/person"
	"cutoff/server/posture"
)

// AdminDevices is the part of Admin about devices and whose they are.
type AdminDevices interface {
	CreateToken(
		ctx context.Context, actor flow.Actor, group string, uses int, ttl time.Duration,
	) (text string, token device.Token, err error)
	ListTokens(ctx context.Context, actor flow.Actor) ([]device.Token, error)
	RevokeToken(ctx context.Context, actor flow.Actor, id string) error
	Devices(ctx context.Context, actor flow.Actor, group string) ([]flow.DeviceView, error)
	Device(ctx context.Context, actor flow.Actor, idOrHostname string) (flow.DeviceView, error)
	AssignDevice(ctx context.Context, actor flow.Actor, idOrHostname, person, group string) (flow.DeviceView, error)
	PermitRemoval(ctx context.Context, actor flow.Actor, idOrHostname, reason string) (flow.DeviceView, error)
	RetireDevice(ctx context.Context, actor flow.Actor, idOrHostname string) (flow.DeviceView, error)
	DecideDevice(ctx context.Context, actor flow.Actor, idOrHostname string, admit bool) (flow.DeviceView, error)
	Groups(ctx context.Context, actor flow.Actor) ([]flow.GroupView, error)
	SetGroup(ctx context.Context, actor flow.Actor, name string, change flow.GroupChange) (flow.GroupView, error)
	People(ctx context.Context, actor flow.Actor) ([]flow.PersonView, error)
	Person(ctx context.Context, actor flow.Actor, idOrEmail string) (flow.PersonView, error)
	LinkPerson(
		ctx context.Context, actor flow.Actor, email, name string, accounts []person.Account,
	) (flow.PersonView, error)
}

const (
	defaultUses = 1
	defaultTTL  = time.Hour
)

func (s *adminService) CreateToken(
	ctx context.Context, req *cutoffv1.CreateTokenRequest,
) (*cutoffv1.CreateTokenResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	ttl, err := duration(req.GetTtlMs(), "the lifetime")
	if err != nil {
		return nil, err
	}
	if ttl == 0 {
		ttl = defaultTTL
	}
	uses := int(req.GetUses())
	if uses == 0 {
		uses = defaultUses
	}
	text, token, err := s.flow.CreateToken(ctx, actor, req.GetGroup(), uses, ttl)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.CreateTokenResponse{Token: text, Info: tokenMessage(token, s.now())}, nil
}

func (s *adminService) ListTokens(
	ctx context.Context, _ *cutoffv1.ListTokensRequest,
) (*cutoffv1.ListTokensResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := s.flow.ListTokens(ctx, actor)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return &cutoffv1.ListTokensResponse{
		Tokens: each(tokens, func(t device.Token) *cutoffv1.Token { return tokenMessage(t, now) }),
	}, nil
}

func (s *adminService) RevokeToken(
	ctx context.Context, req *cutoffv1.RevokeTokenRequest,
) (*cutoffv1.RevokeTokenResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.RevokeTokenResponse{}, s.flow.RevokeToken(ctx, actor, req.GetTokenId())
}

func (s *adminService) ListDevices(
	ctx context.Context, req *cutoffv1.ListDevicesRequest,
) (*cutoffv1.ListDevicesResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	devices, err := s.flow.Devices(ctx, actor, req.GetGroup())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListDevicesResponse{Devices: each(devices, deviceMessage)}, nil
}

func (s *adminService) GetDevice(
	ctx context.Context, req *cutoffv1.GetDeviceRequest,
) (*cutoffv1.GetDeviceResponse, error) {
	d, err := s.oneDevice(ctx, req.GetDevice(), s.flow.Device)
	if err != nil {
		return nil, err
	}
	last, err := s.flow.Decision(ctx, d.GetDeviceId())
	if err != nil {
		return nil, err
	}
	d.Decision = decisionMessage(last)
	return &cutoffv1.GetDeviceResponse{Device: d}, nil
}

func (s *adminService) AssignDevice(
	ctx context.Context, req *cutoffv1.AssignDeviceRequest,
) (*cutoffv1.AssignDeviceResponse, error) {
	if req.GetPerson() == "" && req.GetGroup() == "" {
		return nil, fault.New(fault.Invalid, "a person or a group is needed")
	}
	d, err := s.oneDevice(ctx, req.GetDevice(),
		func(ctx context.Context, actor flow.Actor, id string) (flow.DeviceView, error) {
			return s.flow.AssignDevice(ctx, actor, id, req.GetPerson(), req.GetGroup())
		})
	return &cutoffv1.AssignDeviceResponse{Device: d}, err
}

func (s *adminService) RetireDevice(
	ctx context.Context, req *cutoffv1.RetireDeviceRequest,
) (*cutoffv1.RetireDeviceResponse, error) {
	d, err := s.oneDevice(ctx, req.GetDevice(), s.flow.RetireDevice)
	return &cutoffv1.RetireDeviceResponse{Device: d}, err
}

func (s *adminService) UninstallDevice(
	ctx context.Context, req *cutoffv1.UninstallDeviceRequest,
) (*cutoffv1.UninstallDeviceResponse, error) {
	d, err := s.oneDevice(ctx, req.GetDevice(),
		func(ctx context.Context, actor flow.Actor, id string) (flow.DeviceView, error) {
			return s.flow.PermitRemoval(ctx, actor, id, req.GetReason())
		})
	return &cutoffv1.UninstallDeviceResponse{Device: d}, err
}

func (s *adminService) DecideDevice(
	ctx context.Context, req *cutoffv1.DecideDeviceRequest,
) (*cutoffv1.DecideDeviceResponse, error) {
	d, err := s.oneDevice(ctx, req.GetDevice(),
		func(ctx context.Context, actor flow.Actor, id string) (flow.DeviceView, error) {
			return s.flow.DecideDevice(ctx, actor, id, req.GetAdmit())
		})
	return &cutoffv1.DecideDeviceResponse{Device: d}, err
}

// oneDevice is what all methods about one device have in common.
func (s *adminService) oneDevice(
	ctx context.Context, name string,
	do func(context.Context, flow.Actor, string) (flow.DeviceView, error),
) (*cutoffv1.Device, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, fault.New(fault.Invalid, "which device: an id or a unique hostname is needed")
	}
	view, err := do(ctx, actor, name)
	if err != nil {
		return nil, err
	}
	return deviceMessage(view), nil
}

func (s *adminService) ListGroups(
	ctx context.Context, _ *cutoffv1.ListGroupsRequest,
) (*cutoffv1.ListGroupsResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := s.flow.Groups(ctx, actor)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListGroupsResponse{Groups: each(groups, groupMessage)}, nil
}

func (s *adminService) SetGroup(
	ctx context.Context, req *cutoffv1.SetGroupRequest,
) (*cutoffv1.SetGroupResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	change, err := changeOf(req)
	if err != nil {
		return nil, err
	}
	group, err := s.flow.SetGroup(ctx, actor, req.GetGroup(), change)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.SetGroupResponse{Group: groupMessage(group)}, nil
}

func changeOf(req *cutoffv1.SetGroupRequest) (change flow.GroupChange, err error) {
	for _, d := range []struct {
		ms   *int64
		name string
		to   **time.Duration
	}{
		{req.WarnMs, "warn", &change.Warn},
		{req.SealMs, "seal", &change.Seal},
		{req.PurgeMs, "purge", &change.Purge},
		{req.RenewMs, "renew", &change.Renew},
		{req.ReportMs, "report", &change.Report},
		{req.BootTollMs, "boot toll", &change.BootToll},
		{req.StoppedMs, "stopped", &change.Stopped},
	} {
		if *d.to, err = optional(d.ms, d.name); err != nil {
			return flow.GroupChange{}, err
		}
	}
	change.AtExpiry, change.OnTamper, change.Help = req.AtExpiry, req.OnTamper, req.Help
	change.AutoLift, change.Privileged = req.AutoLift, req.Privileged
	if req.Approvals != nil {
		n := int(req.GetApprovals())
		change.Approvals = &n
	}
	change.Choices, err = choicesOf(req)
	return change, err
}

func (s *adminService) ListPeople(
	ctx context.Context, _ *cutoffv1.ListPeopleRequest,
) (*cutoffv1.ListPeopleResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	people, err := s.flow.People(ctx, actor)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListPeopleResponse{People: each(people, personMessage)}, nil
}

func (s *adminService) GetPerson(
	ctx context.Context, req *cutoffv1.GetPersonRequest,
) (*cutoffv1.GetPersonResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.flow.Person(ctx, actor, req.GetPerson())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.GetPersonResponse{Person: personMessage(p)}, nil
}

func (s *adminService) LinkPerson(
	ctx context.Context, req *cutoffv1.LinkPersonRequest,
) (*cutoffv1.LinkPersonResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	accounts := each(req.GetAccounts(), func(a *cutoffv1.Account) person.Account {
		return person.Account{Connector: a.GetConnector(), Account: a.GetAccount()}
	})
	p, err := s.flow.LinkPerson(ctx, actor, req.GetEmail(), req.GetName(), accounts)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.LinkPersonResponse{Person: personMessage(p)}, nil
}

func tokenMessage(t device.Token, now time.Time) *cutoffv1.Token {
	return &cutoffv1.Token{
		TokenId: t.ID, Group: t.Group, Uses: int32(t.Uses), Used: int32(t.Used),
		ExpiresAt: stamp(t.ExpiresAt), State: t.StateAt(now), CreatedBy: t.CreatedBy,
	}
}

func deviceMessage(d flow.DeviceView) *cutoffv1.Device {
	return &cutoffv1.Device{
		DeviceId: d.ID, Hostname: d.Hostname, Group: d.Group, State: string(d.State), Level: d.Level,
		LastContact: stamp(d.LastContact), LeaseUntil: stamp(d.LeaseUntil), Trial: d.Trial(),
		CutId: d.CutID, PersonId: d.PersonID, AgentVersion: d.AgentVersion, EnrolledAt: stamp(d.EnrolledAt),
		Connected: d.Connected, Os: d.OS, Posture: each(d.Posture, factMessage),
		PostureAt:   stamp(d.PostureAt),
		Credentials: each(d.Credentials, credentialMessage),
		Facts:       d.Facts, Silence: d.Quiet.Word, SilentSince: stamp(d.Quiet.Since),
		SealAt: stamp(d.Quiet.SealAt), PurgeAt: stamp(d.Quiet.PurgeAt), Todo: d.Todo, Removal: d.Removal,
	}
}

func factMessage(f posture.Fact) *cutoffv1.PostureFact {
	return &cutoffv1.PostureFact{Name: f.Name, Known: f.Known, Value: f.String(), Reason: f.Reason}
}

// decisionMessage is null for a device nothing was decided about.
func decisionMessage(d decision.Decision) *cutoffv1.Decision {
	if d.At.IsZero() {
		return nil
	}
	return &cutoffv1.Decision{
		Consequence: string(d.Consequence), At: stamp(d.At),
		Rules: each(d.Rules, func(r decision.Rule) *cutoffv1.RuleResult {
			return &cutoffv1.RuleResult{
				Rule: r.Name, Passed: r.Passed, Consequence: string(r.Consequence), Explanation: r.Explain(),
			}
		}),
	}
}

func credentialMessage(c device.Credential) *cutoffv1.Credential {
	return &cutoffv1.Credential{
		CredentialId: c.ID, DeviceId: c.DeviceID, PersonId: c.PersonID, Connector: c.Connector,
		Product: c.Product, User: c.User, Path: c.Path,
		Identifiers: each(c.Identifiers, func(i device.Identifier) *cutoffv1.Identifier {
			return &cutoffv1.Identifier{Kind: i.Kind, Value: i.Value}
		}),
		ExpiresAt: stamp(c.ExpiresAt), SeenAt: stamp(c.SeenAt), Held: c.Held,
	}
}

func groupMessage(g flow.GroupView) *cutoffv1.Group {
	return &cutoffv1.Group{
		Group: g.Name, WarnMs: g.Warn.Milliseconds(), SealMs: g.Seal.Milliseconds(),
		PurgeMs: g.Purge.Milliseconds(), RenewMs: g.Renew.Milliseconds(), AtExpiry: g.AtExpiry,
		ReportMs: g.Report.Milliseconds(), Approvals: int32(g.Approvals), Devices: int32(g.Devices),
		Keyring: keyringWord(g.Choices.Everything), Accounts: g.Choices.Accounts, Policies: g.Choices.Policies,
		Enrich: g.Choices.Enrich, WorkTrees: g.Choices.WorkTrees, CatalogueVersion: g.Catalogue,
		OnTamper: g.OnTamper, BootTollMs: g.BootToll.Milliseconds(), AutoLift: g.AutoLift,
		StoppedMs: g.Stopped.Milliseconds(), Help: g.Help, Privileged: g.Privileged,
	}
}

func personMessage(p flow.PersonView) *cutoffv1.Person {
	return &cutoffv1.Person{
		PersonId: p.ID, Email: p.Email, Name: p.Name, DeviceIds: p.DeviceIDs,
		Accounts: each(p.Accounts, func(a person.Account) *cutoffv1.Account {
			return &cutoffv1.Account{Connector: a.Connector, Account: a.Account}
		}),
	}
}
