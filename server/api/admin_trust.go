package api

import (
	"context"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/decision"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/operator"
)

// AdminTrust is the part of Admin about policy, connectors, evidence and who
// may run the server.
type AdminTrust interface {
	CheckPolicy(ctx context.Context, yaml string) (fault.Problems, error)
	ApplyPolicy(ctx context.Context, actor flow.Actor, yaml string) (int64, fault.Problems, error)
	Policy(ctx context.Context) (flow.PolicyFile, error)
	Decision(ctx context.Context, deviceID string) (decision.Decision, error)

	AddConnector(ctx context.Context, actor flow.Actor, in flow.NewConnector) (flow.Connector, fault.Problems, error)
	CheckConnector(kind, config string, secrets []string) (fault.Problems, error)
	Connectors(ctx context.Context) ([]flow.Connector, error)
	RemoveConnector(ctx context.Context, actor flow.Actor, name string) error
	AddCredential(ctx context.Context, actor flow.Actor, in flow.HeldCredential) (device.Credential, error)
	Credentials(ctx context.Context, deviceName, personName string) ([]device.Credential, error)

	EvidenceKey() string
	ExportEvidence(ctx context.Context, actor flow.Actor, cutID string) ([]byte, error)
	CheckEvidence(ctx context.Context) (n int64, problem string, err error)

	CreateUser(ctx context.Context, actor flow.Actor, name, password, role string) (operator.Account, error)
	Users(ctx context.Context) ([]operator.Account, error)
	RemoveUser(ctx context.Context, actor flow.Actor, name string) error
	CreateAPIKey(ctx context.Context, actor flow.Actor, name, role string, life time.Duration) (string, error)
	APIKeys(ctx context.Context) ([]operator.APIKey, error)
	RevokeAPIKey(ctx context.Context, actor flow.Actor, nameOrID string) (operator.APIKey, error)
}

// Connectors runs the configured connectors.
type Connectors interface {
	// Test asks a connector's provider whether it would do what a cut needs; it
	// changes nothing there.
	Test(ctx context.Context, name string) ([]*cutoffv1.ConnectorCheck, error)
}

func problemMessages(problems fault.Problems) []*cutoffv1.Problem {
	return each(problems, func(p fault.Problem) *cutoffv1.Problem {
		return &cutoffv1.Problem{Line: int32(p.Line), Column: int32(p.Column), Message: p.Message}
	})
}

func (s *adminService) CheckPolicy(
	ctx context.Context, req *cutoffv1.CheckPolicyRequest,
) (*cutoffv1.CheckPolicyResponse, error) {
	problems, err := s.flow.CheckPolicy(ctx, req.GetYaml())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.CheckPolicyResponse{Problems: problemMessages(problems)}, nil
}

func (s *adminService) ApplyPolicy(
	ctx context.Context, req *cutoffv1.ApplyPolicyRequest,
) (*cutoffv1.ApplyPolicyResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	version, problems, err := s.flow.ApplyPolicy(ctx, actor, req.GetYaml())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ApplyPolicyResponse{Version: version, Problems: problemMessages(problems)}, nil
}

