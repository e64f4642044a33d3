package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// endpoints are the file's, and for what it leaves out those that the issuer
// publishes, which are kept once read.
func (c *Connector) endpoints(ctx context.Context) (endpoints, error) {
	if c.file.issuer == nil {
		return c.file.endpoints, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found != nil {
		return *c.found, nil
	}
	res, err := c.client.Do(ctx, outgoing.Request{Method: http.MethodGet, URL: c.file.issuer.JoinPath(".well-known", "openid-configuration")})
	if err != nil {
		return endpoints{}, err
	}
	if res.Status != http.StatusOK {
		return endpoints{}, &statusError{res.Status, "discovery-refused"}
	}
	var published struct {
		Issuer     string `json:"issuer"`
		Revoke     string `json:"revocation_endpoint"`
		Introspect string `json:"introspection_endpoint"`
		Userinfo   string `json:"userinfo_endpoint"`
	}
	if json.Unmarshal(res.Body, &published) != nil {
		return endpoints{}, &statusError{res.Status, "discovery-malformed"}
	}
	if strings.TrimSuffix(published.Issuer, "/") != strings.TrimSuffix(c.file.issuer.String(), "/") {
		return endpoints{}, &statusError{res.Status, "discovery-names-another-issuer"}
	}
	found := c.file.endpoints
	for _, e := range []struct {
		to   **url.URL
		text string
	}{{&found.revoke, published.Revoke}, {&found.introspect, published.Introspect}} {
		u, err := url.Parse(e.text)
		if *e.to == nil && err == nil && u.Host != "" && c.file.link.Permits(u) {
			*e.to = u
		}
	}
	c.found = &found
	return found, nil
}

// Check tries what changes nothing: discovery, and an introspection of a token
// that is none, which shows whether the client's own secret is taken.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	ends, err := c.endpoints(ctx)
	if err != nil {
		return []config.Finding{{Name: "find endpoints", Detail: without(err, revoke.Step{}, nil).Detail}}
	}
	all := []config.Finding{{Name: "revocation endpoint", OK: ends.revoke != nil, Detail: place(ends.revoke)}}
	if ends.introspect == nil {
		return append(all, config.Finding{Name: "introspection", OK: true, Detail: "none: revocations will be accepted, never verified"})
	}
	f := config.Finding{Name: "introspection", OK: true, Detail: "answers; the client is taken"}
	if active, err := c.active(ctx, ends, "cutoff-check-not-a-token"); err != nil {
		f.OK, f.Detail = false, without(err, revoke.Step{}, nil).Detail
	} else if active {
		f.OK, f.Detail = false, "calls a token active that is none: it proves nothing"
	}
	return append(all, f)
}

func place(u *url.URL) string {
	if u == nil {
		return "none: tokens cannot be revoked here"
	}
	return u.Scheme + "://" + u.Host + u.Path
}
