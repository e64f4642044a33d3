// Package sshkrl publishes an OpenSSH key revocation list (KRL) that hosts
// fetch: the SSH certificates, and keys, of a device that is cut. The server
// signs it, and hosts check it with what OpenSSH brings. What a host does with
// it is out of this server's sight but for what the host says itself. It must
// not put its signing key anywhere.
package sshkrl

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"cutoff/server/connector/config"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Names of the secrets.
const (
	secretKey   = "signing_key"
	secretFetch = "fetch_token"
)

// Actions.
const (
	actionList   = "list-ssh-keys"
	actionUnlist = "unlist-ssh-keys"
)

// Parameters of a step.
const (
	paramCredential = "credential_id"
	paramKeys       = "keys"    // fingerprints, with spaces between
	paramSerials    = "serials" // authority's fingerprint/serial, with spaces between
	paramExpires    = "expires"
)

// Kinds of entries.
const (
	kindSerial = "serial"
	kindKey    = "sha256"
)

const rank = 30

// window is how long a step waits for the hosts to say that they have its list.
const window = 2 * time.Minute

// Lists keeps what the list names and what is published.
type Lists interface {
	Change(ctx context.Context, connector string, c revoke.ListChange) (revoke.List, error)
	// Published is NotFound before the first.
	Published(ctx context.Context, connector string) (revoke.List, error)
	Fetched(ctx context.Context, connector string, h revoke.ListHost) error
	Hosts(ctx context.Context, connector string) ([]revoke.ListHost, error)
}

// Connector is one list.
type Connector struct {
	name   string
	file   settings
	signer ssh.Signer
	fetch  string
	lists  Lists
	now    func() time.Time
}

// Config is what New needs besides the file.
type Config struct {
	Name    string
	Secrets config.Secrets
	Lists   Lists
	Now     func() time.Time
}

// settings is a file that was read.
type settings struct {
	product     string
	authorities map[string][]byte // blobs of their keys, by fingerprint
	hosts       []string
	// all is set when keys without a certificate are named as well.
	all bool
	// session is how long an open session can go on; open: nothing ends it.
	session time.Duration
	open    bool
	counts  bool // hosts show a token
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
	if s.counts {
		return []string{secretKey, secretFetch}
	}
	return []string{secretKey}
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
	signer, err := readSigner(c.Secrets[secretKey])
	if err != nil {
		return nil, config.Whole("secret %q: %v", secretKey, err)
	}
	made := &Connector{name: c.Name, file: s, signer: signer, lists: c.Lists, now: c.Now}
	if s.counts {
		made.fetch = c.Secrets[secretFetch]
	}
	return made, nil
}

func read(text string) (settings, fault.Problems) {
	doc, problems := config.Open(text)
	if len(problems) > 0 {
		return settings{}, problems
	}
	m := doc.Root.Map(append(config.LinkKeys(), "product", "ca_keys", "keys", "max_session", "hosts")...)
	doc.Root.Need(m, "max_session")
	s := settings{
		product: m["product"].Text(), hosts: config.Texts(m["hosts"]), all: m["keys"].OneOf("certified", "all") == "all",
		authorities: map[string][]byte{},
	}
	if s.product == "" {
		s.product = "SSH hosts"
	}
	s.counts = len(s.hosts) > 0
	for _, line := range config.Texts(m["ca_keys"]) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			m["ca_keys"].Fault("want public keys of SSH authorities, like ssh-ed25519 AAAA…, as hosts have them in TrustedUserCAKeys")
			continue
		}
		s.authorities[ssh.FingerprintSHA256(key)] = key.Marshal()
	}
	if len(s.authorities) == 0 && !s.all && len(doc.Problems()) == 0 {
		doc.Root.Fault("say ca_keys, the authorities whose certificates hosts take, or keys: all")
	}
	for _, h := range s.hosts {
		if !hostName(h) {
			m["hosts"].Fault("want names of hosts, like web-1.example.com")
		}
	}
	if n := m["max_session"]; !n.Missing() && n.Text() == "unknown" {
		s.open = true
	} else if !n.Missing() {
		var ok bool
		if s.session, ok = config.Span(n.Text()); !ok {
			n.Fault("want how long an open session can go on, like 12h, or unknown")
		}
	}
	return s, doc.Problems()
}

func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_' {
			return false
		}
	}
	return true
}

// Questions are what adding a connector of this kind asks for.
func Questions() []config.Question {
	return []config.Question{
		{Key: "signing_key", Secret: true, File: true, About: "an Ed25519 key that signs the list, made by ssh-keygen -t ed25519 -N ''"},
		{Key: "ca_keys", Many: true, Optional: true, About: "the public keys of the SSH authorities for users, as in TrustedUserCAKeys"},
		{Key: "keys", Default: "all", About: "all, or certified: only keys with a certificate of these authorities"},
		{Key: "max_session", Default: "unknown", About: "how long an open session can go on, like 12h, or unknown"},
		{Key: "product", Optional: true, About: "what to call these hosts"},
	}
}

// Product is the provider's name as people know it.
func (c *Connector) Product() string { return c.file.product }

// Parallel is how many steps may be under way at once.
func (c *Connector) Parallel() int { return 1 }

