package device

import (
	"slices"
	"time"
)

// Kinds of certificates.
const (
	X509 = "x509"
	SSH  = "ssh"
)

// Certificate is one that was reported to lie on a device, by what names it to
// its issuer. A renewed one has another serial: the one before lives on until
// it ends, and can itself be renewed, so all that were seen count.
type Certificate struct {
	DeviceID string
	Kind     string
	// Issuer is an X.509 issuer as text, or the SHA256:… fingerprint of an SSH
	// authority's key.
	Issuer string
	// Serial is in hexadecimal without leading zeros (X.509) or decimal (SSH).
	Serial string
	// Name is the subject, or the key id.
	Name string
	// ExpiresAt is when the last thing of its item ends; zero is unknown.
	ExpiresAt time.Time
	SeenAt    time.Time
}

// maxCertificates bounds those taken from one item.
const maxCertificates = 32

// Certificates are those among the identifiers of one item. Equal identifiers
// are reported once, so one of a bundle may lack an issuer of its own: it is
// then named with each issuer of the item, for a serial that an authority never
// gave hurts nobody and one that is left out lives on.
func Certificates(identifiers []Identifier, expires time.Time) []Certificate {
	all := gather(identifiers, X509, "x509-serial", "x509-issuer", "x509-subject")
	all = append(all, gather(identifiers, SSH, "ssh-cert-serial", "ssh-cert-ca", "ssh-cert-key-id")...)
	for i := range all {
		all[i].ExpiresAt = expires
	}
	return all[:min(len(all), maxCertificates)]
}

func gather(identifiers []Identifier, kind, serial, issuer, name string) []Certificate {
	var all []Certificate
	var issuers []string
	for _, i := range identifiers {
		last := len(all) - 1
		switch {
		case i.Value == "":
		case i.Kind == serial:
			all = append(all, Certificate{Kind: kind, Serial: i.Value})
		case i.Kind == issuer:
			if !slices.Contains(issuers, i.Value) {
				issuers = append(issuers, i.Value)
			}
			if last >= 0 && all[last].Issuer == "" {
				all[last].Issuer = i.Value
			}
		case i.Kind == name && last >= 0 && all[last].Name == "":
			all[last].Name = i.Value
		}
	}
	var whole []Certificate
	for _, c := range all {
		if c.Issuer != "" {
			whole = append(whole, c)
			continue
		}
		for _, c.Issuer = range issuers {
			whole = append(whole, c)
		}
	}
	return whole
}
