package console_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/console"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// backend stands for the admin API, the operators and the change hints. It
// keeps rows, answers copies, refuses what the real one refuses and remembers
// who called.
type backend struct {
	mu       sync.Mutex
	now      time.Time
	devices  []*cutoffv1.Device
	people   []*cutoffv1.Person
	cuts     []*cutoffv1.Cut
	conns    []*cutoffv1.Connector
	tokens   []*cutoffv1.Token
	policy   *cutoffv1.GetPolicyResponse
	changes  []*cutoffv1.CatalogueChange
	watchers map[string][]chan struct{}
	sessions map[string]flow.Actor
	users    map[string]string // name to password; the role is its prefix
	code     string
	calls    []string
	preview  error
	answer   *cutoffv1.PreviewDevice
}

type actorKey struct{}

func newBackend(now time.Time) *backend {
	return &backend{
		now: now, watchers: map[string][]chan struct{}{}, sessions: map[string]flow.Actor{},
		users: map[string]string{"admin-ada": password, "operator-olu": password, "viewer-vic": password},
		code:  "once-only-setup-code",
	}
}

const password = "correct horse battery"

func clone[M proto.Message](m M) M { return proto.Clone(m).(M) }

func (b *backend) called(ctx context.Context, method string) func() {
	b.mu.Lock()
	actor, ok := ctx.Value(actorKey{}).(flow.Actor)
	if !ok {
		panic(method + " called without an actor")
	}
	b.calls = append(b.calls, actor.Name+" "+method)
	return b.mu.Unlock
}

func (b *backend) did(call string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.calls, call)
}

// change alters a cut and hints at it.
func (b *backend) change(id string, fn func(*cutoffv1.Cut)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.cuts {
		if k.GetCutId() == id {
			fn(k)
		}
	}
	for _, ch := range b.watchers[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (b *backend) watched(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.watchers[id])
}

func (b *backend) Watch(id string) (<-chan struct{}, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch := make(chan struct{}, 1)
	b.watchers[id] = append(b.watchers[id], ch)
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watchers[id] = slices.DeleteFunc(b.watchers[id], func(c chan struct{}) bool { return c == ch })
	}
}

// Operators.

func (b *backend) Setup(_ context.Context, code, name, password string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.code == "" || code != b.code {
		return fault.New(fault.Denied, "the setup code is not right, or no longer good")
	}
	b.code = ""
	b.users[name] = password
	return nil
}

func (b *backend) Login(_ context.Context, name, password, source string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if source != "127.0.0.1" {
		return "", fault.New(fault.Internal, "source %q", source)
	}
	if b.users[name] == "" || b.users[name] != password {
		return "", fault.New(fault.Unauthenticated, "name or password is wrong")
	}
	role, _, _ := strings.Cut(name, "-")
	token := fmt.Sprintf("session-of-%s-%d", name, len(b.sessions))
	b.sessions[token] = flow.Actor{Name: name, Person: name, Role: role}
	return token, nil
}

func (b *backend) Session(_ context.Context, token string) (flow.Actor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	actor, ok := b.sessions[token]
	if !ok {
		return flow.Actor{}, fault.New(fault.Unauthenticated, "the session has ended")
	}
	return actor, nil
}

func (b *backend) Logout(_ context.Context, token string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, token)
	return nil
}

// Rows.

func (b *backend) ListDevices(ctx context.Context, _ *cutoffv1.ListDevicesRequest) (*cutoffv1.ListDevicesResponse, error) {
	defer b.called(ctx, "ListDevices")()
	return clone(&cutoffv1.ListDevicesResponse{Devices: b.devices}), nil
}

func (b *backend) find(id string) (*cutoffv1.Device, error) {
	for _, d := range b.devices {
		if d.GetDeviceId() == id || d.GetHostname() == id {
			return d, nil
		}
	}
	return nil, grpcstatus.Error(codes.NotFound, "there is no such device")
}

func (b *backend) GetDevice(ctx context.Context, r *cutoffv1.GetDeviceRequest) (*cutoffv1.GetDeviceResponse, error) {
	defer b.called(ctx, "GetDevice")()
	d, err := b.find(r.GetDevice())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.GetDeviceResponse{Device: clone(d)}, nil
}