// Close has nothing to close.
func (c *Connector) Close() {}

// Plan is a step for each SSH key of the inventory that these hosts may take.
func (c *Connector) Plan(s revoke.Subject) []revoke.Spec {
	var specs []revoke.Spec
	for _, k := range s.Credentials {
		var keys, serials []string
		certified := false
		for _, cert := range device.Certificates(k.Names, k.Expires) {
			if cert.Kind != device.SSH || c.file.authorities[cert.Issuer] == nil {
				continue
			}
			certified = true
			if cert.Serial != "0" { // the serial of all certificates made without one
				serials = append(serials, cert.Issuer+"/"+cert.Serial)
			}
		}
		for _, n := range k.Names {
			if n.Kind == "ssh-fingerprint" && (certified || c.file.all) && hash(n.Value) != nil {
				keys = append(keys, n.Value)
			}
		}
		if k.Held || len(keys)+len(serials) == 0 {
			continue
		}
		spec := revoke.Spec{
			Connector: c.name, Action: actionList, Target: "SSH key " + cmp.Or(k.Path, strings.Join(keys, " ")),
			Params: map[string]string{paramCredential: k.ID, paramKeys: strings.Join(keys, " "), paramSerials: strings.Join(serials, " ")},
			Scope:  revoke.ScopeDevice, Undo: revoke.UndoFull, Rank: rank,
			Residual: revoke.Residual{Until: k.Expires, Unbounded: k.Expires.IsZero()},
		}
		if !k.Expires.IsZero() {
			spec.Params[paramExpires] = k.Expires.UTC().Format(time.RFC3339)
		}
		specs = append(specs, spec)
	}
	return specs
}

// UndoSpecs takes the key off the list.
func (c *Connector) UndoSpecs(s revoke.Step) []revoke.Spec {
	if s.Action != actionList {
		return nil
	}
	return []revoke.Spec{{
		Connector: c.name, Action: actionUnlist, Target: s.Target, Params: s.Params, Scope: s.Scope, Undo: revoke.UndoNone, Rank: rank,
	}}
}

// entries are what a step asks the list to name.
func (c *Connector) entries(s revoke.Step) []revoke.ListEntry {
	var all []revoke.ListEntry
	for _, k := range strings.Fields(s.Params[paramKeys]) {
		all = append(all, revoke.ListEntry{StepID: s.ID, Kind: kindKey, Value: k})
	}
	var end time.Time
	if t, err := time.Parse(time.RFC3339, s.Params[paramExpires]); err == nil {
		end = t.Add(24 * time.Hour) // clocks differ
	}
	for _, pair := range strings.Fields(s.Params[paramSerials]) {
		at := strings.LastIndexByte(pair, '/')
		if at > 0 {
			all = append(all, revoke.ListEntry{StepID: s.ID, Kind: kindSerial, Authority: pair[:at], Value: pair[at+1:], ExpiresAt: end})
		}
	}
	return all
}

// render makes the list of all entries. One that cannot be put in is left out,
// and its own step finds it missing when it reads back.
func (c *Connector) render(version uint64, all []revoke.ListEntry) (revoke.List, error) {
	l := list{version: version, made: c.now(), comment: "cutoff " + c.name, serials: map[string][]uint64{}}
	for _, e := range all {
		switch e.Kind {
		case kindKey:
			if h := hash(e.Value); h != nil {
				l.keys = append(l.keys, h)
			}
		case kindSerial:
			if n, err := strconv.ParseUint(e.Value, 10, 64); err == nil && c.file.authorities[e.Authority] != nil {
				authority := string(c.file.authorities[e.Authority])
				l.serials[authority] = append(l.serials[authority], n)
			}
		}
	}
	text := l.encode()
	signature, err := sign(c.signer, namespace(c.name), text)
	if err != nil {
		return revoke.List{}, err
	}
	return revoke.List{Version: version, Bytes: text, Signature: signature, Signer: ssh.FingerprintSHA256(c.signer.PublicKey()), MadeAt: c.now()}, nil
}

// names reports whether a list names an entry.
func (c *Connector) names(l list, e revoke.ListEntry) bool {
	if e.Kind == kindKey {
		return l.hasKey(hash(e.Value))
	}
	n, err := strconv.ParseUint(e.Value, 10, 64)
	return err == nil && c.file.authorities[e.Authority] != nil && l.hasSerial(c.file.authorities[e.Authority], n)
}

// hash is a fingerprint's SHA-256; nil if it is none.
func hash(fingerprint string) []byte {
	text, ok := strings.CutPrefix(fingerprint, "SHA256:")
	h, err := base64.RawStdEncoding.DecodeString(text)
	if !ok || err != nil || len(h) != sha256FingerprintLen {
		return nil
	}
	return h
}

// behind are the hosts of the file that have not said that they have version.
func (c *Connector) behind(hosts []revoke.ListHost, version uint64) []string {
	var all []string
	for _, name := range c.file.hosts {
		if !slices.ContainsFunc(hosts, func(h revoke.ListHost) bool { return h.Name == name && h.Version >= version }) {
			all = append(all, name)
		}
	}
	return all
}
