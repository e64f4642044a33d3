// Package console is the operators' web pages: devices, cuts as they happen and
// what was proved of them. It renders HTML from the admin API's answers and
// holds no state but open event streams. It must not decide anything: what an
// operator may do is asked of May, what happens is asked of Admin.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/flow"
)

// Admin is what the console uses of the admin API. Errors carry a fault.Kind or
// a gRPC status.
type Admin interface {
	ListDevices(context.Context, *cutoffv1.ListDevicesRequest) (*cutoffv1.ListDevicesResponse, error)
	GetDevice(context.Context, *cutoffv1.GetDeviceRequest) (*cutoffv1.GetDeviceResponse, error)
	DecideDevice(context.Context, *cutoffv1.DecideDeviceRequest) (*cutoffv1.DecideDeviceResponse, error)

	ListPeople(context.Context, *cutoffv1.ListPeopleRequest) (*cutoffv1.ListPeopleResponse, error)
	GetPerson(context.Context, *cutoffv1.GetPersonRequest) (*cutoffv1.GetPersonResponse, error)

	PreviewCut(context.Context, *cutoffv1.PreviewCutRequest) (*cutoffv1.PreviewCutResponse, error)
	OpenCut(context.Context, *cutoffv1.OpenCutRequest) (*cutoffv1.OpenCutResponse, error)
	ListCuts(context.Context, *cutoffv1.ListCutsRequest) (*cutoffv1.ListCutsResponse, error)
	GetCut(context.Context, *cutoffv1.GetCutRequest) (*cutoffv1.GetCutResponse, error)
	ApproveCut(context.Context, *cutoffv1.ApproveCutRequest) (*cutoffv1.ApproveCutResponse, error)
	RefuseCut(context.Context, *cutoffv1.RefuseCutRequest) (*cutoffv1.RefuseCutResponse, error)
	LiftCut(context.Context, *cutoffv1.LiftCutRequest) (*cutoffv1.LiftCutResponse, error)
	ExportEvidence(context.Context, *cutoffv1.ExportEvidenceRequest) (*cutoffv1.ExportEvidenceResponse, error)

	ListGroups(context.Context, *cutoffv1.ListGroupsRequest) (*cutoffv1.ListGroupsResponse, error)
	ListTokens(context.Context, *cutoffv1.ListTokensRequest) (*cutoffv1.ListTokensResponse, error)
	CreateToken(context.Context, *cutoffv1.CreateTokenRequest) (*cutoffv1.CreateTokenResponse, error)
	RevokeToken(context.Context, *cutoffv1.RevokeTokenRequest) (*cutoffv1.RevokeTokenResponse, error)
	GetPolicy(context.Context, *cutoffv1.GetPolicyRequest) (*cutoffv1.GetPolicyResponse, error)
	ListConnectors(context.Context, *cutoffv1.ListConnectorsRequest) (*cutoffv1.ListConnectorsResponse, error)

	ListCatalogue(context.Context, *cutoffv1.ListCatalogueRequest) (*cutoffv1.ListCatalogueResponse, error)
	CountCatalogue(context.Context, *cutoffv1.CountCatalogueRequest) (*cutoffv1.CountCatalogueResponse, error)
	ApproveCatalogue(context.Context, *cutoffv1.ApproveCatalogueRequest) (*cutoffv1.ApproveCatalogueResponse, error)
	PromoteCatalogue(context.Context, *cutoffv1.PromoteCatalogueRequest) (*cutoffv1.PromoteCatalogueResponse, error)
	WithdrawCatalogue(context.Context, *cutoffv1.WithdrawCatalogueRequest) (*cutoffv1.WithdrawCatalogueResponse, error)
}

// Auth knows the operators. It limits attempts itself, per source.
type Auth interface {
	// Setup makes the first admin with the one-time setup code.
	Setup(ctx context.Context, code, name, password string) error
	// Login answers a new session's token; source is the caller's address.
	Login(ctx context.Context, name, password, source string) (token string, err error)
	// Session answers whose session it is, or an Unauthenticated error.
	Session(ctx context.Context, token string) (flow.Actor, error)
	Logout(ctx context.Context, token string) error
}

