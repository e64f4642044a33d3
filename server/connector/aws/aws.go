// Package aws revokes in one AWS account: it switches access keys off, denies
// the sessions of roles and users that were made before a moment, and blocks
// users. A session cannot be ended in AWS, only denied everything; so the
// connector writes inline policies, into which it puts nothing but denials and
// from which it removes nothing but its own. It must not touch another account,
// nor the key it works with itself.
package aws

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
	"cutoff/server/fault"
)

// secretName is the one secret: the connector's own secret access key.
const secretName = "secret_access_key"

// propagation is how long IAM takes to tell all its regions of a change: AWS
// says that it might take a few minutes.
const propagation = 5 * time.Minute

// userSession is the longest a session lasts that a user's key made by
// GetSessionToken or GetFederationToken (AWS STS reference).
const userSession = 36 * time.Hour

// Connector is one account.
type Connector struct {
	name   string
	file   settings
	client *outgoing.Client
	iam    *iam.Client
	sts    *sts.Client
	now    func() time.Time

	entities entities
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
	account  string
	key      string
	region   string
	policy   string
	iam, sts *url.URL
	// session is the longest that sessions of roles last here.
	session time.Duration
}

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	keyForm     = regexp.MustCompile(`^[A-Z0-9]{16,128}$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	policyForm  = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,128}$`)
)

// Questions are what adding one asks for.
func Questions() []config.Question {
	return []config.Question{
		{Key: "account", About: "the account's number, twelve digits"},
		{Key: "access_key_id", About: "the access key id of the user that this server works as (AKIA…)"},
		{Key: secretName, About: "that key's secret", Secret: true},
		{Key: "region", About: "the region that signs: us-east-1, in China cn-north-1, in GovCloud us-gov-west-1", Default: "us-east-1"},
		{Key: "session_life", About: "the longest that a session of a role lasts in this account (AWS allows up to 12h)", Default: "12h"},
		{Key: "policy", About: "the name of the inline policies that it writes", Default: "Cutoff"},
		{Key: "iam_endpoint", About: "another address of IAM", Optional: true, Address: true},
		{Key: "sts_endpoint", About: "another address of STS", Optional: true, Address: true},
	}
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
	made.entities.written = map[entity]map[string]written{}
	made.entities.locks = map[entity]*sync.Mutex{}
	made.connect(s, secret)
	return made, nil
}

func read(text string) (settings, fault.Problems) {
	doc, problems := config.Open(text)
	if len(problems) > 0 {
		return settings{}, problems
	}
	m := doc.Root.Map(append(config.LinkKeys(),
		"product", "account", "access_key_id", "region", "session_life", "policy", "iam_endpoint", "sts_endpoint")...)
	doc.Root.Need(m, "account", "access_key_id")
	s := settings{
		product: cmp.Or(m["product"].Text(), "AWS"), link: config.ReadLink(m), account: m["account"].Text(), key: m["access_key_id"].Text(),
		region: cmp.Or(m["region"].Text(), "us-east-1"), policy: cmp.Or(m["policy"].Text(), "Cutoff"), session: 12 * time.Hour,
	}
	s.iam, s.sts = s.link.Address(m["iam_endpoint"]), s.link.Address(m["sts_endpoint"])
	shape(m["account"], accountForm, "want the account's number, twelve digits in quotes")
	shape(m["access_key_id"], keyForm, "want an access key id, like AKIA…")
	shape(m["region"], regionForm, "want a region, like us-east-1")
	shape(m["policy"], policyForm, "want a policy's name: letters, digits and +=,.@_-")
	if n := m["session_life"]; !n.Missing() {
		life, ok := config.Span(n.Text())
		if !ok || life <= 0 || life > userSession {
			n.Fault("want how long a role's session lasts at most, like 12h")
		}
		s.session = life
	}
	return s, doc.Problems()
}

func shape(n document.Node, form *regexp.Regexp, want string) {
	if !n.Missing() && !form.MatchString(n.Text()) {
		n.Fault("%s", want)
	}
}

// connect makes the SDK's clients. They send through the one way out, so that
// an endpoint of the file meets the same guard as any other; the queue retries,
// not the SDK.
func (c *Connector) connect(s settings, secret string) {
	own := awssdk.CredentialsProviderFunc(fixed(s.key, secret))
	way := doer{c.client}
	c.iam = iam.New(iam.Options{Region: s.region, Credentials: own, HTTPClient: way, Retryer: awssdk.NopRetryer{}, BaseEndpoint: base(s.iam)})
	c.sts = sts.New(sts.Options{Region: s.region, Credentials: own, HTTPClient: way, Retryer: awssdk.NopRetryer{}, BaseEndpoint: base(s.sts)})
}

func base(u *url.URL) *string {
	if u == nil {
		return nil
	}
	return awssdk.String(u.String())
}

// Product is the provider's name as people know it.
func (c *Connector) Product() string { return c.file.product }

// Parallel is how many steps may be under way at once.
func (c *Connector) Parallel() int { return c.client.Parallel() }

// Close drops idle connections.
func (c *Connector) Close() { c.client.Close() }
