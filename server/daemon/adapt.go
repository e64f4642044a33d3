package daemon

import (
	"context"
	"net/http"
	"strings"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/connector"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/revoke"
)

// connectors are the registry's and the server's own, which shreds.
type connectors struct {
	*connector.Registry
	shred func(ctx context.Context, s revoke.Step) revoke.Result
}

// Revoke is queue.Connectors.
func (c connectors) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	if s.Connector == revoke.Escrow {
		return c.shred(ctx, s)
	}
	return c.Registry.Revoke(ctx, s)
}

// Confirm is queue.Connectors.
func (c connectors) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	if s.Connector == revoke.Escrow {
		return c.shred(ctx, s)
	}
	return c.Registry.Confirm(ctx, s)
}

// tester is the registry as the admin service wants it; what a test found is the
// connector's health from then on.
type tester struct {
	registry *connector.Registry
	checked  func(ctx context.Context, name, health, detail string) error
}

// Test is api.Connectors.
func (t tester) Test(ctx context.Context, name string) ([]*cutoffv1.ConnectorCheck, error) {
	findings, err := t.registry.Test(ctx, name)
	if err != nil {
		return nil, err
	}
	checks := make([]*cutoffv1.ConnectorCheck, 0, len(findings))
	health, detail := flow.HealthOK, ""
	for _, f := range findings {
		checks = append(checks, &cutoffv1.ConnectorCheck{Name: f.Name, Ok: f.OK, Detail: f.Detail})
		if !f.OK && health == flow.HealthOK {
			health, detail = flow.HealthFailing, f.Name+": "+f.Detail
		}
	}
	if err := t.checked(ctx, name, health, detail); err != nil {
		return nil, err
	}
	return checks, nil
}

// keyPrefix marks an API key; anything else is a session's token.
const keyPrefix = "cutoff_key_"

// bearer recognises API keys and console sessions.
type bearer struct{ flow *flow.Flow }

// Bearer is api.Bearer.
func (b bearer) Bearer(ctx context.Context, secret string) (flow.Actor, error) {
	if strings.HasPrefix(secret, keyPrefix) {
		return b.flow.APIKey(ctx, secret)
	}
	actor, err := b.flow.Session(ctx, secret)
	if fault.Is(err, fault.Unauthenticated) {
		return flow.Actor{}, fault.New(fault.Unauthenticated, "this is neither an API key (one begins %s) nor a live session", keyPrefix)
	}
	return actor, err
}

// published is what connectors publish, beside the console.
type published struct {
	registry *connector.Registry
	console  http.Handler
}

// ServeHTTP is http.Handler.
func (p published) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/krl/") {
		p.registry.ServeHTTP(w, r)
		return
	}
	p.console.ServeHTTP(w, r)
}
