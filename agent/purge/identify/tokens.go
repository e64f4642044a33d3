package identify

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"time"

	"cutoff/agent/purge/catalogue"
)

// Token is a token of a file, with what its provider's calls need. Its values
// are secret: they stay in the process that read the file.
type Token struct {
	Provider string
	Values   map[string]string
}

// mostTokens bounds those of one file.
const mostTokens = 16

// Place is where a token was found: what its values may be read from beside
// the token itself.
type Place interface {
	Around
	// Variable is the value of a variable of the user's environment.
	Variable(name string) string
	// File reads a file by its name: relative to this one's folder, or absolute.
	// nil: there is none that may be read.
	File(name string) []byte
}

// Tokens reads the tokens of one file as its catalogue entry says.
func Tokens(c *catalogue.Credential, content []byte, at Place) []Token {
	if len(c.Tokens) == 0 {
		return nil
	}
	var leaves []leaf
	if c.Format != catalogue.Text {
		leaves = tree(string(c.Format), content)
	}
	leaves = append(leaves, leaf{[]string{""}, strings.TrimSpace(string(content))})
	return tokens(c.Tokens, leaves, at)
}

// KeyringTokens reads the tokens of one item of a keyring, whose secret is the
// whole content.
func KeyringTokens(c *catalogue.Credential, secret []byte, attributes map[string]string, at Place) []Token {
	// A token has one line; git's helper writes more of its own below.
	first, _, _ := strings.Cut(strings.TrimSpace(string(secret)), "\n")
	leaves := []leaf{{[]string{""}, first}}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		leaves = append(leaves, leaf{[]string{"attribute", name}, attributes[name]})
	}
	return tokens(c.Tokens, leaves, at)
}

// KeyringHasTokens reports, before the secret of an item is read, whether any
// of its entry's tokens may be in it.
func KeyringHasTokens(c *catalogue.Credential, attributes map[string]string) bool {
	return len(KeyringTokens(c, []byte("x"), attributes, nowhere{})) > 0
}

// nowhere is where nothing is beside a token, and every variable may be set.
type nowhere struct{}

func (nowhere) Name() string           { return "" }
func (nowhere) Sibling(string) []byte  { return nil }
func (nowhere) File(string) []byte     { return nil }
func (nowhere) Variable(string) string { return "x" }

func tokens(specs []catalogue.Token, leaves []leaf, at Place) []Token {
	var out []Token
	for _, spec := range specs {
		want := steps(spec.Values["token"])
		for _, l := range leaves {
			if len(l.path) != len(want) || l.value == "" || !matches(want, l.path) || !fits(spec.If, l, leaves, at) {
				continue
			}
			values, ok := valuesOf(spec, l, leaves, at)
			if !ok {
				continue
			}
			if out = append(out, Token{spec.Provider, values}); len(out) == mostTokens {
				return out
			}
		}
	}
	return out
}

// fits reports whether the condition of a token holds; none always does.
func fits(condition string, token leaf, all []leaf, at Place) bool {
	if condition == "" {
		return true
	}
	space := strings.LastIndexByte(condition, ' ')
	have, pattern := valueOf(condition[:space], token, all, at), condition[space+1:]
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return have == pattern
	}
	return len(have) >= len(before)+len(after) && strings.HasPrefix(have, before) && strings.HasSuffix(have, after)
}

// steps splits a path; "." is the whole content.
func steps(path string) []string {
	if path == "." {
		return []string{""}
	}
	return strings.Split(path, ".")
}

// valuesOf collects what stands around a token. It is not ok where something is
// missing: then nobody knows whose the token is.
func valuesOf(spec catalogue.Token, token leaf, all []leaf, at Place) (map[string]string, bool) {
	values := map[string]string{}
	for name, text := range spec.Values {
		v := token.value
		if name != "token" {
			v = valueOf(text, token, all, at)
		}
		if v == "" && name != "session" { // keys of AWS may have none
			return nil, false
		}
		values[name] = v
	}
	return values, true
}

func valueOf(text string, token leaf, all []leaf, at Place) string {
	if name, ok := strings.CutPrefix(text, "$"); ok {
		return at.Variable(name)
	}
	how, path, ok := strings.Cut(text, " ")
	if !ok {
		return near(steps(text), token, all)
	}
	switch want := steps(path); how {
	case "=":
		return path
	case "key":
		if len(want) <= len(token.path) && matches(want, token.path[:len(want)]) {
			return token.path[len(want)-1]
		}
	case "after":
		_, rest, _ := strings.Cut(near(want, token, all), ":")
		return rest
	case "host":
		return serverOf(near(want, token, all))
	case "text":
		return string(at.File(besideName(path, at)))
	case "serial":
		name, roots, _ := strings.Cut(path, " ")
		return serialOf(at.File(besideName(name, at)), at.File(roots))
	case "json":
		name, inside, _ := strings.Cut(path, " ")
		return near(steps(inside), token, tree("json", at.File(name)))
	case "registry":
		key := strings.TrimPrefix(token.path[len(token.path)-1], "//")
		host, _, _ := strings.Cut(key, "/")
		return host
	case "iss":
		c, _ := claimsOf(near(want, token, all))
		return c.Issuer
	case "aud":
		c, _ := claimsOf(near(want, token, all))
		if c.Authorized != "" {
			return c.Authorized
		}
		if len(c.Audience) == 1 {
			return c.Audience[0]
		}
	}
	return ""
}

// near is the value at a path that has the token's own steps as far as both
// go together.
func near(want []string, token leaf, all []leaf) string {
	for _, l := range all {
		shared := min(len(l.path), len(token.path)) - 1
		if len(l.path) == len(want) && matches(want, l.path) && slices.Equal(l.path[:max(shared, 0)], token.path[:max(shared, 0)]) {
			return l.value
		}
	}
	return ""
}

// besideName puts what a key's name shares with its certificate's in the place
// of %.
func besideName(pattern string, at Place) string {
	return strings.ReplaceAll(pattern, "%", pairName(at.Name()))
}

// pairName is what the names of a key and of its certificate begin with: NAME of
// NAME.key, as of NAME_key.
func pairName(key string) string {
	if name, ok := strings.CutSuffix(key, "_key"); ok {
		return name
	}
	return stem(key)
}

// serverOf is the host of an address, or of a name that is one itself.
func serverOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	host, _, _ := strings.Cut(address, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}

// serialOf is the number of the first certificate of PEM text, in decimal, if the
// roots vouch for it at any time: a key is shown to nobody else than who issued
// its certificate.
func serialOf(text, roots []byte) string {
	chain := chainOf(text)
	if len(chain) == 0 {
		return ""
	}
	trusted, between := x509.NewCertPool(), x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(roots) {
		return ""
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	for _, when := range []time.Time{chain[0].NotBefore, chain[0].NotAfter} {
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: trusted, Intermediates: between, CurrentTime: when,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err == nil {
			return chain[0].SerialNumber.String()
		}
	}
	return ""
}

// maxChain bounds the certificates of one file that are looked at.
const maxChain = 8

// chainOf are the certificates of PEM text.
func chainOf(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for len(out) < maxChain {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, c)
		}
	}
	return out
}
