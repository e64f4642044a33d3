// Package stepca revokes X.509 and SSH certificates at a step-ca. Revocation
// there is passive: it ends renewal and puts an X.509 serial into the CRL, and
// what was renewed before has another serial, so a step of its own follows
// the device's certificates until the device has answered. Protocol facts are
// from smallstep/certificates v0.30.2 (api/revoke.go, api/sshRevoke.go,
// authority/tls.go). It must not issue anything, although its key could.
package stepca

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/device"
	"cutoff/server/fault"
)

// Seen gives the certificates that were ever reported to lie on a device and
// have not ended, and whether the device has answered the cut: then what it
// removed is among them.
type Seen func(ctx context.Context, cutID, deviceID string) (all []device.Certificate, answered bool, err error)

// Names of the secrets.
const (
	secretKey      = "key"
	secretPassword = "password"
)

// Where the provisioner's private key is from.
const (
	keyPublished = "published" // the CA hands it out, encrypted by the password
	keyEncrypted = "encrypted" // a JWE among the secrets, with its password
	keyPlain     = "plain"     // a JWK among the secrets
)

// Connector is one step-ca.
type Connector struct {
	name    string
	file    settings
	secrets config.Secrets
	client  *outgoing.Client
	seen    Seen
	now     func() time.Time

	mu  sync.Mutex
	key *jose.JSONWebKey // once it is opened
}

// Config is what New needs besides the file.
type Config struct {
	Name    string
	Secrets config.Secrets
	Seen    Seen
	Now     func() time.Time
	// Outgoing is overlaid with what the file says; usually zero.
	Outgoing outgoing.Config
}

// settings is a file that was read.
type settings struct {
	product     string
	link        config.Link
	server      *url.URL
	provisioner string
	key         string
	issuers     []string
	sshCAs      []string
	// life is the longest that the CA grants; open: nobody said.
	life time.Duration
	open bool
	// renews is set unless no provisioner of the CA renews.
	renews bool
	// listed is set when all who take the certificates read the CRL.
	listed bool
}

// Inspect reads a file: its product, the names of the secrets it needs, and
// what is wrong with it.
func Inspect(text string) (product string, secrets []string, problems fault.Problems) {
	s, problems := read(text)
	if len(problems) > 0 {
		return "", nil, problems
	}
	return s.product, s.needed(), nil
}

func (s settings) needed() []string {
	switch s.key {
	case keyPlain:
		return []string{secretKey}
	case keyEncrypted:
		return []string{secretKey, secretPassword}
	default:
		return []string{secretPassword}
	}
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
	return &Connector{name: c.Name, file: s, secrets: c.Secrets, seen: c.Seen, now: c.Now, client: outgoing.New(s.link.Outgoing.With(c.Outgoing))}, nil
}

func read(text string) (settings, fault.Problems) {
	doc, problems := config.Open(text)
	if len(problems) > 0 {
		return settings{}, problems
	}
	m := doc.Root.Map(append(config.LinkKeys(), "product", "server", "provisioner", "key",
		"issuer", "ssh_ca", "certificate_life", "renewal", "relying_parties")...)
	doc.Root.Need(m, "server", "provisioner", "certificate_life")
	s := settings{
		product: m["product"].Text(), link: config.ReadLink(m), provisioner: m["provisioner"].Text(),
		key: m["key"].OneOf(keyPublished, keyEncrypted, keyPlain), issuers: config.Texts(m["issuer"]), sshCAs: config.Texts(m["ssh_ca"]),
		renews: m["renewal"].OneOf("allowed", "refused") != "refused",
		listed: m["relying_parties"].OneOf("ignore-crl", "read-crl") == "read-crl",
	}
	if s.product == "" {
		s.product = "step-ca"
	}
	if s.key == "" {
		s.key = keyPublished
	}
	s.server = s.link.Address(m["server"])
	if len(s.issuers)+len(s.sshCAs) == 0 {
		doc.Root.Fault("say issuer, the subject of the CA's intermediate, or ssh_ca, the fingerprint of its SSH authority: certificates are found by them")
	}
	for _, ca := range s.sshCAs {
		if !strings.HasPrefix(ca, "SHA256:") {
			m["ssh_ca"].Fault("want a fingerprint like SHA256:…, as ssh-keygen -l shows it")
		}
	}
	if n := m["certificate_life"]; !n.Missing() && n.Text() == "unknown" {
		s.open = true
	} else if !n.Missing() {
		var ok bool
		if s.life, ok = config.Span(n.Text()); !ok {
			n.Fault("want the longest life of a certificate that the CA grants, like 24h, or unknown")
		}
	}
	return s, doc.Problems()
}

// Questions are what adding a connector of this kind asks for.
func Questions() []config.Question {
	return []config.Question{
		{Key: "server", Address: true, About: "the CA's address, like https://ca.example.com"},
		{Key: "provisioner", About: "the name of a JWK provisioner, best one that cannot issue (see the README)"},
		{Key: "password", Secret: true, About: "the password of that provisioner's key"},
		{Key: "issuer", Many: true, About: "the subject of the CA's intermediate, like CN=Example Intermediate CA (connector test shows it)"},
		{Key: "ssh_ca", Many: true, Optional: true, About: "the fingerprint of the CA's SSH authority for users, like SHA256:…"},
		{Key: "certificate_life", Default: "24h", About: "the longest life of a certificate that the CA grants, or unknown"},
		{Key: "renewal", Default: "allowed", About: "allowed, or refused if no provisioner of the CA renews"},
		{Key: "relying_parties", Default: "ignore-crl", About: "read-crl if all who take the certificates read the CA's CRL"},
		{Key: "product", Optional: true, About: "what to call the CA"},
	}
}

// Product is the provider's name as people know it.
func (c *Connector) Product() string { return c.file.product }

// Parallel is how many steps may be under way at once.
func (c *Connector) Parallel() int { return c.client.Parallel() }

// Close drops idle connections.
func (c *Connector) Close() { c.client.Close() }

// ours reports whether this CA issued it.
func (s settings) ours(c device.Certificate) bool {
	if c.Kind == device.SSH {
		return slices.Contains(s.sshCAs, c.Issuer)
	}
	return slices.Contains(s.issuers, c.Issuer)
}
