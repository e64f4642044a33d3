// Package config holds what the files of all kinds of connectors share: how
// the provider is reached, and values that read the same everywhere. It must
// not know what any connector does.
package config

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// MaxBytes bounds a connector's file.
const MaxBytes = 256 << 10

// MayLack ends the name of a secret that a file can do without, where an
// inspection lists the names.
const MayLack = "?"

// Secrets are the values a connector's file refers to by name.
type Secrets map[string]string

// Finding is one answer of a connector's test, which changes nothing.
type Finding struct {
	Name   string
	OK     bool
	Detail string
}

// Link is how a connector reaches its provider:
//
//	allow: [10.0.0.0/8, login.internal]   # private addresses it may reach
//	plaintext: true                       # http:// beyond this machine
//	ca: |                                 # instead of the system's authorities
//	  -----BEGIN CERTIFICATE----- …
//	limits: {timeout: 10s, parallel: 4, per_second: 20, body: 1048576}
type Link struct {
	Outgoing  outgoing.Config
	Plaintext bool
}

// LinkKeys are the keys that ReadLink reads.
func LinkKeys() []string { return []string{"allow", "plaintext", "ca", "limits"} }

// ReadLink reads the shared keys among fields.
func ReadLink(fields map[string]document.Node) Link {
	var l Link
	if n := fields["allow"]; !n.Missing() {
		allow, err := outgoing.ParseAllow(Texts(n))
		if err != nil {
			n.Fault("%v", err)
		}
		l.Outgoing.Allow = allow
	}
	l.Plaintext = fields["plaintext"].Bool(false)
	if n := fields["ca"]; !n.Missing() {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(n.Text())) {
			n.Fault("want certificates in PEM")
		}
		l.Outgoing.Roots = pool
	}
	if n := fields["limits"]; !n.Missing() {
		limits := n.Map("timeout", "parallel", "per_second", "body")
		l.Outgoing.Limits = outgoing.Limits{
			Timeout:   limits["timeout"].Duration(10*time.Millisecond, outgoing.MaxTimeout, 0),
			Parallel:  limits["parallel"].Int(1, outgoing.MaxParallel, 0),
			PerSecond: rate(limits["per_second"]),
			Body:      int64(limits["body"].Int(1024, outgoing.MaxBody, 0)),
		}
	}
	return l
}

// Address reads n as the address of a provider: https, or http where the file
// says plaintext or the address is this machine's own. User names, queries and
// fragments do not belong there. It is nil for a missing or wrong one.
func (l Link) Address(n document.Node) *url.URL {
	if n.Missing() {
		return nil
	}
	u, err := url.Parse(n.Text())
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		n.Fault("want an address like https://login.example.com")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		n.Fault("an address here has no user name, no ? and no #")
	case !l.Permits(u):
		n.Fault("http:// would send credentials readable by all: use https://, or say plaintext: true")
	default:
		return u
	}
	return nil
}

// Permits reports whether credentials may be sent to u: over TLS, or to this
// machine itself, or where the file says that plain text will do.
func (l Link) Permits(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	if u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return l.Plaintext || u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// Texts reads a list of texts; one text is a list of one.
func Texts(n document.Node) []string {
	if n.Missing() {
		return nil
	}
	if n.Form() != document.List {
		return []string{n.Text()}
	}
	var all []string
	for _, c := range n.List() {
		all = append(all, c.Text())
	}
	return all
}

// Statuses reads HTTP statuses, one or a list.
func Statuses(n document.Node) []int {
	nodes := []document.Node{n}
	switch n.Form() {
	case document.Absent, document.Null:
		return nil
	case document.List:
		nodes = n.List()
	}
	var all []int
	for _, c := range nodes {
		if v := c.Int(100, 599, 0); v != 0 {
			all = append(all, v)
		}
	}
	return all
}

// Span parses a duration, also one of whole days (14d), up to 100 years.
func Span(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n >= 0 && n <= 36500
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

func rate(n document.Node) float64 {
	if n.Missing() {
		return 0
	}
	v, err := strconv.ParseFloat(n.Text(), 64)
	if err != nil || !(v > 0 && v <= outgoing.MaxRate) {
		n.Fault("want a number above 0 and up to %d", outgoing.MaxRate)
		return 0
	}
	return v
}
