package identify

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cutoff/agent/purge/catalogue"
)

// Of reads the identifiers of one file as its catalogue entry says: by a reader
// of its own, by paths, or both.
func Of(c *catalogue.Credential, content []byte, around Around) Finding {
	if len(c.Names) == 0 {
		return Read(c.Identify, content, around)
	}
	n := &notes{}
	own := tree(string(c.Format), content)
	beside := map[string][]leaf{}
	ends := false
	for _, name := range c.Names {
		leaves := own
		if name.In != "" {
			if _, known := beside[name.In]; !known {
				beside[name.In] = tree(formatOf(name.In), around.Sibling(name.In))
			}
			leaves = beside[name.In]
		}
		if name.How == catalogue.HowFile {
			n.add(name.Kind, stem(around.Name()))
			continue
		}
		if take(name, leaves, n) {
			ends = true
		}
	}
	if !ends {
		n.until(never)
	}
	return n.finding()
}

// formatOf tells the format of a neighbour by its name.
func formatOf(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "jsonc"
	case ".yml", ".yaml":
		return "yaml"
	case ".toml":
		return "toml"
	}
	return "ini"
}

// stem is a file's name without its ending.
func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// take adds what one name finds. It reports whether that says when the
// credential ends.
func take(name catalogue.Name, leaves []leaf, n *notes) bool {
	ends := false
	want := strings.Split(name.Path, ".")
	for _, l := range leaves {
		if len(l.path) < len(want) || !matches(want, l.path[:len(want)]) {
			continue
		}
		if name.How == catalogue.HowKey {
			n.add(name.Kind, strip(l.path[len(want)-1]))
			continue
		}
		if len(l.path) > len(want) || l.value == "" {
			continue
		}
		switch name.How {
		case catalogue.HowClaims:
			ends = jwt(l.value, n) || ends
		case catalogue.HowCertificate:
			certificate(pemOf(l.value), n)
		case catalogue.HowExpires:
			if t := moment(l.value); !t.IsZero() {
				n.until(t)
				ends = true
			}
		case catalogue.HowRenews:
			n.until(never)
		default:
			n.add(name.Kind, made(name.How, l.value))
		}
	}
	return ends
}

// made turns what stands at a place into a name.
func made(how, value string) string {
	switch how {
	case catalogue.HowHost:
		if u, err := url.Parse(value); err == nil {
			return u.Host
		}
		return ""
	case catalogue.HowUser:
		u, err := url.Parse(value)
		if err != nil || u.User == nil {
			return ""
		}
		if _, has := u.User.Password(); !has {
			return "" // a lone user part may be the token
		}
		return u.User.Username()
	case catalogue.HowBasicUser:
		pair, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return ""
		}
		user, _, _ := strings.Cut(string(pair), ":")
		return user
	case catalogue.HowGitHub:
		return githubHash(value)
	case catalogue.HowWireGuard:
		return wireguardPublic(value)
	}
	return strip(value)
}

// strip keeps a name as it is and takes out of a URL all that may be secret. A
// value in the form of a secret is no name, wherever it stands.
func strip(value string) string {
	if strings.Contains(value, "://") {
		return address(value)
	}
	if strings.Contains(value, "-----BEGIN") || strings.HasPrefix(value, "eyJ") || githubToken.MatchString(value) {
		return ""
	}
	return value
}

// githubToken is the form of tokens that GitHub made: 30 random characters and
// more, so that a hash of one tells nothing to who has not got it.
var githubToken = regexp.MustCompile(`^(gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{82,251})$`)

// githubHash is how GitHub's audit log names a token; nothing else is hashed.
func githubHash(token string) string {
	if token = strings.TrimSpace(token); !githubToken.MatchString(token) {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// wireguardPublic is the public half of a WireGuard key: how peers know it.
func wireguardPublic(text string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return ""
	}
	defer clear(raw)
	key, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())
}

// pemOf is PEM text as it stands, or base64 of it.
func pemOf(value string) []byte {
	if block, _ := pem.Decode([]byte(value)); block != nil {
		return []byte(value)
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return nil
	}
	return der
}

// moment reads a time in any of the forms that tools write: RFC 3339, or a
// number of seconds or milliseconds since 1970.
func moment(text string) time.Time {
	if t := when(text); !t.IsZero() {
		return t
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	number, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || number < 1e9:
		return never
	case number < 1e11:
		return time.Unix(int64(number), 0).UTC()
	case number < 1e14:
		return time.UnixMilli(int64(number)).UTC()
	}
	return never
}

// matches holds a path against one with * for any part of a key.
func matches(want, path []string) bool {
	for i := range want {
		if !like(strings.ToLower(want[i]), strings.ToLower(path[i])) {
			return false
		}
	}
	return true
}

// like reports whether text is pattern, where * stands for any run.
func like(pattern, text string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, before)
	if !ok {
		return false
	}
	for i := 0; i <= len(rest); i++ {
		if like(after, rest[i:]) {
			return true
		}
	}
	return false
}
