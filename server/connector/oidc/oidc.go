// Package oidc revokes tokens that the server itself holds, by RFC 7009, and
// asks for proof by RFC 7662. RFC 7009 answers 200 for any token, known or
// not, so that answer is never taken as proof. A token leaves this server only
// to its own provider and must not get into a result, an error or a log.
package oidc

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"time"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Token types, as RFC 7009 names them.
const (
	Refresh = "refresh_token"
	Access  = "access_token"
)

// action is the only one: a token is revoked.
const action = "revoke-token"

// Held gives the token of a credential that the server holds.
type Held func(ctx context.Context, credentialID string) (string, error)

// Connector is one configured provider.
type Connector struct {
	name    string
	file    settings
	secrets config.Secrets
	client  *outgoing.Client
	held    Held
	now     func() time.Time

	mu    sync.Mutex
	found *endpoints
}

// Config is what New needs besides the file.
type Config struct {
	Name    string
	Secrets config.Secrets
	Held    Held
	Now     func() time.Time
	// Outgoing is overlaid with what the file says; usually zero.
	Outgoing outgoing.Config
}

// settings is a file that was read.
type settings struct {
	product    string
	link       config.Link
	issuer     *url.URL
	endpoints  endpoints
	revoker    client
	introspect client
	accessLife time.Duration
}

// endpoints are where a provider is asked; nil is unknown.
type endpoints struct {
	revoke, introspect, userinfo *url.URL
}

// client is how this server shows who it is.
type client struct {
	id     string
	secret string // its name among the secrets
	auth   string
}

// Inspect reads a file: its product, the names of the secrets it needs, and
// what is wrong with it.
func Inspect(text string) (product string, secrets []string, problems fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return "", nil, problems
	}
	return s.name(), s.needed(), nil
}

func (s settings) needed() []string {
	var names []string
	for _, k := range []client{s.revoker, s.introspect} {
		if k.secret != "" && !slices.Contains(names, k.secret) {
			names = append(names, k.secret)
		}
	}
	return names
}

// New makes a connector of a file, or says what is wrong with it.
func New(text string, c Config) (*Connector, fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return nil, problems
	}
	if problems := c.Secrets.Lack(s.needed()); len(problems) > 0 {
		return nil, problems
	}
	return &Connector{name: c.Name, file: s, secrets: c.Secrets, held: c.Held, now: c.Now, client: outgoing.New(s.link.Outgoing.With(c.Outgoing))}, nil
}

func read(text string) (settings, fault.Problems) {
	doc, problems := config.Open(text)
	if len(problems) > 0 {
		return settings{}, problems
	}
	m := doc.Root.Map(append(config.LinkKeys(),
		"product", "issuer", "revoke", "introspect", "userinfo", "client", "introspect_client", "access_token_life")...)
	s := settings{product: m["product"].Text(), link: config.ReadLink(m)}
	s.issuer = s.link.Address(m["issuer"])
	s.endpoints = endpoints{
		revoke: s.link.Address(m["revoke"]), introspect: s.link.Address(m["introspect"]), userinfo: s.link.Address(m["userinfo"]),
	}
	if m["issuer"].Missing() && m["revoke"].Missing() {
		doc.Root.Fault("say issuer (its endpoints are then found), or revoke, the address of RFC 7009")
	}
	doc.Root.Need(m, "client", "access_token_life")
	s.revoker = readClient(m["client"])
	s.introspect = s.revoker
	if !m["introspect_client"].Missing() {
		s.introspect = readClient(m["introspect_client"])
	}
	if n := m["access_token_life"]; !n.Missing() {
		life, ok := config.Span(n.Text())
		if !ok {
			n.Fault("want how long an access token lives, like 1h")
		}
		s.accessLife = life
	}
	return s, doc.Problems()
}

func readClient(n document.Node) client {
	m := n.Map("id", "secret", "auth")
	n.Need(m, "id")
	k := client{id: m["id"].Text(), secret: m["secret"].Text(), auth: m["auth"].OneOf("basic", "post", "none")}
	if k.auth == "" {
		k.auth = "basic"
	}
	if k.auth != "none" && k.secret == "" && !n.Missing() {
		n.Fault("secret is missing: the name of the secret, or auth: none for a public client")
	}
	return k
}

// Product is the provider's name as people know it.
func (c *Connector) Product() string { return c.file.name() }

func (s settings) name() string {
	if s.product == "" {
		return "OAuth 2.0"
	}
	return s.product
}

// Parallel is how many steps may be under way at once.
func (c *Connector) Parallel() int { return c.client.Parallel() }

// Close drops idle connections.
func (c *Connector) Close() { c.client.Close() }

// Plan lists the tokens that the server holds for this provider, refresh
// tokens first: an access token revoked before its refresh token is minted anew.
func (c *Connector) Plan(s revoke.Subject) []revoke.Spec {
	var specs []revoke.Spec
	for _, k := range s.Credentials {
		if !k.Held || k.Connector != c.name {
			continue
		}
		rank := 20
		if k.TokenType == Access {
			rank = 30
		}
		spec := revoke.Spec{
			Connector: c.name, Action: action, Target: target(k), Scope: revoke.ScopeSessions, Undo: revoke.UndoSignIn, Rank: rank,
			Params: map[string]string{"credential_id": k.ID, "token_type": k.TokenType},
		}
		if !k.Expires.IsZero() {
			spec.Residual.Until = k.Expires
			spec.Params["expires"] = k.Expires.UTC().Format(time.RFC3339)
		}
		specs = append(specs, spec)
	}
	slices.SortStableFunc(specs, func(a, b revoke.Spec) int { return a.Rank - b.Rank })
	return specs
}

func target(k revoke.Credential) string {
	name := k.Identifiers["label"]
	if name == "" {
		name = k.ID
	}
	if k.TokenType == Access {
		return "access token " + name
	}
	return "refresh token " + name
}

// UndoSpecs is empty: a token does not come back; its user signs in again.
func (c *Connector) UndoSpecs(revoke.Step) []revoke.Spec { return nil }
