// Package provider knows how a token's own provider is asked to end it, and how
// a token is turned into a name that is not secret: one YAML file a provider. A
// token goes to the provider it belongs to and to nobody else: over TLS, without
// a redirect followed. It must not look for tokens, and it keeps none.
package provider

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed known/*.yaml
var files embed.FS

// Provider is one provider, as its file says.
type Provider struct {
	ID      string `yaml:"id"`
	Product string `yaml:"product"`
	// Confidence: "confirmed" where the calls were read in the provider's own
	// description, else "unconfirmed".
	Confidence string `yaml:"confidence"`
	// Hosts are the names that {host} may stand for; "*" is any: the file that
	// holds the token says whose it is.
	Hosts []string `yaml:"hosts"`
	// Discover asks where the other calls go.
	Discover *Call `yaml:"discover"`
	Revoke   *Call `yaml:"revoke"`
	// Probe shows that a token is dead: by a call that only a live one may make.
	Probe  *Call `yaml:"probe"`
	Enrich *Call `yaml:"enrich"`
}

// Call is one request, in which {name} stands for a value.
type Call struct {
	// Call is "METHOD URL".
	Call    string            `yaml:"call"`
	Headers map[string]string `yaml:"headers"`
	JSON    any               `yaml:"json"`
	Form    map[string]string `yaml:"form"`
	// Sign: "aws" signs with key, token as its secret, and session; "certificate"
	// shows the client certificate {certificate} in TLS, with token as its key, to
	// a server that {roots} vouch for.
	Sign string `yaml:"sign"`
	// Socket is the path of the program's own socket, which takes the place of the
	// network. Only root's own program is spoken to.
	Socket string `yaml:"socket"`
	// OK are the status codes of a yes, Already those that say that the token is not
	// valid anyway, Dead those of a probe that only a live token passes.
	OK      []int `yaml:"ok"`
	Already []int `yaml:"already"`
	Dead    []int `yaml:"dead"`
	// Says are values that the answer must have, by their dotted path.
	Says map[string]string `yaml:"says"`
	// Take reads names out of the answer: a kind of identifier (or, in Discover, a
	// value) by its dotted path.
	Take map[string]string `yaml:"take"`
}

// Known reads the providers that the program carries, by id.
func Known() (map[string]*Provider, error) { return Read(files) }

// Read is Known for another file system: every *.yaml in its folder known.
func Read(from fs.FS) (map[string]*Provider, error) {
	names, err := fs.Glob(from, "known/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list providers: %w", err)
	}
	all := map[string]*Provider{}
	for _, name := range names {
		p, err := read(from, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		all[p.ID] = p
	}
	return all, nil
}

func read(from fs.FS, name string) (*Provider, error) {
	file, err := from.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var p Provider
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&p); err != nil {
		return nil, err
	}
	return &p, errors.Join(p.check(strings.TrimSuffix(path.Base(name), ".yaml"))...)
}

// method is what a call may be, and local one to a socket.
var (
	method = regexp.MustCompile(`^(GET|POST|DELETE) (https://|\{)\S+$`)
	local  = regexp.MustCompile(`^(GET|POST|DELETE) http://[a-z.-]+/\S+$`)
)

// signatures are the ways to sign a call.
var signatures = []string{"", "aws", signCertificate}

// check says what is wrong with a provider's file.
func (p *Provider) check(name string) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.ID != name {
		bad("id %q is not the file's name", p.ID)
	}
	if p.Product == "" || p.Confidence != "confirmed" && p.Confidence != "unconfirmed" {
		bad("product and confidence (confirmed or unconfirmed) are needed")
	}
	if p.Revoke == nil && p.Enrich == nil {
		bad("revoke or enrich is needed")
	}
	if p.Probe != nil && len(p.Probe.Dead) == 0 {
		bad("a probe needs dead: the codes that say so")
	}
	for word, c := range map[string]*Call{"discover": p.Discover, "revoke": p.Revoke, "probe": p.Probe, "enrich": p.Enrich} {
		switch {
		case c == nil:
		case c.Socket == "" && !method.MatchString(c.Call):
			bad("%s: want GET, POST or DELETE and an https address, not %q", word, c.Call)
		case c.Socket != "" && (!local.MatchString(c.Call) || path.Clean(c.Socket) != c.Socket || c.Socket[0] != '/'):
			bad("%s: a socket is an absolute path, and its call is to an http address without a value in it", word)
		case word != "probe" && len(c.OK) == 0:
			bad("%s: ok is needed", word)
		case (word == "discover" || word == "enrich") != (len(c.Take) > 0):
			bad("%s: take goes with discover and enrich", word)
		case !slices.Contains(signatures, c.Sign):
			bad("%s: there is no signature %q", word, c.Sign)
		}
	}
	return errs
}

// serves reports whether host is one that the provider's tokens belong to.
func (p *Provider) serves(host string) bool {
	return slices.Contains(p.Hosts, "*") || slices.Contains(p.Hosts, host)
}