// SetupPending may be implemented by Auth too: whether the first admin is still
// to be made. The login page then shows the way.
type SetupPending interface {
	SetupPending(ctx context.Context) (bool, error)
}

// Watcher tells when a cut changed. The channel is a hint; a value may stand
// for many changes.
type Watcher interface {
	Watch(cutID string) (changed <-chan struct{}, stop func())
}

// Config is what New needs. Every field is required.
type Config struct {
	Admin Admin
	Auth  Auth
	Watch Watcher
	// WithActor puts the actor where Admin looks for it.
	WithActor func(context.Context, flow.Actor) context.Context
	// May says whether a role may call the admin method of that name, such as
	// OpenCut. Pages hide what it refuses and handlers ask it again.
	May func(role, method string) bool
	// Now is the clock that pages are reckoned by.
	Now func() time.Time
	Log *slog.Logger
}

func (c Config) check() error {
	switch {
	case c.Admin == nil:
		return errors.New("console: no Admin")
	case c.Auth == nil:
		return errors.New("console: no Auth")
	case c.Watch == nil:
		return errors.New("console: no Watch")
	case c.WithActor == nil:
		return errors.New("console: no WithActor")
	case c.May == nil:
		return errors.New("console: no May")
	case c.Now == nil:
		return errors.New("console: no Now")
	case c.Log == nil:
		return errors.New("console: no Log")
	}
	return nil
}

// Console serves the pages. New makes one.
type Console struct {
	Config
	pages   pages
	assets  assets
	streams *streams
	// wrapped is the routes inside every guard.
	wrapped http.Handler
}

// New makes the console's handler, to be mounted at the root of a listener that
// speaks TLS (its cookies are Secure).
func New(config Config) (*Console, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	c := &Console{Config: config, streams: newStreams()}
	var err error
	if c.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if c.pages, err = loadPages(c.assets); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c.wrapped = c.guard(c.routes())
	return c, nil
}

// ServeHTTP serves one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.wrapped.ServeHTTP(w, r) }

// Close ends every event stream, so that a graceful stop need not wait for
// them. Browsers connect again by themselves.
func (c *Console) Close() { c.streams.close() }

func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{hash}/{name}", c.static)

	mux.HandleFunc("GET /login", c.loginPage)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("GET /setup", c.setupPage)
	mux.HandleFunc("POST /setup", c.setup)
	mux.HandleFunc("POST /logout", c.logout)

	page := func(pattern string, handle handler) { mux.HandleFunc(pattern, c.signedIn(handle)) }
	page("GET /{$}", c.home)
	page("GET /devices", c.devices)
	page("GET /devices/{id}", c.device)
	page("POST /devices/{id}/cut", c.cutDevice)
	page("POST /devices/{id}/preview", c.previewDevice)
	page("POST /devices/{id}/decide", c.decideDevice)

	page("GET /cuts", c.cuts)
	page("GET /cuts/{id}", c.cut)
	page("GET /cuts/{id}/evidence", c.evidence)
	page("POST /cuts/{id}/approve", c.approve)
	page("POST /cuts/{id}/refuse", c.refuse)
	page("POST /cuts/{id}/lift", c.lift)
	mux.HandleFunc("GET /cuts/{id}/events", c.events)

	page("GET /people", c.people)
	page("GET /people/{id}", c.person)
	page("POST /people/{id}/cut", c.cutPerson)
	page("POST /people/{id}/preview", c.previewPerson)
	page("GET /connectors", c.connectors)
	page("GET /tokens", c.tokens)
	page("POST /tokens", c.createToken)
	page("POST /tokens/{id}/revoke", c.revokeToken)
	page("GET /policy", c.policy)
	page("GET /catalogue", c.catalogue)
	page("POST /catalogue/{id}/count", c.onChange("CountCatalogue", c.countChange))
	page("POST /catalogue/{id}/approve", c.onChange("ApproveCatalogue", c.approveChange))
	page("POST /catalogue/{id}/promote", c.onChange("PromoteCatalogue", c.promoteChange))
	page("POST /catalogue/{id}/withdraw", c.onChange("WithdrawCatalogue", c.withdrawChange))

	mux.HandleFunc("/", c.nowhere)
	return mux
}
