package identify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
)

// around is a folder in which a token was found.
type around struct{ folder }

func (a around) File(name string) []byte { return a.Sibling(name) }

func (a around) Variable(name string) string {
	if name == "VAULT_ADDR" {
		return "https://vault.example"
	}
	return ""
}

// issued is a certificate with a number, and who vouches for it, in PEM.
func issued(t *testing.T, serial int64) (leaf, root string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "laptop"}, NotBefore: now, NotAfter: now.Add(48 * time.Hour)}
	sign := func(c *x509.Certificate) string {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return sign(c), sign(ca)
}

func TestTokensHaveWhatTheirProvidersNeed(t *testing.T) {
	leaf, root := issued(t, 4711)
	_, stranger := issued(t, 1)
	files := map[string]string{"laptop.crt": leaf, "root.crt": root, "stranger.crt": stranger,
		"../config.json": `{"ca-url":"https://ca.example"}`}
	for name, c := range map[string]struct {
		format  catalogue.Format
		content string
		spec    map[string]string
		when    string
		want    []map[string]string
	}{
		"beside each other, and by the name above": {"yaml", "hosts:\n  a.example: {token: t1}\n  b.example: {token: t2}\n",
			map[string]string{"token": "hosts.*.token", "host": "key hosts.*"}, "",
			[]map[string]string{{"token": "t1", "host": "a.example"}, {"token": "t2", "host": "b.example"}}},
		"the whole content of any format":  {"json", `{"a":1}`, map[string]string{"token": "."}, "", []map[string]string{{"token": `{"a":1}`}}},
		"files around":                     {"text", "key", map[string]string{"token": ".", "serial": "serial %.crt root.crt", "address": "json ../config.json ca-url"}, "", []map[string]string{{"token": "key", "serial": "4711", "address": "https://ca.example"}}},
		"a certificate of somebody else's": {"text", "key", map[string]string{"token": ".", "serial": "serial %.crt stranger.crt"}, "", nil},
		"a file that is not there":         {"text", "key", map[string]string{"token": ".", "address": "json none.json ca-url"}, "", nil},
		"a variable that is not set":       {"text", "key", map[string]string{"token": ".", "address": "$OTHER"}, "", nil},
		"another than is meant":            {"json", `{"kind":"x","token":"t"}`, map[string]string{"token": "token"}, "kind y*", nil},
		"the one that is meant":            {"json", `{"kind":"yes","token":"t"}`, map[string]string{"token": "token"}, "kind y*", []map[string]string{{"token": "t"}}},
	} {
		t.Run(name, func(t *testing.T) {
			entry := &catalogue.Credential{Format: c.format, Tokens: []catalogue.Token{{Provider: "p", Values: c.spec, If: c.when}}}
			for _, key := range []string{"laptop.key", "laptop_key"} {
				check(t, identify.Tokens(entry, []byte(c.content), around{folder{name: key, files: files}}), c.want)
			}
		})
	}
}

func TestTokensOfAKeyringAreToldByAttributes(t *testing.T) {
	entries, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		entry, secret string
		attributes    map[string]string
		want          []map[string]string
	}{
		"gh":                         {"gh-keyring", "t", map[string]string{"service": "gh:github.com", "username": "a"}, []map[string]string{{"token": "t", "host": "github.com"}}},
		"glab":                       {"glab-keyring", "t", map[string]string{"service": "glab:gitlab.acme.example"}, []map[string]string{{"token": "t", "host": "gitlab.acme.example"}}},
		"git, with lines of its own": {"git-keyring", "t\noauth_refresh_token=r\n", map[string]string{"server": "github.com", "protocol": "https"}, []map[string]string{{"token": "t", "host": "github.com"}}},
		"git of another host":        {"git-keyring", "t", map[string]string{"server": "git.acme.example"}, nil},
		"credential manager":         {"git-keyring", "t", map[string]string{"service": "git:https://gitlab.com", "account": "a"}, []map[string]string{{"token": "t", "host": "gitlab.com"}}},
		"a registry of GitHub":       {"docker-keyring", "t", map[string]string{"server": "https://ghcr.io"}, []map[string]string{{"token": "t", "host": "github.com"}}},
		"a registry without https":   {"docker-keyring", "t", map[string]string{"server": "registry.gitlab.com/"}, []map[string]string{{"token": "t", "host": "gitlab.com"}}},
		"a registry of a like name":  {"docker-keyring", "t", map[string]string{"server": "https://notghcr.io"}, nil},
		"one that only mentions it":  {"docker-keyring", "t", map[string]string{"server": "https://registry.example/ghcr.io"}, nil},
		"a registry of a company":    {"docker-keyring", "t", map[string]string{"server": "https://ghcr.io.acme.example"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(entries, func(e catalogue.Credential) bool { return e.ID == c.entry })
			if got := identify.KeyringHasTokens(&entries[i], c.attributes); got != (len(c.want) > 0) {
				t.Errorf("before it is read: %v", got)
			}
			check(t, identify.KeyringTokens(&entries[i], []byte(c.secret), c.attributes, around{}), c.want)
		})
	}
}

func check(t *testing.T, got []identify.Token, want []map[string]string) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(g identify.Token, w map[string]string) bool { return maps.Equal(g.Values, w) }) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAKeyIsNamedByTheCertificateBesideIt(t *testing.T) {
	leaf, _ := issued(t, 0x4711)
	for _, name := range []string{"laptop.key", "laptop_key"} {
		f := identify.Read("certificate-beside", []byte("key"), folder{name: name, files: map[string]string{"laptop.crt": leaf}})
		if !slices.Contains(f.Identifiers, identify.Identifier{Kind: "x509-serial", Value: "4711"}) || f.Until.IsZero() {
			t.Errorf("%s: %v until %v", name, f.Identifiers, f.Until)
		}
	}
	other := folder{name: "laptop_key.pem", files: map[string]string{"laptop.crt": leaf}}
	if f := identify.Read("certificate-beside", []byte("key"), other); len(f.Identifiers) > 0 {
		t.Errorf("%s is named %v by another key's certificate", other.name, f.Identifiers)
	}
	if f := identify.Read("certificate-beside", []byte("key"), folder{name: "x.key"}); !f.Until.IsZero() || len(f.Identifiers) > 0 {
		t.Errorf("without a certificate: %v until %v", f.Identifiers, f.Until)
	}
}
