package catalogue

import (
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Name says where a file of a known format gives a non-secret name of its
// credential: the value at a dotted path, with * for any key or index.
type Name struct {
	Kind string `json:"kind"`
	// How the name is made out of what stands there (see Hows).
	How  string `json:"how,omitempty"`
	Path string `json:"path,omitempty"`
	// In is a file beside the credential's own.
	In string `json:"in,omitempty"`
}

// Hows are the words before a path. A key is the name of the place, not what
// stands there; host and user are parts of a URL; what a secret gives up is
// only what its maker means to be public: the claims of a token, the name in a
// certificate, a public key, the hash that an audit log has of it.
const (
	HowKey         = "key"
	HowHost        = "host"
	HowUser        = "user"
	HowBasicUser   = "basic-user"
	HowClaims      = "claims"
	HowCertificate = "certificate"
	HowGitHub      = "github-token"
	HowWireGuard   = "wireguard-key"
	HowFile        = "file"
	HowExpires     = "expires"
	HowRenews      = "renews"
)

var (
	hows = []string{HowKey, HowHost, HowUser, HowBasicUser, HowGitHub, HowWireGuard, HowFile}
	// several are words in place of a kind: they give more than one name, or none.
	several = []string{HowClaims, HowCertificate, HowExpires, HowRenews}
	// given are the kinds of those words.
	given = map[string][]string{
		HowClaims:      {"jwt-issuer", "jwt-subject", "jwt-id", "jwt-audience", "jwt-client", "jwt-session"},
		HowCertificate: {"x509-serial", "x509-sha256", "x509-subject", "x509-issuer"},
	}
	// public words may stand before the place of a secret.
	public = []string{HowKey, HowBasicUser, HowClaims, HowCertificate, HowGitHub, HowWireGuard, HowExpires, HowRenews, HowHost, HowUser}
	// secretName is what no value that leaves the device is called.
	secretName = regexp.MustCompile(`(?i)(secret|passw|passphrase|token$|private|credential$|cookie)`)
	// kindPattern is that of an identifier kind.
	kindPattern = idPattern
)

// structured are the formats whose values have paths.
var structured = []Format{"json", "jsonc", "yaml", "toml", "ini", "npmrc", "properties", "dotenv", "xml"}

// identify reads "identify": the word of a reader, or a mapping from kinds of
// identifiers to where they stand.
func (r *reader) identify(into *Credential) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			r.oneOf(&into.Identify, readers)(n)
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.names(n.Content[i], n.Content[i+1], into)
		}
		slices.Sort(into.Identifiers)
		into.Identifiers = slices.Compact(into.Identifiers)
	}
}

func (r *reader) names(key, value *yaml.Node, into *Credential) {
	kind, how := key.Value, ""
	switch {
	case slices.Contains(several, kind):
		how = kind
		into.Identifiers = append(into.Identifiers, given[kind]...)
	case kindPattern.MatchString(kind):
		into.Identifiers = append(into.Identifiers, kind)
	default:
		r.bad(key, "want the kind of an identifier, or one of %s", strings.Join(several, ", "))
		return
	}
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	for _, item := range items {
		var text string
		r.text(&text)(item)
		if text == "" {
			continue
		}
		name := Name{Kind: kind, How: how}
		if name.parse(text) {
			into.Names = append(into.Names, name)
		} else {
			r.bad(item, "want [word] path [in file]; a value whose name sounds secret needs one of %s", strings.Join(public, ", "))
		}
	}
}

// parse reads "[word] path [in file]".
func (m *Name) parse(text string) bool {
	if before, after, ok := strings.Cut(text, " in "); ok {
		text, m.In = before, after
	}
	if first, rest, ok := strings.Cut(text, " "); ok && slices.Contains(hows, first) && m.How == "" {
		m.How, text = first, rest
	} else if text == HowFile {
		m.How, text = HowFile, ""
	}
	m.Path = text
	if m.How == HowFile {
		return m.Path == "" && m.In == ""
	}
	last := m.Path[strings.LastIndexByte(m.Path, '.')+1:]
	for _, part := range strings.Split(m.Path, ".") {
		if strings.Count(part, "*") > 2 {
			return false // to hold a name against it would take too long
		}
	}
	return m.Path != "" && !strings.HasPrefix(m.In, "/") && !strings.Contains(m.In, "*") &&
		(slices.Contains(public, m.How) || !secretName.MatchString(last))
}

// onlyFileNames: nothing is read of the file itself.
func onlyFileNames(names []Name) bool {
	return !slices.ContainsFunc(names, func(m Name) bool { return m.How != HowFile && m.In == "" })
}

// attributes are the words of a keyring match: any on Linux, where programs
// choose their own; a keychain's and the Credential Manager's are fixed.
var attributes = map[string][]string{
	"darwin":  {"service", "account", "label", "server"},
	"windows": {"target", "user"},
}

func attribute(goos, name string) bool {
	fixed, some := attributes[goos]
	return !some || slices.Contains(fixed, name)
}