func (b *backend) DecideDevice(ctx context.Context, r *cutoffv1.DecideDeviceRequest) (*cutoffv1.DecideDeviceResponse, error) {
	defer b.called(ctx, fmt.Sprint("DecideDevice ", r.GetAdmit()))()
	d, err := b.find(r.GetDevice())
	if err != nil {
		return nil, err
	}
	d.State = map[bool]string{true: "trusted", false: "retired"}[r.GetAdmit()]
	return &cutoffv1.DecideDeviceResponse{Device: clone(d)}, nil
}

func (b *backend) ListPeople(ctx context.Context, _ *cutoffv1.ListPeopleRequest) (*cutoffv1.ListPeopleResponse, error) {
	defer b.called(ctx, "ListPeople")()
	return clone(&cutoffv1.ListPeopleResponse{People: b.people}), nil
}

func (b *backend) GetPerson(ctx context.Context, r *cutoffv1.GetPersonRequest) (*cutoffv1.GetPersonResponse, error) {
	defer b.called(ctx, "GetPerson")()
	for _, p := range b.people {
		if p.GetPersonId() == r.GetPerson() || p.GetEmail() == r.GetPerson() {
			return &cutoffv1.GetPersonResponse{Person: clone(p)}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no such person")
}

func (b *backend) PreviewCut(ctx context.Context, r *cutoffv1.PreviewCutRequest) (*cutoffv1.PreviewCutResponse, error) {
	defer b.called(ctx, "PreviewCut "+r.GetLevel())()
	if b.preview != nil {
		return nil, b.preview
	}
	if b.answer != nil {
		return &cutoffv1.PreviewCutResponse{Devices: []*cutoffv1.PreviewDevice{clone(b.answer)}}, nil
	}
	return &cutoffv1.PreviewCutResponse{
		Devices: []*cutoffv1.PreviewDevice{{DeviceId: "dev_1", Hostname: "lap-ada", Live: true, Items: sampleItems("", 9)}},
		Steps:   sampleSteps(b.now, false),
	}, nil
}

func (b *backend) OpenCut(ctx context.Context, r *cutoffv1.OpenCutRequest) (*cutoffv1.OpenCutResponse, error) {
	defer b.called(ctx, "OpenCut "+r.GetLevel())()
	n := len(b.cuts) + 100
	k := &cutoffv1.Cut{
		CutId: fmt.Sprintf("cut_%d", n), CaseId: fmt.Sprintf("case_%d", n), DeviceId: r.GetDevice(), PersonId: r.GetPerson(),
		Level: r.GetLevel(), State: "open", Reason: r.GetReason(), Cause: "operator", Exposure: "unbounded",
		Actor: ctx.Value(actorKey{}).(flow.Actor).Name, OpenedAt: timestamppb.New(b.now),
	}
	if d, err := b.find(r.GetDevice()); err == nil {
		k.Hostname, k.OrderState, d.CutId, d.Level = d.GetHostname(), "drafted", k.GetCutId(), k.GetLevel()
		k.Steps = sampleSteps(b.now, false)
	}
	b.cuts = append([]*cutoffv1.Cut{k}, b.cuts...)
	return &cutoffv1.OpenCutResponse{CaseId: k.GetCaseId(), Cuts: []*cutoffv1.Cut{clone(k)}}, nil
}

func (b *backend) ListCuts(ctx context.Context, _ *cutoffv1.ListCutsRequest) (*cutoffv1.ListCutsResponse, error) {
	defer b.called(ctx, "ListCuts")()
	return clone(&cutoffv1.ListCutsResponse{Cuts: b.cuts}), nil
}

func (b *backend) GetCut(ctx context.Context, r *cutoffv1.GetCutRequest) (*cutoffv1.GetCutResponse, error) {
	defer b.called(ctx, "GetCut")()
	answer := &cutoffv1.GetCutResponse{}
	for _, k := range b.cuts {
		if k.GetCutId() == r.GetId() {
			return &cutoffv1.GetCutResponse{Cut: clone(k)}, nil
		}
		if k.GetCaseId() == r.GetId() {
			answer.Cuts = append(answer.Cuts, clone(k))
		}
	}
	if len(answer.GetCuts()) == 0 {
		return nil, fault.New(fault.NotFound, "there is no such cut")
	}
	return answer, nil
}

// decide moves a cut from a state, as the real one does, or says Conflict.
func (b *backend) decide(id, from, to string, fn func(*cutoffv1.Cut)) (*cutoffv1.Cut, error) {
	for _, k := range b.cuts {
		if k.GetCutId() != id {
			continue
		}
		if !strings.Contains(from, k.GetState()) {
			return nil, fault.New(fault.Conflict, "the cut is %s", k.GetState())
		}
		k.State = to
		fn(k)
		return clone(k), nil
	}
	return nil, fault.New(fault.NotFound, "there is no such cut")
}

func (b *backend) ApproveCut(ctx context.Context, r *cutoffv1.ApproveCutRequest) (*cutoffv1.ApproveCutResponse, error) {
	defer b.called(ctx, "ApproveCut")()
	k, err := b.decide(r.GetId(), "held", "open", func(*cutoffv1.Cut) {})
	return &cutoffv1.ApproveCutResponse{Cut: k}, err
}

func (b *backend) RefuseCut(ctx context.Context, r *cutoffv1.RefuseCutRequest) (*cutoffv1.RefuseCutResponse, error) {
	defer b.called(ctx, "RefuseCut")()
	k, err := b.decide(r.GetId(), "held", "refused", func(*cutoffv1.Cut) {})
	return &cutoffv1.RefuseCutResponse{Cut: k}, err
}

func (b *backend) LiftCut(ctx context.Context, r *cutoffv1.LiftCutRequest) (*cutoffv1.LiftCutResponse, error) {
	defer b.called(ctx, "LiftCut")()
	k, err := b.decide(r.GetCutId(), "open settled", "lifting", func(k *cutoffv1.Cut) { k.LiftReason = r.GetReason() })
	return &cutoffv1.LiftCutResponse{Cut: k}, err
}

func (b *backend) ExportEvidence(ctx context.Context, r *cutoffv1.ExportEvidenceRequest) (*cutoffv1.ExportEvidenceResponse, error) {
	defer b.called(ctx, "ExportEvidence")()
	return &cutoffv1.ExportEvidenceResponse{Export: []byte("evidence of " + r.GetCutId())}, nil
}

func (b *backend) ListGroups(ctx context.Context, _ *cutoffv1.ListGroupsRequest) (*cutoffv1.ListGroupsResponse, error) {
	defer b.called(ctx, "ListGroups")()
	return &cutoffv1.ListGroupsResponse{Groups: []*cutoffv1.Group{{Group: "default"}, {
		Group: "finance", Keyring: "everything", Accounts: []string{"example.com"}, Policies: []string{"gnupg"}, WorkTrees: []string{"~/src"}, CatalogueVersion: 4,
	}}}, nil
}

func (b *backend) ListTokens(ctx context.Context, _ *cutoffv1.ListTokensRequest) (*cutoffv1.ListTokensResponse, error) {
	defer b.called(ctx, "ListTokens")()
	return clone(&cutoffv1.ListTokensResponse{Tokens: b.tokens}), nil
}

func (b *backend) CreateToken(ctx context.Context, r *cutoffv1.CreateTokenRequest) (*cutoffv1.CreateTokenResponse, error) {
	defer b.called(ctx, fmt.Sprintf("CreateToken %s %d %d", r.GetGroup(), r.GetUses(), r.GetTtlMs()))()
	info := &cutoffv1.Token{
		TokenId: fmt.Sprintf("tok_%d", len(b.tokens)), Group: r.GetGroup(), Uses: r.GetUses(), State: "live",
		CreatedBy: ctx.Value(actorKey{}).(flow.Actor).Name,
		ExpiresAt: timestamppb.New(b.now.Add(time.Duration(r.GetTtlMs()) * time.Millisecond)),
	}
	b.tokens = append(b.tokens, info)
	return &cutoffv1.CreateTokenResponse{Token: "cutoff1.ZGVtbw.c2hhMjU2LW9mLXRoZS1yb290LWtleS1pcy1oZXJl.VGhpcy1pcy1hLXNlY3JldC1vZi0zMi1ieXRlcy1sb25n", Info: clone(info)}, nil
}

func (b *backend) RevokeToken(ctx context.Context, r *cutoffv1.RevokeTokenRequest) (*cutoffv1.RevokeTokenResponse, error) {
	defer b.called(ctx, "RevokeToken")()
	for _, t := range b.tokens {
		if t.GetTokenId() == r.GetTokenId() {
			t.State = "revoked"
			return &cutoffv1.RevokeTokenResponse{}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no such token")
}

func (b *backend) GetPolicy(ctx context.Context, _ *cutoffv1.GetPolicyRequest) (*cutoffv1.GetPolicyResponse, error) {
	defer b.called(ctx, "GetPolicy")()
	if b.policy == nil {
		return nil, fault.New(fault.NotFound, "no policy is applied")
	}
	return clone(b.policy), nil
}

func (b *backend) ListConnectors(ctx context.Context, _ *cutoffv1.ListConnectorsRequest) (*cutoffv1.ListConnectorsResponse, error) {
	defer b.called(ctx, "ListConnectors")()
	return clone(&cutoffv1.ListConnectorsResponse{Connectors: b.conns}), nil
}

func (b *backend) ListCatalogue(ctx context.Context, _ *cutoffv1.ListCatalogueRequest) (*cutoffv1.ListCatalogueResponse, error) {
	defer b.called(ctx, "ListCatalogue")()
	return clone(&cutoffv1.ListCatalogueResponse{Changes: b.changes}), nil
}

// move takes a change a step on.
func (b *backend) move(id, to string) (*cutoffv1.CatalogueChange, error) {
	for _, k := range b.changes {
		if k.GetChangeId() == id {
			if to != "" {
				k.State = to
			}
			return clone(k), nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no catalogue change %q", id)
}

func (b *backend) CountCatalogue(ctx context.Context, r *cutoffv1.CountCatalogueRequest) (*cutoffv1.CountCatalogueResponse, error) {
	defer b.called(ctx, "CountCatalogue")()
	k, err := b.move(r.GetChangeId(), "")
	return &cutoffv1.CountCatalogueResponse{Change: k}, err
}

func (b *backend) ApproveCatalogue(ctx context.Context, r *cutoffv1.ApproveCatalogueRequest) (*cutoffv1.ApproveCatalogueResponse, error) {
	defer b.called(ctx, "ApproveCatalogue")()
	k, err := b.move(r.GetChangeId(), "canary")
	return &cutoffv1.ApproveCatalogueResponse{Change: k}, err
}

func (b *backend) PromoteCatalogue(ctx context.Context, r *cutoffv1.PromoteCatalogueRequest) (*cutoffv1.PromoteCatalogueResponse, error) {
	defer b.called(ctx, "PromoteCatalogue")()
	k, err := b.move(r.GetChangeId(), "active")
	return &cutoffv1.PromoteCatalogueResponse{Change: k}, err
}

func (b *backend) WithdrawCatalogue(ctx context.Context, r *cutoffv1.WithdrawCatalogueRequest) (*cutoffv1.WithdrawCatalogueResponse, error) {
	defer b.called(ctx, "WithdrawCatalogue")()
	k, err := b.move(r.GetChangeId(), "withdrawn")
	return &cutoffv1.WithdrawCatalogueResponse{Change: k}, err
}

// may is the shape of the API's table.
func may(role, method string) bool {
	switch method {
	case "ListDevices", "GetDevice", "ListPeople", "GetPerson", "ListGroups", "ListCuts", "GetCut", "GetPolicy", "ListConnectors", "ExportEvidence", "ListCatalogue":
		return role == "viewer" || role == "operator" || role == "admin"
	case "CountCatalogue", "ApproveCatalogue", "PromoteCatalogue", "WithdrawCatalogue":
		return role == "admin"
	default:
		return role == "operator" || role == "admin"
	}
}

// site is the console on a TLS listener with its backend.
type site struct {
	*backend
	*httptest.Server
	t       *testing.T
	console *console.Console
}

func newSite(t *testing.T) *site {
	t.Helper()
	b := newBackend(time.Now().UTC().Truncate(time.Second))
	fill(b)
	c, err := console.New(console.Config{
		Admin: b, Auth: b, Watch: b, May: may, Now: func() time.Time { return time.Now() }, Log: slog.New(slog.DiscardHandler),
		WithActor: func(ctx context.Context, a flow.Actor) context.Context { return context.WithValue(ctx, actorKey{}, a) },
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(c)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers that hang up
	server.StartTLS()
	t.Cleanup(func() { c.Close(); server.Close() })
	return &site{backend: b, Server: server, t: t, console: c}
}

// visitor is a browser without scripts: cookies, no redirects followed.
type visitor struct {
	t    *testing.T
	base string
	http *http.Client
}

func (s *site) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	client := *s.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &visitor{t: s.t, base: s.URL, http: &client}
}

// newest is the id of the cut opened last.
func (b *backend) newest() string { b.mu.Lock(); defer b.mu.Unlock(); return b.cuts[0].GetCutId() }

// signOutAll ends every session behind the browsers' backs.
func (b *backend) signOutAll() { b.mu.Lock(); defer b.mu.Unlock(); clear(b.sessions) }
