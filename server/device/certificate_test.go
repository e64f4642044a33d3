package device_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"cutoff/server/device"
)

func TestTheCertificatesOfAnItemKeepTheirOwnIssuers(t *testing.T) {
	until := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	id := func(kind, value string) device.Identifier { return device.Identifier{Kind: kind, Value: value} }
	for name, row := range map[string]struct {
		identifiers []device.Identifier
		want        []string
	}{
		"none": {[]device.Identifier{id("aws-access-key-id", "AKIA")}, nil},
		"one":  {[]device.Identifier{id("x509-serial", "0a"), id("x509-sha256", "f"), id("x509-subject", "CN=me"), id("x509-issuer", "CN=ca")}, []string{"x509 0a CN=ca CN=me"}},
		"a chain": {
			[]device.Identifier{
				id("x509-serial", "0a"), id("x509-subject", "CN=me"), id("x509-issuer", "CN=ca"),
				id("x509-serial", "0b"), id("x509-subject", "CN=ca"), id("x509-issuer", "CN=root"),
			},
			[]string{"x509 0a CN=ca CN=me", "x509 0b CN=root CN=ca"},
		},
		"a bundle whose second issuer is said once": {
			[]device.Identifier{
				id("x509-serial", "0a"), id("x509-subject", "CN=me"), id("x509-issuer", "CN=ca"),
				id("x509-serial", "0b"), id("x509-subject", "CN=ca"), id("x509-issuer", "CN=root"), id("x509-serial", "0c"),
			},
			[]string{"x509 0a CN=ca CN=me", "x509 0b CN=root CN=ca", "x509 0c CN=ca ", "x509 0c CN=root "},
		},
		"of SSH": {
			[]device.Identifier{id("ssh-fingerprint", "SHA256:k"), id("ssh-cert-serial", "7"), id("ssh-cert-key-id", "me@laptop"), id("ssh-cert-ca", "SHA256:c")},
			[]string{"ssh 7 SHA256:c me@laptop"},
		},
		"without an issuer": {[]device.Identifier{id("x509-serial", "0a")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range device.Certificates(row.identifiers, until) {
				got = append(got, c.Kind+" "+c.Serial+" "+c.Issuer+" "+c.Name)
				if !c.ExpiresAt.Equal(until) {
					t.Errorf("it ends %s", c.ExpiresAt)
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	var many []device.Identifier
	for i := range 64 {
		many = append(many, id("x509-serial", strconv.Itoa(i)))
	}
	if got := device.Certificates(append(many, id("x509-issuer", "CN=ca"), id("x509-issuer", "CN=b")), until); len(got) > 32 {
		t.Errorf("one item gave %d certificates", len(got))
	}
}
