// Package identify reads out of a credential what names it, so that the server
// can revoke it: key ids, accounts, fingerprints, expiry. What it returns is
// never a secret, a part of one, or a hash of one. It must not open files.
package identify

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// Identifier is one non-secret name of a credential.
type Identifier struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// Finding is what a file says about the credentials in it.
type Finding struct {
	Identifiers []Identifier
	// Until is when the last of them expires by itself; zero: not known, or never.
	Until time.Time
}

// Around gives a reader what lies beside the file.
type Around interface {
	// Name is the file's own name, without folders.
	Name() string
	// Sibling reads a file beside it; nil when there is none.
	Sibling(name string) []byte
}

// Bounds of what one item may carry.
const (
	maxIdentifiers = 64
	maxValue       = 256
)

// Read runs the reader of that name. Content that does not parse has no
// identifiers; it is no error.
func Read(reader string, content []byte, around Around) Finding {
	read, ok := map[string]func([]byte, Around, *notes){
		"aws-credentials": awsINI, "aws-config": awsINI, "aws-sso": awsSSO, "aws-cli-cache": awsCache, "aws-login": awsCache,
		"gcp": gcp, "gcloud-store": gcloudStore, "azure": azure, "kubeconfig": kubeconfig, "docker": docker,
		"terraform": terraform, "gh": gh, "git-credentials": gitCredentials, "netrc": netrc, "npmrc": npmrc,
		"pypirc": pypirc, "cargo": cargo, "pgpass": pgpass, "pg-service": pgService, "rclone": rclone,
		"ssh-key": sshKey, "private-key": privateKey,
		"certificates": certificates, "certificate-beside": certificateBeside, "age-keys": ageKeys, "cloudflared": cloudflared, "subversion": subversion, "tailscale": tailscale, "openvpn": openvpn,
		"browser-profile": browserProfile, "firefox-profile": firefoxProfile, "gnupg-key": gnupgKey, "ccache": ccache,
	}[reader]
	if !ok {
		return Finding{}
	}
	n := &notes{}
	read(content, around, n)
	return n.finding()
}

// Allow drops what a catalogue entry does not list.
func (f Finding) Allow(kinds []string) Finding {
	f.Identifiers = slices.DeleteFunc(f.Identifiers, func(i Identifier) bool { return !slices.Contains(kinds, i.Kind) })
	return f
}

// Merge joins the findings of several files into those of one item.
func Merge(all []Finding) Finding {
	n := &notes{}
	for _, f := range all {
		for _, i := range f.Identifiers {
			n.add(i.Kind, i.Value)
		}
		n.until(f.Until)
	}
	return n.finding()
}

// notes collects a finding.
type notes struct {
	list      []Identifier
	latest    time.Time
	unbounded bool
}

// add keeps a name that is printable and of a sensible length, once.
func (n *notes) add(kind, value string) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxValue || len(n.list) >= maxIdentifiers {
		return
	}
	if strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return
	}
	if i := (Identifier{Kind: kind, Value: value}); !slices.Contains(n.list, i) {
		n.list = append(n.list, i)
	}
}

// until notes when one credential ends; zero: it has no known end.
func (n *notes) until(t time.Time) {
	if t.IsZero() {
		n.unbounded = true
		return
	}
	if t.After(n.latest) {
		n.latest = t
	}
}

func (n *notes) finding() Finding {
	f := Finding{Identifiers: n.list}
	if !n.unbounded {
		f.Until = n.latest
	}
	return f
}