func (s *adminService) GetPolicy(
	ctx context.Context, _ *cutoffv1.GetPolicyRequest,
) (*cutoffv1.GetPolicyResponse, error) {
	p, err := s.flow.Policy(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.GetPolicyResponse{
		Version: p.Version, Yaml: p.YAML, AppliedAt: stamp(p.AppliedAt), AppliedBy: p.AppliedBy,
	}, nil
}

func (s *adminService) AddConnector(
	ctx context.Context, req *cutoffv1.AddConnectorRequest,
) (*cutoffv1.AddConnectorResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	c, problems, err := s.flow.AddConnector(ctx, actor, flow.NewConnector{
		Name: req.GetName(), Kind: req.GetKind(), Config: req.GetConfig(), Secrets: req.GetSecrets(),
	})
	switch {
	case err != nil:
		return nil, err
	case len(problems) > 0:
		return &cutoffv1.AddConnectorResponse{Problems: problemMessages(problems)}, nil
	}
	return &cutoffv1.AddConnectorResponse{Connector: connectorMessage(c)}, nil
}

func (s *adminService) ListConnectors(
	ctx context.Context, _ *cutoffv1.ListConnectorsRequest,
) (*cutoffv1.ListConnectorsResponse, error) {
	all, err := s.flow.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListConnectorsResponse{Connectors: each(all, connectorMessage)}, nil
}

func (s *adminService) TestConnector(
	ctx context.Context, req *cutoffv1.TestConnectorRequest,
) (*cutoffv1.TestConnectorResponse, error) {
	checks, err := s.connectors.Test(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.TestConnectorResponse{Checks: checks}, nil
}

func (s *adminService) CheckConnector(
	_ context.Context, req *cutoffv1.CheckConnectorRequest,
) (*cutoffv1.CheckConnectorResponse, error) {
	problems, err := s.flow.CheckConnector(req.GetKind(), req.GetConfig(), nil)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.CheckConnectorResponse{Problems: problemMessages(problems)}, nil
}

func (s *adminService) RemoveConnector(
	ctx context.Context, req *cutoffv1.RemoveConnectorRequest,
) (*cutoffv1.RemoveConnectorResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.RemoveConnectorResponse{}, s.flow.RemoveConnector(ctx, actor, req.GetName())
}

func (s *adminService) AddCredential(
	ctx context.Context, req *cutoffv1.AddCredentialRequest,
) (*cutoffv1.AddCredentialResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	expires, err := moment(req.GetExpiresAt())
	if err != nil {
		return nil, err
	}
	c, err := s.flow.AddCredential(ctx, actor, flow.HeldCredential{
		Connector: req.GetConnector(), Person: req.GetPerson(), Device: req.GetDevice(),
		TokenType: req.GetTokenType(), Token: req.GetToken(), ExpiresAt: expires,
		Label: printable(req.GetLabel(), 200),
	})
	if err != nil {
		return nil, err
	}
	return &cutoffv1.AddCredentialResponse{Credential: credentialMessage(c)}, nil
}

func (s *adminService) ListCredentials(
	ctx context.Context, req *cutoffv1.ListCredentialsRequest,
) (*cutoffv1.ListCredentialsResponse, error) {
	all, err := s.flow.Credentials(ctx, req.GetDevice(), req.GetPerson())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListCredentialsResponse{Credentials: each(all, credentialMessage)}, nil
}

func (s *adminService) GetEvidenceKey(
	context.Context, *cutoffv1.GetEvidenceKeyRequest,
) (*cutoffv1.GetEvidenceKeyResponse, error) {
	return &cutoffv1.GetEvidenceKeyResponse{Key: s.flow.EvidenceKey()}, nil
}

func (s *adminService) ExportEvidence(
	ctx context.Context, req *cutoffv1.ExportEvidenceRequest,
) (*cutoffv1.ExportEvidenceResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	export, err := s.flow.ExportEvidence(ctx, actor, req.GetCutId())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ExportEvidenceResponse{Export: export}, nil
}

func (s *adminService) CheckEvidence(
	ctx context.Context, _ *cutoffv1.CheckEvidenceRequest,
) (*cutoffv1.CheckEvidenceResponse, error) {
	n, problem, err := s.flow.CheckEvidence(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.CheckEvidenceResponse{Ok: problem == "", Records: n, Problem: problem}, nil
}

func (s *adminService) CreateUser(
	ctx context.Context, req *cutoffv1.CreateUserRequest,
) (*cutoffv1.CreateUserResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	a, err := s.flow.CreateUser(ctx, actor, req.GetName(), req.GetPassword(), req.GetRole())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.CreateUserResponse{User: userMessage(a)}, nil
}

func (s *adminService) ListUsers(
	ctx context.Context, _ *cutoffv1.ListUsersRequest,
) (*cutoffv1.ListUsersResponse, error) {
	all, err := s.flow.Users(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListUsersResponse{Users: each(all, userMessage)}, nil
}

func (s *adminService) RemoveUser(
	ctx context.Context, req *cutoffv1.RemoveUserRequest,
) (*cutoffv1.RemoveUserResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.RemoveUserResponse{}, s.flow.RemoveUser(ctx, actor, req.GetName())
}

func (s *adminService) CreateAPIKey(
	ctx context.Context, req *cutoffv1.CreateAPIKeyRequest,
) (*cutoffv1.CreateAPIKeyResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	life, err := duration(req.GetTtlMs(), "the lifetime")
	if err != nil {
		return nil, err
	}
	key, err := s.flow.CreateAPIKey(ctx, actor, req.GetName(), req.GetRole(), life)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.CreateAPIKeyResponse{ApiKey: key}, nil
}

func (s *adminService) ListAPIKeys(
	ctx context.Context, _ *cutoffv1.ListAPIKeysRequest,
) (*cutoffv1.ListAPIKeysResponse, error) {
	all, err := s.flow.APIKeys(ctx)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ListAPIKeysResponse{ApiKeys: each(all, apiKeyMessage)}, nil
}

func (s *adminService) RevokeAPIKey(
	ctx context.Context, req *cutoffv1.RevokeAPIKeyRequest,
) (*cutoffv1.RevokeAPIKeyResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	key, err := s.flow.RevokeAPIKey(ctx, actor, req.GetName())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.RevokeAPIKeyResponse{ApiKey: apiKeyMessage(key)}, nil
}

func apiKeyMessage(k operator.APIKey) *cutoffv1.APIKey {
	return &cutoffv1.APIKey{
		Id: k.ID(), Name: k.Name, Role: k.Role, CreatedBy: k.CreatedBy,
		CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt),
	}
}

func connectorMessage(c flow.Connector) *cutoffv1.Connector {
	return &cutoffv1.Connector{
		Name: c.Name, Kind: c.Kind, Product: c.Product, Health: c.Health, HealthDetail: c.HealthDetail,
		LastUsed: stamp(c.LastUsed), AddedAt: stamp(c.AddedAt),
	}
}

func userMessage(a operator.Account) *cutoffv1.User {
	return &cutoffv1.User{
		Name: a.Name, Role: a.Role, CreatedAt: stamp(a.CreatedAt), LastLogin: stamp(a.LastLogin),
	}
}
