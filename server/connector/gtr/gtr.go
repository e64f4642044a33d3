// Package gtr asks providers to end everything a person has there, by Global
// Token Revocation (draft-parecki-oauth-global-token-revocation-06; Okta calls
// it Universal Logout). A yes means that it has begun, and nothing tells when
// it is through: no step of it is ever verified. It must not put a token, a
// key or an answer into a result.
package gtr

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"cutoff/server/connector/assertion"
	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/device"
	"cutoff/server/document"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// action is the only one.
const action = "global-token-revocation"

// Ways in which a subject is named (RFC 9493).
const (
	formatEmail  = "email"
	formatIssSub = "iss_sub"
	formatOpaque = "opaque"
)

// Ways in which this server shows who it is.
const (
	authJWT    = "jwt"
	authBearer = "bearer"
	authOAuth  = "oauth"
)

// secretName is the one secret: a private key, a token or a client's secret,
// as auth has it.
const secretName = "credential"

// rank puts it after the block of sign-in, with all that ends sessions.
const rank = 20

// Connector is one provider's endpoint.
type Connector struct {
	name   string
	file   settings
	signer *assertion.Signer
	token  string
	grant  *grant
	client *outgoing.Client
	now    func() time.Time
}

// Config is what New needs besides the file.
type Config struct {
	Name    string
	Secrets config.Secrets
	Now     func() time.Time
	// Outgoing is overlaid with what the file says; usually zero.
	Outgoing outgoing.Config
}

// settings is a file that was read.
type settings struct {
	product  string
	link     config.Link
	endpoint *url.URL
	format   string
	issuer   string
	member   string
	auth     string
	clientID string
	keyID    string
	tokenURL *url.URL
	scope    string
	// life is how long access tokens live on; open: nobody knows.
	life time.Duration
	open bool
}

// Inspect reads a file: its product, the names of the secrets it needs, and
// what is wrong with it.
func Inspect(text string) (product string, secrets []string, problems fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return "", nil, problems
	}
	return s.product, []string{secretName}, nil
}

// New makes a connector of a file, or says what is wrong with it.
func New(text string, c Config) (*Connector, fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return nil, problems
	}
	if problems := c.Secrets.Lack([]string{secretName}); len(problems) > 0 {
		return nil, problems
	}
	secret := strings.TrimSpace(c.Secrets[secretName])
	made := &Connector{name: c.Name, file: s, now: c.Now, client: outgoing.New(s.link.Outgoing.With(c.Outgoing))}
	switch s.auth {
	case authBearer:
		made.token = secret
	case authOAuth:
		made.grant = &grant{secret: secret}
	default:
		signer, err := assertion.New(secret, s.keyID, "")
		if err != nil {
			return nil, config.Whole("secret %q: %v", secretName, err)
		}
		made.signer = signer
	}
	return made, nil
}

func read(text string) (settings, fault.Problems) {
	doc, problems := config.Open(text)
	if len(problems) > 0 {
		return settings{}, problems
	}
	m := doc.Root.Map(append(config.LinkKeys(),
		"product", "endpoint", "subject", "issuer", "member", "auth", "client_id", "key_id", "token_url", "scope", "access_token_life")...)
	doc.Root.Need(m, "endpoint", "subject", "access_token_life")
	s := settings{
		product: cmp.Or(m["product"].Text(), "Global Token Revocation"), link: config.ReadLink(m),
		format: m["subject"].OneOf(formatEmail, formatIssSub, formatOpaque), issuer: m["issuer"].Text(),
		member: cmp.Or(m["member"].OneOf("sub_id", "subject"), "sub_id"),
		auth:   cmp.Or(m["auth"].OneOf(authJWT, authBearer, authOAuth), authJWT), clientID: cmp.Or(m["client_id"].Text(), "cutoff"),
		keyID: m["key_id"].Text(), scope: m["scope"].Text(),
	}
	s.endpoint = s.link.Address(m["endpoint"])
	s.tokenURL = s.link.Address(m["token_url"])
	if s.format == formatIssSub && s.issuer == "" {
		doc.Root.Fault("issuer is missing: subjects are named by it and their account (subject: iss_sub)")
	}
	if s.auth == authOAuth && s.tokenURL == nil && m["token_url"].Missing() {
		doc.Root.Fault("token_url is missing: where a token is had for the client (auth: oauth)")
	}
	s.life, s.open = life(m["access_token_life"])
	return s, doc.Problems()
}

// life reads how long an access token lives, or unbounded.
func life(n document.Node) (time.Duration, bool) {
	if n.Missing() || n.Text() == "unbounded" {
		return 0, true
	}
	d, ok := config.Span(n.Text())
	if !ok {
		n.Fault("want how long an access token lives, like 1h, or unbounded")
	}
	return d, !ok
}

// Product is the provider's name as people know it.
func (c *Connector) Product() string { return c.file.product }

// Parallel is how many steps may be under way at once.
func (c *Connector) Parallel() int { return c.client.Parallel() }

// Close drops idle connections.
func (c *Connector) Close() { c.client.Close() }

// Plan is one step for each way the person is known by: the e-mail address, or
// the accounts at the provider, and the subjects of tokens of the issuer that
// lie on the device.
func (c *Connector) Plan(s revoke.Subject) []revoke.Spec {
	subjects := s.Accounts
	if c.file.format == formatEmail {
		subjects = nil
		if s.Email != "" {
			subjects = []string{s.Email}
		}
	}
	var specs []revoke.Spec
	for _, subject := range subjects {
		specs = append(specs, c.spec(subject))
	}
	if c.file.format != formatIssSub {
		return specs
	}
	for _, k := range s.Credentials {
		for _, subject := range subjectsAt(c.file.issuer, k.Names) {
			i := slices.IndexFunc(specs, func(o revoke.Spec) bool { return o.Params["subject"] == subject && o.Params["credential_id"] == "" })
			if i < 0 {
				specs = append(specs, c.spec(subject))
				i = len(specs) - 1
			}
			specs[i].Params["credential_id"] = k.ID
		}
	}
	return specs
}

// subjectsAt are the subjects of the tokens of one file that issuer made. A
// token's subject comes right after its issuer, but equal identifiers are
// reported once: one that stands alone goes with each of the other kind, as
// device.Certificates has it.
func subjectsAt(issuer string, names []device.Identifier) []string {
	var paired, all, alone []string
	ours, oursAlone := false, false
	for i, n := range names {
		switch n.Kind {
		case "jwt-issuer":
			if n.Value == issuer {
				ours = true
				oursAlone = i+1 == len(names) || names[i+1].Kind != "jwt-subject"
			}
		case "jwt-subject":
			all = append(all, n.Value)
			if i == 0 || names[i-1].Kind != "jwt-issuer" {
				alone = append(alone, n.Value)
			} else if names[i-1].Value == issuer {
				paired = append(paired, n.Value)
			}
		}
	}
	switch {
	case !ours:
		return nil
	case oursAlone:
		return all
	}
	return append(paired, alone...)
}

func (c *Connector) spec(subject string) revoke.Spec {
	return revoke.Spec{
		Connector: c.name, Action: action, Target: "everything of " + subject, Scope: revoke.ScopeSessions, Undo: revoke.UndoSignIn,
		Rank: rank, Params: map[string]string{"subject": subject},
	}
}

// UndoSpecs is empty: the person signs in again.
func (c *Connector) UndoSpecs(revoke.Step) []revoke.Spec { return nil }
